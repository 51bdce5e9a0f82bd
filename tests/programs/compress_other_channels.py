"""UNet for 1 and for 5 channels, on a backbone for RGB: quantized, converted, exported, pruned."""
import sys

import numpy as np
from fewer_blocks import repeat_less

from dl_utils.keras_utils import keras, load_onnx, save_onnx, UNet
from dl_utils.tfmot_utils import calibrate, load_tflite, prune_low_magnitude, Quantize
from dl_utils.tfmot_utils import sparsity_report, tflite_contents, to_tflite, unprune

assert keras.__name__ == "tf_keras"
repeat_less(keras)
rgb = keras.applications.MobileNetV2(
    weights=None, include_top=False, input_shape=(64, 64, 3), alpha=.35)
for channels in map(int, sys.argv[1:]):
    images = np.random.default_rng(0).random((2, 64, 64, channels), "float32")
    model = UNet(rgb, (64, 64, channels), out_filters=3, filters=(32, 16, 16, 8, 8))
    expected = model(images).numpy()

    quantized = calibrate(Quantize()(model), images)
    assert np.abs(quantized(images) - expected).max() < .05
    path = to_tflite(quantized, "model.tflite", images)
    assert tflite_contents(path).int8_convolutions == 1
    assert np.abs(load_tflite(path)(images) - expected).max() < .06

    save_onnx(model, "model.onnx")
    assert np.abs(load_onnx("model.onnx")(images) - expected).max() < 1e-4

    pruned = prune_low_magnitude(model, .7)
    assert np.abs(pruned(images) - expected).max() < 1e-5
    plain = unprune(pruned)
    assert len(sparsity_report(plain)) > 20
    assert plain.input_shape == (None, 64, 64, channels)
    print(channels)
