"""Datasets of any depth, any number of channels and any common names go through the loader."""

import warnings
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
import tifffile
from PIL import Image

from dl_utils.data.images import DataProblem
from dl_utils.data.loader import SegDataLoader
from dl_utils.data.validation import check, count_classes

SIZE = 24, 32


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, pixels)
    elif path.suffix == ".tif":
        tifffile.imwrite(
            path,
            pixels,
            photometric="minisblack",
            planarconfig=("contig" if pixels.ndim == 3 else None),
        )
    else:
        Image.fromarray(pixels).save(path)


def dataset(folder, images, masks=None, image_end=".tif", mask_end=".png"):
    "A dataset with the given arrays"
    rng = np.random.default_rng(9)
    for i, image in enumerate(images):
        mask = rng.integers(0, 3, SIZE, "uint8") if masks is None else masks[i]
        save(Path(folder) / f"inp/{i}{image_end}", image)
        save(Path(folder) / f"out/{i}{mask_end}", mask)
    return folder


def noise(n, channels, dtype="uint16", high=65535, low=0):
    rng = np.random.default_rng(0)
    shape = (n, *SIZE, channels) if channels else (n, *SIZE)
    return rng.integers(low, high, shape, endpoint=True).astype(dtype)


def test_all_16_bits_reach_the_batch(tmp_path):
    pixels = noise(3, 6)
    loader = SegDataLoader(dataset(tmp_path, pixels), 3, batch_size=3)
    x, y = loader[0]
    assert loader.channels == 6 and x.shape == (3, *SIZE, 6) and x.dtype == np.float32
    assert (np.rint(x.astype("float64") * 65535) == pixels).all()
    assert loader.specs()[0] == ((3, *SIZE, 6), "float32")
    assert (loader.read(1)[0] == pixels[1]).all()


@pytest.mark.parametrize(
    "options",
    [
        dict(cache="ram"),
        dict(cache="disk"),
        dict(processes=True),
        dict(processes=True, cache="ram"),
        dict(workers=0),
    ],
)
@pytest.mark.parametrize("channels, dtype", [(6, "uint16"), (1, "float32"), (2, "uint8")])
def test_caches_and_processes_keep_them(tmp_path, options, channels, dtype):
    pixels = noise(4, channels, dtype, 200)
    ranges = dict(value_range=(0, 200)) if dtype != "uint8" else {}
    crop = A.Compose([A.RandomCrop(16, 16), A.HorizontalFlip(), A.RandomBrightnessContrast()])
    options = dict(transforms=crop, batch_size=2, seed=0, workers=2, **ranges) | options
    path = dataset(tmp_path, pixels, image_end=".npy")
    expected = SegDataLoader(path, 3, crop, batch_size=2, seed=0, workers=0, **ranges)
    with SegDataLoader(path, 3, **options) as loader:
        for _ in range(2):
            for batch, other in zip(loader, expected, strict=True):
                assert all((a == b).all() for a, b in zip(batch, other))
                assert batch[0].shape == (2, 16, 16, channels)


def test_a_dark_16_bit_dataset_is_an_error_that_names_the_range(tmp_path):
    path = dataset(tmp_path, noise(2, 0, high=4095))
    with pytest.raises(ValueError, match=r"value_range=\(0, 4095\)"):
        SegDataLoader(path, 3)
    assert "value_range=(0, 4095)" in check(path, 3)[0].remedy
    with pytest.raises(ValueError, match=r"value_range=\(0, 4095\)"):
        SegDataLoader(path, 3, on_error="skip")
    x, _ = SegDataLoader(path, 3, value_range=(0, 4095))[0]
    assert len(np.unique(x)) > 700 and x.max() > 0.99
    SegDataLoader(path, 3, value_range=(0, 65535))  # who wants it dark


def test_x_rays_around_30000_have_a_range_of_each_image(tmp_path):
    path = dataset(tmp_path, noise(2, 0, low=29500, high=30500))
    with pytest.raises(ValueError, match="value_range=.29.*'image' or 'percentile'"):
        SegDataLoader(path, 3)
    for rule in "image", "percentile":
        x, _ = SegDataLoader(path, 3, value_range=rule)[0]
        assert x.min() == 0 and x.max() == 1 and len(np.unique(x)) > 500


