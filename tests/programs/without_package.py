"""Call the part that needs a package as if this were not installed."""
import sys

import numpy as np
import pytest

missing, part = sys.argv[1:]


def keras():
    import dl_utils.data.loader  # noqa: F401


def compression():
    from dl_utils.tfmot_utils import Quantize  # noqa: F401


def history():
    from dl_utils.training.history import KerasHistory
    KerasHistory({"loss": [1.0], "epoch": [0]}).widget()


def browse():
    from dl_utils.plotting import browse
    browse(lambda i, augmented: None, 1)


def tensorboard():
    from dl_utils.training.tensorboard import TensorBoardContext
    TensorBoardContext("logs")


def tiff():
    from dl_utils.data.images import _decode_file
    if missing == "imagecodecs":  # tifffile itself reads these
        for file in "zlib.tif", "packbits.tif": assert (_decode_file(file).values == 1).all()
        with pytest.raises(ValueError, match="needs the package 'imagecodecs'"):
            _decode_file("lzw.tif")
    _decode_file("zstd.tif")


def small_model():
    from dl_utils.keras_module import keras
    x = keras.Input((2,))
    return keras.Model(x, keras.layers.Dense(1)(x))


def onnx():
    from dl_utils.export.onnx import save_onnx
    save_onnx(small_model(), "model.onnx")


def tflite():
    from dl_utils.export.tflite import _interpreter_class, load_tflite, to_tflite
    to_tflite(small_model(), "model.tflite")
    assert load_tflite("model.tflite")(np.zeros((1, 2), "float32")).shape == (1, 1)
    print(_interpreter_class().__module__.split(".")[0])


if part == "tiff":
    import tifffile
    for file in "zstd", "lzw", "zlib", "packbits":
        tifffile.imwrite(f"{file}.tif", np.ones((8, 8, 6), "uint8"), compression=file,
                         photometric="minisblack", planarconfig="contig")
for name in list(sys.modules):  # tifffile keeps the codecs that it has found
    if name.split(".")[0] in (missing, "tifffile"): del sys.modules[name]
sys.modules[missing] = None
globals()[part]()
