"""Resizing2DLike takes the same pixels as Keras' own resizing, at all sizes, up and down."""
import numpy as np

from dl_utils.keras_module import to_numpy
from dl_utils.keras_utils import keras, Resizing2DLike

layer = Resizing2DLike("nearest")
resize = keras.ops.image.resize if hasattr(keras, "ops") else None
for old in 5, 7, 24, 64:
    ramp = np.arange(old, dtype="float32").reshape(1, 1, old, 1)
    for new in [*range(1, 30), 40, 63, 65, 100, 128]:
        like = np.zeros((1, 1, new, 1), "float32")
        columns = to_numpy(layer([ramp, like])).ravel()
        assert (columns == (2 * np.arange(new) + 1) * old // (2 * new)).all(), (old, new)
        if resize and (old, new) in ((64, 24), (64, 40), (64, 100), (7, 3), (5, 12)):
            assert (columns == to_numpy(resize(ramp, (1, new), "nearest")).ravel()).all(), new