def test_floats_and_negative_numbers_need_a_range(tmp_path):
    heights = noise(2, 1, "float32", 3000) - 100
    heights[0, 0, 0] = np.nan
    path = dataset(tmp_path / "a", heights, image_end=".npy")
    with pytest.raises(ValueError, match="floats.*pass value_range=.-100"):
        SegDataLoader(path, 3)
    x, _ = SegDataLoader(path, 3, value_range=(-100, 2900))[0]
    assert x[0, 0, 0, 0] == 0 and np.isfinite(x).all()
    path = dataset(tmp_path / "b", noise(2, 0, "int16", 900, -1000))
    with pytest.raises(ValueError, match="negative.*value_range=.-1000, "):
        SegDataLoader(path, 3)
    with pytest.raises(ValueError, match="outside value_range"):
        SegDataLoader(path, 3, value_range=(5000, 9000))


def test_infinite_values_are_no_part_of_the_range(tmp_path):
    heights = noise(2, 1, "float32", 1000)
    heights[:, 0, 0], heights[:, 0, 1] = np.inf, -np.inf
    path = dataset(tmp_path, heights, image_end=".npy")
    with pytest.raises(ValueError, match="float32 from . to 1000"):
        SegDataLoader(path, 3)
    x, _ = SegDataLoader(path, 3, value_range="image")[0]
    assert x[0, 0, 0, 0] == 1 and x[0, 0, 1, 0] == 0 and .3 < x.mean() < .7


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 13])
def test_8_bits_of_any_number_of_channels(tmp_path, channels):
    pixels = noise(2, channels, "uint8", 255)
    x, _ = SegDataLoader(dataset(tmp_path, pixels, image_end=".npy"), 3)[0]
    assert np.allclose(x, pixels / 255, atol=1e-7) and x.shape == (2, *SIZE, channels)


def test_each_channel_may_have_a_range(tmp_path):
    pixels = np.stack([noise(2, 0, high=1000), noise(2, 0, high=9000)], -1)
    path = dataset(tmp_path, pixels)
    x, _ = SegDataLoader(path, 3, value_range=[(0, 1000), (0, 9000)])[0]
    assert (x.max(axis=(0, 1, 2)) > 0.99).all()
    with pytest.raises(ValueError, match="has 2 channels, and value_range 3 pairs"):
        SegDataLoader(path, 3, value_range=[(0, 1)] * 3)


def test_files_of_other_channels_are_named(tmp_path):
    path = dataset(tmp_path, noise(3, 3, "uint8", 255), image_end=".png")
    Image.fromarray(noise(1, 0, "uint8", 255)[0]).save(tmp_path / "inp/1.png")
    with pytest.raises(ValueError, match="1.png: has 1 channel.*0.png 3 channels.*channels=3"):
        SegDataLoader(path, 3)
    assert SegDataLoader(path, 3, channels=3).channels == 3
    assert SegDataLoader(path, 3, channels=1)[0][0].shape == (3, *SIZE, 1)
    with pytest.warns(UserWarning, match="left out"):
        assert len(SegDataLoader(path, 3, on_error="skip", batch_size=2).pairs) == 2
    save(tmp_path / "inp/1.png", noise(1, 0, "uint16")[0])
    with pytest.raises(ValueError, match="of uint16, and .*of uint8"):
        SegDataLoader(path, 3, channels=1)


def test_alpha_is_told_from_a_fourth_channel(tmp_path):
    pixels = noise(2, 4, "uint8", 255)
    path = dataset(tmp_path, pixels, image_end=".png")
    with pytest.raises(ValueError, match="alpha channel.*channels=4.*channels=3"):
        SegDataLoader(path, 3)
    assert (SegDataLoader(path, 3, channels=4)[0][0] * 255).round().astype(
        int
    ).tolist() == pixels.tolist()
    assert SegDataLoader(path, 3, channels=3)[0][0].shape[-1] == 3
    pixels[..., 3] = 255
    assert SegDataLoader(dataset(tmp_path, pixels, image_end=".png"), 3).channels == 3


