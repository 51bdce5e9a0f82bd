"""`BLOCKS`: UNet, DeepLabV3+ and the fractal U-Net of Keras 3, with all blocks of their backbones
or `fewer`, pruned, trained a step and unpruned."""
import sys
import warnings

import keras
import numpy as np
from fewer_blocks import repeat_less

from dl_utils.keras_utils import Deeplabv3Plus, make_fractal_unet, UNet

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a process of Keras 3 gets models of tf_keras
    from dl_utils.tfmot_utils import get_pruning_callbacks, prune_low_magnitude
    from dl_utils.tfmot_utils import sparsity_report, unprune

blocks, = sys.argv[1:]
if blocks == "fewer": repeat_less(keras)
images = np.random.default_rng(0).random((2, 64, 64, 3), "float32")
for make, backbone in (
    (UNet, "EfficientNetV2B0"),
    (Deeplabv3Plus, "MobileNetV3Small"),
    (make_fractal_unet, "MobileNetV2"),
):
    model = make(backbone, (64, 64, 3), out_filters=2, weights=None)
    # tracing a graph for one step takes longer than all the rest: with fewer blocks one shows it
    run_eagerly = blocks == "fewer" and make is not Deeplabv3Plus
    model.compile("sgd", "mse", run_eagerly=run_eagerly)
    pruned = prune_low_magnitude(model, .7)
    assert np.abs(np.asarray(model(images)) - pruned(images).numpy()).max() < 1e-5
    # or `fit` traces twice, once to create these variables
    pruned.optimizer.build(pruned.trainable_variables)
    masks = np.zeros((2, 64, 64, 2))
    pruned.fit(images, masks, verbose=0, callbacks=get_pruning_callbacks())

    plain = unprune(pruned)
    report = sparsity_report(plain)
    assert len(report) > 30
    for row in report: assert abs(row.zeros - .7 * row.size) <= max(.5, 1e-3 * row.size), row
    assert [layer.name for layer in plain.layers] == [layer.name for layer in pruned.layers]
    assert np.array_equal(plain(images), pruned(images)), model.name
    assert plain.optimizer is not None
