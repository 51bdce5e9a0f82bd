"""`BLOCKS`: UNet, DeepLabV3+ and the fractal U-Net, of any size, with all blocks of their backbones
or `fewer`, quantized and converted."""
import sys

import numpy as np
from fewer_blocks import repeat_less

import dl_utils.tfmot_utils
from dl_utils.keras_utils import Deeplabv3Plus, keras, make_fractal_unet, UNet
from dl_utils.tfmot_utils import calibrate, fix_size, Quantize, tflite_contents, to_tflite

assert keras.__name__ == "tf_keras" and dl_utils.tfmot_utils.keras is keras

from tf_keras.src.applications.convnext import ConvNeXt

blocks, = sys.argv[1:]
if blocks == "fewer": repeat_less(keras)
small_convnext = ConvNeXt([1, 1, 1, 1], [8, 16, 24, 32], include_top=False, weights=None,
                          input_shape=(64, 64, 3), model_name="small")
images = np.random.default_rng(0).random((2, 70, 90, 3), "float32")
for make, backbone in (
    (UNet, "EfficientNetV2B0"),
    (Deeplabv3Plus, "MobileNetV3Small"),
    (make_fractal_unet, "MobileNetV2"),
    (UNet, small_convnext),
):
    options = dict(out_filters=3, weights=None, use_submodels=make is UNet)
    model = make(backbone, (None, None, 3), **options)
    quantized = calibrate(Quantize()(model), images)
    path = to_tflite(fix_size(quantized, 70, 90), "model.tflite", images)
    contents = tflite_contents(path)
    assert contents.int8_convolutions == 1, contents
    assert np.abs(model(images) - quantized(images)).max() < .05, model.name
