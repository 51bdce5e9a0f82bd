"""A UNet of Keras 3, quantized and converted in a process that runs on Keras 3."""
import warnings

import numpy as np

from dl_utils.keras_utils import Dice, keras, MeanIoU, UNet

backbone = keras.applications.MobileNetV2(
    weights=None, include_top=False, input_shape=(96, 96, 3), alpha=.35)
model = UNet(backbone, (96, 96, 3), out_filters=3)
model.compile("adam", Dice(), metrics=[MeanIoU(num_classes=3)])
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from dl_utils.tfmot_utils import calibrate, Quantize, tflite_contents, to_tflite
messages = [str(warning.message) for warning in caught]
assert any("os.environ['KERAS_MODULE'] = 'tf_keras'" in message for message in messages), messages

images = np.random.default_rng(0).random((4, 96, 96, 3), "float32")
masks = np.eye(3, dtype="float32")[np.random.default_rng(1).integers(0, 3, (4, 96, 96))]
quantized = calibrate(Quantize()(model), images)
assert type(quantized).__module__.split(".")[0] == "tf_keras"
assert np.abs(np.asarray(model(images)) - quantized(images).numpy()).max() < .05
history = quantized.fit(images, masks, verbose=0).history
assert sorted(history) == ["loss", "mean_iou"]
assert tflite_contents(to_tflite(quantized, "model.tflite", images)).int8_convolutions == 1
