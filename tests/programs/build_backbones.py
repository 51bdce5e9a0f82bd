"""Build all three architectures on backbones given by name, and predict at an odd size."""
import sys

import numpy as np

from dl_utils.keras_utils import Deeplabv3Plus, UNet, keras, make_fractal_unet

shape = 100, 130, 3  # no multiples of 32
image = np.random.default_rng(0).random((1, *shape), "float32")
for backbone in sys.argv[1:]:
    for make in UNet, Deeplabv3Plus, make_fractal_unet:
        model = make(backbone, shape, out_filters=3, activation=None, weights=None)
        logits = np.asarray(model(image))
        assert model.output_shape == (None, *shape), (backbone, model.name)
        assert logits.shape == (1, *shape), (backbone, model.name)
        assert np.isfinite(logits).all(), (backbone, model.name)
        print(backbone, model.name)
    keras.backend.clear_session()
