"""Image files of every kind are read value by value, or refused."""

import io
import itertools
import random
from functools import partial

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from dl_utils.data.images import DataProblem, read_image, read_mask

N_FILES = 400  # of each kind; with `slow` 10000


def noise(rng, shape, dtype, high=None):
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.normal(0, 1000, shape).astype(dtype)
    limit = np.iinfo(dtype).max if high is None else high
    native = dtype.newbyteorder("=")
    return rng.integers(0, limit, shape, native, endpoint=True).astype(dtype)


def random_tiff(rng, path, mask=False):
    "Write a random kind of TIFF; the values that reading must give"
    draw = random.Random(int(rng.integers(2**32)))
    dtype = draw.choice(["u1", "u2", "u4", "i2", "i4", "f2", "f4", "f8"])
    channels = draw.choice([1, 1, 2, 3, 3, 4, 5, 7])
    height, width = (int(n) for n in rng.integers(16, 48, 2))
    high = 9 if mask else None
    pixels = noise(rng, (height, width, channels), dtype, high)
    if mask and pixels.dtype.kind == "f":
        pixels = rng.integers(0, 9, pixels.shape).astype(dtype)
    options = dict(
        byteorder=draw.choice("<>"),
        bigtiff=draw.random() < 0.2,
        compression=draw.choice([None, None, "zlib", "lzw", "packbits", "zstd", "lzma"]),
        metadata=None,
    )
    if options["compression"] in ("zlib", "lzw", "zstd") and draw.random() < 0.5:
        options["predictor"] = True
    if draw.random() < 0.3:
        options["tile"] = 16, 32
    elif draw.random() < 0.5:
        options["rowsperstrip"] = draw.randint(1, height)
    expected = pixels
    if channels == 1:
        options["photometric"] = draw.choice(["minisblack", "miniswhite"])
        if options["photometric"] == "miniswhite" and not mask:
            expected = np.iinfo(dtype).max - pixels if dtype[0] == "u" else None
        written = pixels[..., 0]
    else:
        options["photometric"] = "rgb" if channels >= 3 and draw.random() < 0.5 else "minisblack"
        n_extra = channels - (3 if options["photometric"] == "rgb" else 1)
        options["extrasamples"] = [draw.choice([0, 0, 2])] * n_extra
        options["planarconfig"] = draw.choice(["contig", "separate"])
        planes = options["planarconfig"] == "separate"
        written = pixels.transpose(2, 0, 1) if planes else pixels
        has_alpha = n_extra and options["extrasamples"][-1] == 2
        if has_alpha:
            expected = None  # of noise: refused
    tifffile.imwrite(path, written, **options)
    return expected, dict(options, dtype=dtype, shape=written.shape)


def agrees(read, expected):
    "Whether a file was read right; None if it was refused"
    try:
        values = read()
    except DataProblem:
        return None
    if expected is None:
        return False
    expected = np.asarray(expected)
    if values.ndim == 2:
        values = values[..., None]
    if expected.ndim == 2:
        expected = expected[..., None]
    if values.dtype.kind == "f":
        expected = expected.astype(values.dtype)
    return values.shape == expected.shape and bool((values == expected).all())


