"""Keras 3 on JAX needs nothing of TensorFlow: neither the data nor the models import it."""
import sys


class NoTensorFlow:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, NoTensorFlow())

import numpy as np  # noqa: E402

from dl_utils.data.loader import SegDataLoader  # noqa: E402
from dl_utils.data.synthetic import make_shapes_dataset  # noqa: E402
from dl_utils.keras_module import keras  # noqa: E402
from dl_utils.models.deeplab import Deeplabv3Plus  # noqa: E402
from dl_utils.models.fractal_unet import make_fractal_unet  # noqa: E402
from dl_utils.models.unet import UNet  # noqa: E402

make_shapes_dataset("shapes", n=4)
x = start = keras.Input((None, None, 3))
for filters in 8, 8, 8: x = keras.layers.Conv2D(filters, 3, strides=2, padding="same")(x)
tiny = keras.Model(start, x)
model = UNet(tiny, (None, None, 3), out_filters=4)
model.compile("adam", "categorical_crossentropy")
model.fit(SegDataLoader("shapes", 4, batch_size=2), verbose=0)
for make in Deeplabv3Plus, make_fractal_unet:
    small = make(tiny, (None, None, 3), filters=8, activation="argmax")
    assert small.predict(np.zeros((1, 50, 70, 3)), verbose=0).shape == (1, 50, 70)
model = UNet("MobileNet", (None, None, 3), out_filters=4, weights=None)
assert model.predict(np.zeros((1, 50, 70, 3)), verbose=0).shape == (1, 50, 70, 4)
