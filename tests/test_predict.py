"""Prediction of images and folders by functions, models and files."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from dl_utils.inference.predict import clean_mask, predict_folder, predict_image


def blur(batch):
    "A model of a known field: the mean over 7×7 pixels, with zeros around; two classes"
    padded = np.pad(batch[..., :1], [(0, 0), (3, 3), (3, 3), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7), (1, 2))
    mean = windows.mean((-1, -2))
    return np.concatenate([mean, 1 - mean], axis=-1)


def pixelwise(batch):
    return np.stack([batch.mean(-1), 1 - batch.mean(-1)], axis=-1)


SCENE = np.random.default_rng(0).random((130, 97, 3), "float32")


@pytest.mark.parametrize("tile", [16, 40, (33, 64), 97, (130, 97), 200, (16, 200)])
@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("blend", ["gaussian", "constant"])
def test_windows_cover_every_pixel(tile, overlap, blend):
    "A model that looks at single pixels predicts the same by windows"
    whole = predict_image(pixelwise, SCENE)
    by_windows = predict_image(pixelwise, SCENE, tile, overlap, batch_size=3, blend=blend)
    np.testing.assert_allclose(by_windows, whole, atol=1e-5)
    assert by_windows.shape == (130, 97, 2) and by_windows.dtype == np.float32


@pytest.mark.parametrize("tile, overlap", [(32, 0.25), ((40, 64), 0.5), (97, 0.25), (24, 0.75)])
def test_windows_equal_the_whole_image_with_a_margin(tile, overlap):
    whole = predict_image(blur, SCENE)
    by_windows = predict_image(blur, SCENE, tile, overlap, margin=3)
    np.testing.assert_allclose(by_windows, whole, atol=1e-5)
    without = predict_image(blur, SCENE, tile, overlap)
    assert np.abs(without - whole).max() > 1e-4


@pytest.mark.parametrize(
    "tta, calls", [("horizontal", 2), ("flips", 4), ("rotations", 8), (["flips", 1.5], 8), (0.5, 2)]
)
def test_views_are_turned_back(tta, calls):
    n = []

    def counted(batch):
        n.append(batch.shape)
        return pixelwise(batch)

    smooth = np.stack(np.meshgrid(np.linspace(0, 1, 96), np.linspace(0, 0.5, 64)) * 2, axis=-1)[
        ..., :3
    ]
    smooth = smooth.astype("float32")
    result = predict_image(counted, smooth, tta=tta)
    np.testing.assert_allclose(result, pixelwise(smooth[None])[0], atol=0.01)
    assert len(n) == calls


@pytest.mark.parametrize(
    "pixels",
    [
        (SCENE * 255).astype("uint8"),
        (SCENE * 65535).astype("uint16"),
        SCENE,
        SCENE.astype("float64"),
        SCENE > 0.5,
    ],
)
def test_any_type_of_pixels(pixels):
    expected = pixels if pixels.dtype.kind in "fb" else pixels / np.iinfo(pixels.dtype).max
    result = predict_image(pixelwise, pixels)
    np.testing.assert_allclose(result[..., 0], expected.astype("float32").mean(-1), atol=1e-6)


def test_the_range_is_that_of_training(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 4096, (40, 50), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    result = predict_image(pixelwise, tmp_path / "a.tif", value_range=(0, 4095))
    np.testing.assert_allclose(result[..., 0], pixels / 4095, atol=1e-6)
    result = predict_image(pixelwise, pixels, value_range="image", tile=16)
    assert result[..., 0].min() == 0 and result[..., 0].max() == 1


@pytest.mark.parametrize(
    "image, message",
    [
        (SCENE * 255, "divide by 255"),
        (SCENE - 0.5, "divide by 255"),
        (SCENE[None], "one image, not a batch"),
        (np.zeros((0, 5, 3)), "one image"),
        (np.array([["a", "b"]]), "numbers are expected"),
        (SCENE * np.nan, "floats in"),
    ],
)
def test_wrong_images_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        predict_image(pixelwise, image)


def test_outputs_of_one_channel():
    def one(batch):
        return batch.mean(-1, keepdims=True)

    classes = predict_image(one, SCENE, output="classes", threshold=0.4)
    assert (classes == (SCENE.mean(-1) > 0.4)).all() and classes.dtype == np.uint8
    assert set(np.unique(predict_image(one, SCENE, output="mask"))) == {0, 255}
    with pytest.raises(ValueError, match="add a sigmoid"):
        predict_image(lambda batch: 9 * one(batch) - 4, SCENE, output="mask")
    with pytest.raises(ValueError, match="same n, height and width"):
        predict_image(lambda batch: batch[:, ::2], SCENE)


def test_memory_is_the_result_and_a_band(tmp_path):
    scene = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", "uint8", (6000, 2000, 3))

    def four(batch):
        return np.repeat(batch[..., :1], 4, axis=-1)

    for output, result in ("probabilities", 6000 * 2000 * 16), ("classes", 6000 * 2000):
        tracemalloc.start()
        predict_image(four, scene, tile=256, output=output)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < result + 50e6, (output, peak / 1e6)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name, shape in [
        ("a.png", (40, 50, 3)),
        ("b.jpg", (33, 64, 3)),
        ("x/c.png", (20, 20, 3)),
        ("x/y/d.tif", (25, 30, 3)),
    ]:
        (tmp_path / "inp" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, shape, "uint8")).save(tmp_path / "inp" / name)
    (tmp_path / "inp/notes.txt").write_text("no image")
    return tmp_path


def outputs(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*"))


def test_a_folder_keeps_names_and_subfolders(folder):
    assert not predict_folder(pixelwise, folder / "inp", folder / "out", progress=False)
    assert outputs(folder / "out") == ["a.png", "b.png", "x/c.png", "x/y/d.png"]
    with Image.open(folder / "out/a.png") as image:
        assert image.mode == "P"
        expected = predict_image(pixelwise, folder / "inp/a.png", output="classes")
        assert (np.asarray(image) == expected).all()
    predict_folder(pixelwise, folder / "inp", folder / "all", "probabilities", progress=False)
    assert np.load(folder / "all/x/y/d.npy").shape == (25, 30, 2)


def test_a_folder_goes_on_where_it_stopped(folder):
    calls = []

    def fails_later(batch):
        calls.append(batch.shape)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return pixelwise(batch)

    with pytest.raises(KeyboardInterrupt):
        predict_folder(fails_later, folder / "inp", folder / "out", progress=False)
    assert outputs(folder / "out") == ["a.png", "b.png"]
    predict_folder(fails_later, folder / "inp", folder / "out", progress=False)
    assert len(calls) == 5 and len(outputs(folder / "out")) == 4
    predict_folder(fails_later, folder / "inp", folder / "out", progress=False)
    assert len(calls) == 5
    predict_folder(fails_later, folder / "inp", folder / "out", progress=False, overwrite=True)
    assert len(calls) == 9


def test_problems_of_single_files_come_back(folder):
    (folder / "inp/bad.png").write_bytes(b"")

    def refuses_small(batch):
        if batch.shape[1] == 20:
            raise RuntimeError("too small")
        return pixelwise(batch)

    problems = predict_folder(refuses_small, folder / "inp", folder / "out", progress=False)
    assert problems.kinds == {"empty": 1, "prediction": 1} and "too small" in str(problems)
    assert outputs(folder / "out") == ["a.png", "b.png", "x/y/d.png"]


def test_folders_that_cannot_be_predicted(folder):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        predict_folder(pixelwise, folder / "nothing", folder / "out")
    with pytest.raises(ValueError, match="folder of the images"):
        predict_folder(pixelwise, folder / "inp", folder / "inp/../inp")
    Image.new("RGB", (9, 9)).save(folder / "inp/a.bmp")
    with pytest.raises(ValueError, match="would both become .*a.png; rename one"):
        predict_folder(pixelwise, folder / "inp", folder / "out")
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no images"):
        predict_folder(pixelwise, folder / "empty", folder / "out")


def test_a_geotiff_stays_in_its_place(folder):
    tags = [
        (33550, 12, 3, (10.0, 10.0, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, 5e5, 6e6, 0.0), True),
        (34735, 3, 8, (1, 1, 0, 1, 3072, 0, 1, 32633), True),
    ]
    pixels = (SCENE * 65535).astype("uint16")
    tifffile.imwrite(folder / "inp/g.tif", pixels, photometric="rgb", extratags=tags)
    assert not predict_folder(pixelwise, folder / "inp", folder / "out", progress=False)
    with tifffile.TiffFile(folder / "out/g.tif") as file:
        written = file.pages[0].tags
        for code, _, _, value, _ in tags:
            assert tuple(written[code].value) == value
        assert (file.asarray() == predict_image(pixelwise, pixels, output="classes")).all()


@pytest.mark.parametrize("model", [5, "nothing.keras", "model.txt"])
def test_wrong_models_are_refused(tmp_path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    Path("model.txt").touch()
    with pytest.raises((ValueError, FileNotFoundError), match="model="):
        predict_image(model, SCENE)


def test_masks_are_cleaned_by_class():
    mask = np.zeros((30, 30), "uint8")
    mask[2:12, 2:12], mask[5:7, 5:7] = 1, 0
    mask[20:22, 20:22], mask[15:28, 2:9] = 1, 2
    mask[17, 4] = 0
    assert (clean_mask(mask) == mask).all()
    assert (clean_mask(mask, min_size=5)[20:22, 20:22] == 0).all()
    filled = clean_mask(mask, fill_holes=True)
    assert (filled[5:7, 5:7] == 1).all() and filled[17, 4] == 2
    assert clean_mask(mask, fill_holes=True, classes=[1])[17, 4] == 0
    assert (clean_mask(mask, largest=True) == 1).sum() == 96
    for wrong in mask[None], mask / 2:
        with pytest.raises(ValueError, match="whole numbers of shape"):
            clean_mask(wrong)
