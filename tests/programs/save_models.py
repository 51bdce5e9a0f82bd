"""Save each of our models, as `.keras` and `.h5`, and what it predicts, in `expected.npz`."""
import numpy as np

from dl_utils.keras_utils import (
    Deeplabv3Plus,
    UNet,
    backbone_with_preprop,
    keras,
    make_fractal_unet,
)

backbone = keras.applications.MobileNetV2(
    weights=None, include_top=False, input_shape=(64, 64, 3), alpha=0.35
)
x = np.random.default_rng(0).random((1, 50, 70, 3), "float32")  # no multiples of 32
models = {}
for make in UNet, Deeplabv3Plus, make_fractal_unet:
    for nested in False, True:
        model = make(backbone, (None, None, 3), out_filters=3, use_submodels=nested)
        models[f"{model.name}-{nested}"] = model
for name in "MobileNetV3Small", "ConvNeXtTiny":
    models[name] = UNet(name, (None, None, 3), weights=None)
models["inference"] = backbone_with_preprop("EfficientNetB0", weights=None)
expected = {}
for name, model in models.items():
    for suffix in ".keras", ".h5": model.save(name + suffix)
    expected[name] = model.predict(x, verbose=0)
np.savez("expected.npz", x=x, **expected)
