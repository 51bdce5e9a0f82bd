"""`NAMES`: backbones for 1, 4 and 6 channels. A grey image gives what it gives three times as RGB,
and RGB twice what RGB gives.

`names` prints all constructors. `NAME=imagenet` builds with `weights='imagenet'`, for which a file
of random weights stands; with a bare name the weights stay random. Models are cut behind stride 4,
far behind what is adapted."""
import importlib
import sys

import numpy as np

from dl_utils.graph.surgery import get_model_elements, set_layer_weights
from dl_utils.keras_utils import get_keras_application_model_constructor_list, keras
from dl_utils.models.backbones import _find_constructor, _image_layers, build_backbone, feature_maps

SIZE, FILE = (96, 96), "imagenet.weights.h5"
random = np.random.default_rng(0)
rgb = random.random((1, *SIZE, 3), "float32")
grey, three_greys = rgb[..., :1], np.repeat(rgb[..., :1], 3, axis=-1)

package = keras.Model.__module__.split(".")[0]
downloads = importlib.import_module(
    f"{package}.src.utils.{'file_utils' if package == 'keras' else 'data_utils'}")
downloads.get_file = lambda *args, **kwargs: FILE


def set_statistics(model):
    """Give normalizations statistics that differ by channel."""
    layers = get_model_elements(model, element_class=keras.layers.Normalization).values()
    for layer in layers:
        if not layer.get_weights(): continue  # ConvNeXt's have constants
        set_layer_weights(layer, [np.array([.5, .4, .3]), np.array([.2, .1, .05]), np.array(1)])


def built(name, weights):
    """The backbone for RGB up to stride 4."""
    if weights:
        model = _find_constructor(name)(include_top=False, weights=None, input_shape=(*SIZE, 3))
        set_statistics(model)
        model.save_weights(FILE)
    model = build_backbone(name, keras.Input((*SIZE, 3)), weights or None)
    if not weights: set_statistics(model)
    maps = feature_maps(model)
    return keras.Model(model.inputs[0], maps[min(stride for stride in maps if stride > 2)])


def features(model, image): return np.asarray(model(image))


if sys.argv[1:] == ["names"]:
    sys.exit(print(*(f.__name__ for f in get_keras_application_model_constructor_list())))

for argument in sys.argv[1:]:
    name, _, weights = argument.partition("=")
    backbone = built(name, weights)
    one, four, six = (build_backbone(backbone, keras.Input((*SIZE, n))) for n in (1, 4, 6))

    expected = features(backbone, three_greys)
    assert np.isfinite(expected).all() and np.abs(expected).max() > 0, name
    difference = np.abs(features(one, grey) - expected).max()
    assert difference <= 1e-5, (name, difference)

    expected = features(backbone, rgb)
    difference = np.abs(features(six, np.concatenate([rgb, rgb], axis=-1)) - expected).max()
    assert difference <= 1e-4 * max(1, np.abs(expected).max()), (name, difference)

    first = _image_layers(four)[-1][0]
    kernel, adapted = (m.get_layer(first.name).get_weights()[0] for m in (backbone, four))
    assert adapted.shape[2] == 4 and np.allclose(adapted[:, :, 0], adapted[:, :, 3])
    assert np.isclose(np.abs(adapted[:, :, :3]).sum(), .75 * np.abs(kernel).sum(), rtol=1e-3)
    assert np.isfinite(features(four, np.concatenate([rgb, grey], axis=-1))).all()
    print(name, flush=True)
    keras.backend.clear_session()