@pytest.mark.parametrize("n", [N_FILES, pytest.param(10000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mask", [False, True], ids=["images", "masks"])
def test_tiff_is_read_right_or_refused(tmp_path, n, mask):
    rng, path, outcomes = np.random.default_rng(0), tmp_path / "a.tif", []
    for _ in range(n):
        expected, kind = random_tiff(rng, path, mask)
        if mask:
            # equal channels are one, and masks of several channels are read as stacked
            right = agrees(
                lambda: read_mask(path, stacked=True),
                expected if expected is not None else tifffile.imread(path),
            )
            if expected is None and right is False:
                right = None  # alpha is a channel of its own
        else:
            right = agrees(lambda: read_image(path), expected)
        assert right is not False, kind
        outcomes.append(right)
    assert outcomes.count(True) > 0.6 * n


def encoders():
    "Name, function that encodes an array, dtypes, numbers of channels"

    def pillow(format, **options):
        def encode(pixels):
            stream = io.BytesIO()
            Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(
                stream, format, **options
            )
            return stream.getvalue()

        return encode

    def png(pixels):
        return imagecodecs.png_encode(pixels)

    def png_of_opencv(pixels):
        order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[pixels.shape[-1]]
        return cv2.imencode(".png", pixels[..., order])[1].tobytes()

    def ppm(pixels):
        height, width, channels = pixels.shape
        top = np.iinfo(pixels.dtype).max
        head = f"P{5 if channels == 1 else 6} {width} {height} {top}\n".encode()
        return head + pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()

    def jpeg_2000(pixels):
        pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
        return imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True)

    def numpy(pixels):
        np.save(stream := io.BytesIO(), pixels)
        return stream.getvalue()

    return [
        (png, ["u1", "u2"], [1, 2, 3, 4]),
        (png_of_opencv, ["u1", "u2"], [1, 3, 4]),
        (pillow("png"), ["u1"], [1, 3, 4]),
        (pillow("bmp"), ["u1"], [1, 3]),
        (pillow("webp", lossless=True, exact=True), ["u1"], [3, 4]),
        (pillow("tiff", compression="tiff_lzw"), ["u1"], [1, 3, 4]),
        (pillow("tiff", compression="tiff_adobe_deflate"), ["u2"], [1]),
        (ppm, ["u1", "u2"], [1, 3]),
        (jpeg_2000, ["u1", "u2"], [1, 3]),
        (numpy, ["u1", "u2", "i4", "f4", ">u2", "u8"], [1, 2, 3, 4, 9]),
    ]


@pytest.mark.parametrize("n", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_other_formats_are_read_right(tmp_path, n):
    rng, path = np.random.default_rng(0), tmp_path / "file"
    for encode, dtypes, channels in encoders():
        for dtype, count, _ in itertools.product(dtypes, channels, range(n)):
            pixels = noise(rng, (*rng.integers(8, 40, 2), count), dtype)
            path.write_bytes(encode(pixels))
            has_alpha = count in (2, 4) and encode.__name__ != "numpy"
            kind = encode.__name__, dtype, count
            read = partial(read_image, path, count if has_alpha else None)
            assert agrees(read, pixels), kind
            if has_alpha:
                with pytest.raises(DataProblem, match="alpha"):
                    read_image(path)


def png_of(bits, color_type, rows, width, height):
    "A PNG from its filtered rows, for what no library writes"
    import struct
    import zlib

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_few_bits_are_indices_in_masks_and_grey_values_in_images(tmp_path):
    file = tmp_path / "two.png"
    file.write_bytes(png_of(2, 0, bytes([0, 0b00011011, 0, 0b11100100]), 4, 2))
    assert read_mask(file).tolist() == [[0, 1, 2, 3], [3, 2, 1, 0]]
    assert read_image(file)[0, :, 0].tolist() == [0, 85, 170, 255]
    file.write_bytes(png_of(4, 0, bytes([0, 0x0F]), 2, 1))
    assert read_mask(file).tolist() == [[0, 15]]
    assert read_image(file)[0, :, 0].tolist() == [0, 255]
    file.write_bytes(png_of(1, 0, bytes([0, 0b01000000]), 2, 1))
    assert read_mask(file).tolist() == [[0, 1]]
    assert read_image(file)[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("suffix", ["png", "gif", "tif", "bmp"])
def test_palettes_are_indices_in_masks_and_colors_in_images(tmp_path, suffix):
    rng = np.random.default_rng(0)
    for n in (2, 3, 17, 256):
        indices = rng.integers(0, n, (20, 30), "uint8")
        colors = rng.permutation(np.arange(768)).reshape(256, 3)[:n].astype("uint8")
        image = Image.fromarray(indices).convert("P")
        image.putpalette(colors.tobytes())
        image.save(file := tmp_path / f"a.{suffix}")
        # some writers sort the palette, so what the file holds is what another reader finds
        with Image.open(file) as opened:
            expected = np.asarray(opened)
        assert (read_mask(file) == expected).all(), (suffix, n)
        assert (read_image(file) == colors[indices]).all(), (suffix, n)


def test_overviews_of_a_geotiff_are_no_images(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 2**16, (64, 64), "uint16")
    with tifffile.TiffWriter(tmp_path / "cog.tif") as file:
        file.write(pixels, tile=(32, 32))
        file.write(pixels[::2, ::2], tile=(16, 16), subfiletype=1)
    assert (read_image(tmp_path / "cog.tif")[..., 0] == pixels).all()


def test_pages_are_no_channels_of_an_image(tmp_path):
    tifffile.imwrite(
        tmp_path / "stack.tif", np.zeros((5, 20, 20), "uint16"), photometric="minisblack"
    )
    with pytest.raises(DataProblem, match="5 images, where one is expected"):
        read_image(tmp_path / "stack.tif")
    assert read_mask(tmp_path / "stack.tif", stacked=True).shape == (20, 20, 5)
    channels = np.random.default_rng(0).integers(0, 2**16, (5, 20, 21), "uint16")
    tifffile.imwrite(tmp_path / "imagej.tif", channels, imagej=True, metadata={"axes": "CYX"})
    assert (read_image(tmp_path / "imagej.tif") == channels.transpose(1, 2, 0)).all()


def test_missing_data_of_gdal_are_nan(tmp_path):
    height = np.float32([[1.5, -9999], [-9999, 3]])
    for dtype, expected in ("float32", [1.5, np.nan]), ("int16", [1, np.nan]), ("uint8", [1, 241]):
        tifffile.imwrite(
            tmp_path / "dem.tif",
            height.astype("int64").astype(dtype) if dtype[0] != "f" else height,
            extratags=[(42113, 2, 0, "-9999", True)],
        )
        np.testing.assert_array_equal(read_image(tmp_path / "dem.tif")[0, :, 0], expected)


@pytest.mark.slow
def test_two_hundred_megapixels_are_read(tmp_path):
    for name in ("big.png", "big.tif", "big.jpg"):
        cv2.imwrite(str(tmp_path / name), np.full((20000, 10000), 77, "uint8"))
        assert read_image(tmp_path / name).shape == (20000, 10000, 1)
        assert read_mask(tmp_path / name).shape == (20000, 10000)


def test_more_pixels_than_the_old_limit_of_pillow_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for name in ("a.png", "a.tif", "a.jpg", "a.bmp"):
        Image.new("P" if name == "a.png" else "L", (200, 100)).save(tmp_path / name)
        assert read_mask(tmp_path / name).shape[:2] == (100, 200)
    file = tmp_path / "bomb.png"
    file.write_bytes(png_of(8, 3, b"", 2**16, 2**15))
    with pytest.raises(DataProblem, match="has 65536×32768 pixels.*cut it into tiles") as error:
        read_mask(file)
    assert error.value.kind == "too large"


@pytest.mark.parametrize("channels", [0, -1, True, "rgb", (), (-1,), 1.5, (0.5,)])
def test_channels_are_numbers(channels):
    from dl_utils.data.images import _image_format

    with pytest.raises(ValueError, match="channels="):
        _image_format(channels)


@pytest.mark.parametrize(
    "value_range", [5, (1,), (1, 1), (2, 1), "file", (0, np.nan), ((0, 1), (1, 0)), "", (0, "b")]
)
def test_value_range_is_low_and_high(value_range):
    from dl_utils.data.images import _image_format

    with pytest.raises(ValueError, match="value_range="):
        _image_format(None, value_range)
