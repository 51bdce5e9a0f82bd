"""`NAMES`: backbones for 1, 4 and 6 channels with the weights of ImageNet, for which a file of random
weights stands. A grey image gives what it gives three times as RGB, and RGB twice what RGB does."""
import importlib
import sys
import time

import numpy as np

from dl_utils.graph.surgery import get_model_elements, set_layer_weights
from dl_utils.keras_utils import keras
from dl_utils.models.backbones import _find_constructor, _image_layers, build_backbone

SIZE, FILE = (96, 96), "imagenet.weights.h5"
random = np.random.default_rng(0)
rgb = random.random((1, *SIZE, 3), "float32")
grey, three_greys = rgb[..., :1], np.repeat(rgb[..., :1], 3, axis=-1)

package = keras.Model.__module__.split(".")[0]
downloads = importlib.import_module(
    f"{package}.src.utils.{'file_utils' if package == 'keras' else 'data_utils'}")
downloads.get_file = lambda *args, **kwargs: FILE


def save_weights(name):
    """Save weights for `weights='imagenet'`; normalizations get statistics that differ by channel."""
    model = _find_constructor(name)(include_top=False, weights=None, input_shape=(*SIZE, 3))
    layers = get_model_elements(model, element_class=keras.layers.Normalization).values()
    for layer in layers:
        if not layer.get_weights(): continue  # ConvNeXt's have constants
        set_layer_weights(layer, [np.array([.5, .4, .3]), np.array([.2, .1, .05]), np.array(1)])
    model.save_weights(FILE)


def last_map(model, image): return np.asarray(model(image))


for name in sys.argv[1:]:
    began = time.perf_counter()
    save_weights(name)
    backbone = build_backbone(name, keras.Input((*SIZE, 3)))
    # a built backbone is adapted by the same steps, without building it again
    one, four, six = (build_backbone(backbone, keras.Input((*SIZE, n))) for n in (1, 4, 6))

    expected = last_map(backbone, three_greys)
    assert np.isfinite(expected).all() and np.abs(expected).max() > 0, name
    difference = np.abs(last_map(one, grey) - expected).max()
    assert difference <= 1e-5, (name, difference)

    expected = last_map(backbone, rgb)
    difference = np.abs(last_map(six, np.concatenate([rgb, rgb], axis=-1)) - expected).max()
    assert difference <= 1e-4 * max(1, np.abs(expected).max()), (name, difference)

    first = _image_layers(backbone)[-1][0]
    kernel, adapted = (m.get_layer(first.name).get_weights()[0] for m in (backbone, four))
    assert adapted.shape[2] == 4 and np.allclose(adapted[:, :, 0], adapted[:, :, 3])
    assert np.isclose(np.abs(adapted[:, :, :3]).sum(), .75 * np.abs(kernel).sum(), rtol=1e-3)
    assert np.isfinite(last_map(four, np.concatenate([rgb, grey], axis=-1))).all()
    print(name, f"{time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    print(name)
    keras.backend.clear_session()
