"""Save each of our models, as `.keras` and `.h5`, and what it predicts, in `expected.npz`."""
import importlib

import numpy as np

from dl_utils.keras_utils import (
    Deeplabv3Plus,
    UNet,
    backbone_with_preprop,
    keras,
    make_fractal_unet,
)

SHAPE = 64, 64, 3
OPEN = None, None, 3
x = np.random.default_rng(0).random((1, 50, 70, 3), "float32")  # no multiples of 32
start = maps = keras.Input(OPEN)
for filters in 8, 12, 16: maps = keras.layers.Conv2D(filters, 3, strides=2, padding="same")(maps)
tiny = keras.Model(start, maps)
models = {}
for make, options in (
    (UNet, {}),
    (Deeplabv3Plus, {"filters": 8}),
    (make_fractal_unet, {"filters": 8}),
):
    for nested in False, True:
        model = make(tiny, OPEN, out_filters=3, use_submodels=nested, **options)
        models[f"{model.name}-{nested}"] = model
models["MobileNetV3Small"] = UNet("MobileNetV3Small", OPEN, weights=None)
# layers that Keras itself never registered, in a family whose smallest member is large
package = keras.Model.__module__.split(".")[0]
convnext = importlib.import_module(f"{package}.src.applications.convnext")
small = convnext.ConvNeXt(
    [1, 1, 1, 1], [8, 16, 24, 32], include_top=False, weights=None, input_shape=SHAPE,
    **({"name": "small"} if package == "keras" else {"model_name": "small"}),
)
models["ConvNeXt"] = UNet(small, OPEN)
models["inference"] = backbone_with_preprop("EfficientNetB0", weights=None)
expected = {}
for name, model in models.items():
    for suffix in ".keras", ".h5": model.save(name + suffix)
    expected[name] = model.predict(x, verbose=0)
np.savez("expected.npz", x=x, **expected)