def test_channels_in_several_files(tmp_path):
    pixels = noise(2, 3)
    for i, image in enumerate(pixels):
        for c, name in enumerate(["b2", "b3", "b10"]):
            save(tmp_path / f"inp/{name}/{i}.tif", image[..., c])
        save(tmp_path / f"out/{i}.png", noise(1, 0, "uint8", 2)[0])
    loader = SegDataLoader(tmp_path, 3, cache="ram")
    assert (np.rint(loader[0][0].astype("float64") * 65535) == pixels).all()
    assert loader.browse().slider.max == 1 and loader.show(1).axes
    (tmp_path / "inp/b3/1.tif").unlink()
    with pytest.raises(DataProblem, match="1.tif: has no partner in the folders .'b3'."):
        SegDataLoader(tmp_path, 3)


def test_transforms_that_cannot_take_the_images_are_named(tmp_path):
    path = dataset(tmp_path, noise(2, 5))
    with pytest.raises(ValueError, match="CLAHE can't take float32 images of 5 channels"):
        SegDataLoader(path, 3, A.Compose([A.HorizontalFlip(), A.OneOf([A.CLAHE()])]))
    path = dataset(tmp_path / "rgb", noise(2, 3))
    with pytest.warns(UserWarning, match="CLAHE keep only 8 bits of float32"):
        SegDataLoader(path, 3, A.Compose([A.CLAHE(), A.HorizontalFlip()]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SegDataLoader(
            path,
            3,
            A.Compose(
                [
                    A.RandomCrop(16, 16),
                    A.Affine(rotate=(-9, 9)),
                    A.GaussNoise(),
                    A.ElasticTransform(),
                    A.RandomGamma(),
                    A.GaussianBlur(),
                ]
            ),
        )


def test_several_and_negative_ignored_values(tmp_path):
    rng = np.random.default_rng(0)
    masks = rng.choice(np.array([0, 1, 2, 254, 255, -1], "int32"), (2, *SIZE))
    path = dataset(tmp_path, noise(2, 3, "uint8", 255), masks, ".png", ".npy")
    with pytest.raises(ValueError, match="pass ignore_index=-1"):
        SegDataLoader(path, 3)
    assert count_classes(path, [-1, 254, 255]) == 3
    loader = SegDataLoader(path, 3, ignore_index=(-1, 254, 255), target="sparse")
    x, y, w = loader[0]
    assert (w == np.isin(masks, [0, 1, 2])).all() and (y[w > 0] == masks[w > 0]).all()
    assert loader.histogram().sum() == w.sum()
    tifffile.imwrite(tmp_path / "out/0.tif", masks[0].astype("int16"))
    (tmp_path / "out/0.npy").unlink()
    assert (SegDataLoader(path, 3, ignore_index=[-1, 254, 255])[0][2] == w).all()


def test_masks_that_leave_nothing_to_learn(tmp_path):
    images = noise(2, 3, "uint8", 255)
    masks = np.zeros((2, *SIZE), "uint8")
    masks[:, 5:] = 255
    path = dataset(tmp_path / "a", images, masks, ".png")
    with pytest.raises(ValueError, match="nothing is left to learn"):
        SegDataLoader(path, 2, ignore_index=255)
    assert check(path, 2, ignore_index=255).kinds == {"values": 1}
    path = dataset(tmp_path / "b", images, masks * 0 + 255, ".png")
    with pytest.raises(ValueError, match="nothing is left to learn"):
        SegDataLoader(path, 5, ignore_index=255)


def test_masks_of_any_type_that_holds_whole_numbers(tmp_path):
    masks = noise(2, 0, "int64", 2)
    images = noise(2, 3, "uint8", 255)
    for dtype in "float32", "int32", "int16", "float64", "uint32", "bool":
        values = masks.astype(dtype)
        loader = SegDataLoader(
            dataset(tmp_path / dtype, images, values, ".png", ".npy"),
            None if dtype == "bool" else 3,
            target="one-hot",
        )
        y = loader[0][1]
        assert (y[..., 0] == values).all() if dtype == "bool" else (y.argmax(-1) == masks).all()
    path = dataset(tmp_path / "half", images, masks + 0.5, ".png", ".npy")
    with pytest.raises(ValueError, match="whole numbers"):
        SegDataLoader(path, 3)


def make_names(folder, *names):
    rng = np.random.default_rng(0)
    for name in names:
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        is_mask = name.startswith("out")
        if path.suffix in (".txt", ".json"):
            path.write_text("{}")
        else:
            Image.fromarray(rng.integers(0, 2 if is_mask else 255, SIZE, "uint8")).save(path)
    return folder


LABELS = "gtFine_labelTrainIds", "gtFine_labelIds", "gtFine_color"


@pytest.mark.parametrize(
    "name, files, options",
    [
        (
            "cityscapes",
            [
                f"{part}/{city}/{city}_{i}_{end}"
                for city in ("bonn", "ulm")
                for i in "12"
                for part, end in [
                    ("inp", "leftImg8bit.png"),
                    ("out", "gtFine_polygons.json"),
                    *(("out", f"{label}.png") for label in LABELS),
                ]
            ],
            dict(pattern=("{}_leftImg8bit.png", "{}_gtFine_labelTrainIds.png")),
        ),
        (
            "clean cityscapes",
            [
                f"{part}/{city}/{city}_{i}_{end}.png"
                for city in ("bonn", "ulm")
                for i in "12"
                for part, end in [("inp", "leftImg8bit"), ("out", "gtFine_labelTrainIds")]
            ],
            {},
        ),
        (
            "isic",
            [
                "inp/LICENSE.txt",
                "inp/ATTRIBUTION.txt",
                *(f"inp/ISIC_{i}.jpg" for i in "1234"),
                *(f"inp/ISIC_{i}_superpixels.png" for i in "1234"),
                *(f"out/ISIC_{i}_segmentation.png" for i in "1234"),
            ],
            dict(pattern=("{}.jpg", "{}_segmentation.png")),
        ),
        (
            "isic without superpixels",
            [
                "inp/LICENSE.txt",
                *(f"inp/ISIC_{i}.jpg" for i in "1234"),
                *(f"out/ISIC_{i}_segmentation.png" for i in "1234"),
            ],
            {},
        ),
        (
            "words in front",
            [f"inp/img_{i}.png" for i in (1, 2, 10, 11)]
            + [f"out/mask_{i}.png" for i in (1, 2, 10, 11)],
            {},
        ),
        (
            "words without separator",
            [f"inp/IMG{i}.JPG" for i in range(4)] + [f"out/Mask{i}.png" for i in range(4)],
            {},
        ),
        (
            "case of the extension",
            [f"inp/{i}.JPG" for i in range(4)] + [f"out/{i}.png" for i in range(4)],
            {},
        ),
        (
            "case of the extension, by pattern",
            [f"inp/{i}_im.PNG" for i in range(4)] + [f"out/{i}_seg.png" for i in range(4)],
            dict(pattern=("{}_im.png", "{}_seg.png")),
        ),
        (
            "folders",
            [f"{side}/{part}/{i}.png" for side in ("inp", "out") for part in "ab" for i in "12"],
            {},
        ),
    ],
)
def test_names_of_datasets(tmp_path, name, files, options):
    make_names(tmp_path, *files)
    loader = SegDataLoader(tmp_path, 2, **options)
    assert len(loader.pairs) == 4
    for image, mask in loader.pairs:
        digits = [
            "".join(c for c in path.stem.split("8bit")[0] if c.isdigit()) for path in (image, mask)
        ]
        assert digits[0] == digits[1] and (image.parent.name in ("inp", mask.parent.name))


@pytest.mark.parametrize(
    "files, suggestion",
    [
        (
            ["inp/ISIC_1.jpg", "inp/ISIC_1_superpixels.png", "out/ISIC_1_segmentation.png"],
            "pattern=('{}.jpg', '{}_segmentation.png')",
        ),
        (
            [f"inp/bonn_{i}_leftImg8bit.png" for i in "12"]
            + [f"out/bonn_{i}_gtFine_{k}.png" for i in "12" for k in ("color", "labelIds")],
            "_leftImg8bit.png', '{}_gtFine_color.png')",
        ),
    ],
)
def test_messages_suggest_a_pattern(tmp_path, files, suggestion):
    problems = check(make_names(tmp_path, *files), 2)
    assert any(suggestion in problem.remedy for problem in problems), problems


@pytest.mark.parametrize(
    "pattern", ["{}.png", ("{}.png",), ("a", "b"), ("{}{}", "{}"), 5, ("{}", None)]
)
def test_pattern_is_two_texts(tmp_path, pattern):
    with pytest.raises(ValueError, match="pattern="):
        SegDataLoader(make_names(tmp_path, "inp/1.png", "out/1.png"), 2, pattern=pattern)


def test_unrelated_names_are_not_paired(tmp_path):
    make_names(tmp_path, "inp/cat.png", "inp/dog.png", "out/road.png", "out/car.png")
    with pytest.raises(DataProblem, match="unpaired"):
        SegDataLoader(tmp_path, 2)


@pytest.fixture
def kept(monkeypatch, tmp_path):
    "Facts about datasets are kept, however small"
    import dl_utils.data.validation as validation

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(validation, "_SECONDS_TO_KEEP", -1)
    reads, inspect = [], validation._inspect_files.__wrapped__

    def counted(*args):
        reads.append(getattr(args[0], "name", ""))
        return inspect(*args)

    monkeypatch.setattr(validation, "_inspect_files", counted)
    return reads


def test_facts_about_a_dataset_are_kept(tmp_path, kept):
    path = dataset(tmp_path / "data", noise(4, 3, "uint8", 255), image_end=".png")
    first = SegDataLoader(path, 3)
    assert sorted(kept) == ["0.png", "1.png", "2.png", "3.png"]
    kept.clear()
    second = SegDataLoader(path, 3)
    assert not kept and (second.histogram() == first.histogram()).all()
    for info, other in zip(first.infos, second.infos, strict=True):
        assert info._replace(values=0, counts=0) == other._replace(values=0, counts=0)
        assert (info.values == other.values).all() and (info.counts == other.counts).all()
    save(path / "out/2.png", np.zeros(SIZE, "uint8"))
    third = SegDataLoader(path, 3)
    assert kept == ["2.png"] and third.histogram()[0] > first.histogram()[0]
    kept.clear()
    SegDataLoader(path, 3, ignore_index=255)  # another format is another study
    assert len(kept) == 4


def test_kept_facts_may_be_damaged_or_unwritable(tmp_path, kept, monkeypatch):
    path = dataset(tmp_path / "data", noise(2, 3, "uint8", 255), image_end=".png")
    SegDataLoader(path, 3)
    (file,) = (tmp_path / "cache/dl_utils").iterdir()
    for content in b"", b"PK\3\4 no zip", file.read_bytes()[:-99]:
        file.write_bytes(content)
        kept.clear()
        SegDataLoader(path, 3)
        assert len(kept) == 2
    (tmp_path / "nothing").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nothing"))  # a file, so no folder in it
    assert SegDataLoader(path, 3).num_classes == 3


def test_kept_facts_of_palettes_channels_and_bands(tmp_path, kept):
    for i in range(2):
        image = Image.fromarray(noise(1, 0, "uint8", 2)[0]).convert("P")
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        for band in "ab":
            save(tmp_path / f"data/inp/{band}/{i}.tif", noise(1, 0)[0])
        (tmp_path / "data/out").mkdir(exist_ok=True)
        image.save(tmp_path / f"data/out/{i}.png")
    first, second = (SegDataLoader(tmp_path / "data", 3) for _ in range(2))
    assert (
        second.infos[0].palette
        == first.infos[0].palette
        == {0: (0, 0, 0), 1: (255, 0, 0), 2: (0, 255, 0)}
    )
    assert second.infos[1].image == first.infos[1].image and second.channels == 2
