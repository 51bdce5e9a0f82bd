"""Calls as the earlier tfmot_utils.py took them."""
import numpy as np
import pytest
import tensorflow_model_optimization as tfmot

from dl_utils.compression.compatibility import _names
from dl_utils.tfmot_utils import calibrate, DefaultBNQuantizeConfig, get_pruning_callbacks, keras
from dl_utils.tfmot_utils import NoOpQuantizeConfig, prune_low_magnitude, PrunedLayer, Quantize
from dl_utils.tfmot_utils import unprune

layers = keras.layers


def make_model():
    keras.utils.set_random_seed(0)
    start = keras.Input((16, 16, 3), name="image")
    x = layers.Normalization(mean=[.4, .5, .6], variance=[.1, .2, .3], name="norm")(start)
    x = layers.Rescaling(2., -1., name="scale")(x)
    x = layers.Conv2D(8, 3, padding="same", activation="swish", name="conv")(x)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.Multiply(name="product")([x, layers.ReLU(name="relu")(x)])
    model = keras.Model(start, layers.Conv2D(1, 1, name="mask")(x), name="example")
    model.compile("adam", "mse")
    return model


model = make_model()
images = np.random.default_rng(0).random((4, 16, 16, 3), "float32")

# a module of keras.applications
everything = _names(None)
assert _names(keras.applications) == everything and len(everything) > 60
assert _names(keras.applications.resnet) == ["ResNet101", "ResNet152", "ResNet50"]
with pytest.raises(ValueError, match="applications=numpy: no constructor"): _names(np)

# an 8-bit moving average of tensorflow-model-optimization
for config in DefaultBNQuantizeConfig(), DefaultBNQuantizeConfig.from_config({"num_bits": 8}):
    quantizer, = config.get_output_quantizers(layers.BatchNormalization())
    assert isinstance(quantizer, tfmot.quantization.keras.quantizers.MovingAverageQuantizer)
    assert quantizer.num_bits == 8 and type(quantizer).from_config(quantizer.get_config())

# layers that are not quantized stay as they are
named = dict.fromkeys(("Rescaling", "Normalization", "Multiply"), NoOpQuantizeConfig())
quantize = Quantize(configs=named)
quantized = calibrate(quantize(model), images)
for name in "norm", "scale", "product":
    assert type(quantized.get_layer(name)) is type(model.get_layer(name)), name
why = {decision.layer: decision.why for decision in quantize.decisions}
assert why["norm"] == why["scale"] == why["product"] == "given in configs"
assert np.abs(quantized(images) - model(images)).max() < .1
usual = Quantize()
usual(model)
kinds = {decision.layer: decision.kind for decision in usual.decisions}
assert "Rescaling" not in kinds.values() and "Normalization" not in kinds.values()
with pytest.raises(ValueError, match="no layer or class 'Rescalling'"):
    Quantize(configs=dict(Rescalling=NoOpQuantizeConfig()))(model)

# one model, not a pair
one = Quantize()(model)
with pytest.raises(TypeError, match="unpack"): annotated, quantized = one

# a single layer that can't be pruned stays
for layer in layers.ReLU(), layers.Rescaling(2.), layers.BatchNormalization(), layers.Multiply():
    assert prune_low_magnitude(layer) is layer
conv, relu = prune_low_magnitude([layers.Conv2D(4, 3), layers.ReLU()])
assert isinstance(conv, PrunedLayer) and type(relu) is layers.ReLU
with pytest.raises(ValueError, match="nothing that can be pruned"): PrunedLayer(layers.ReLU())
pruned = keras.models.clone_model(model, clone_function=prune_low_magnitude)
kept = {layer.name for layer in pruned.layers if isinstance(layer, PrunedLayer)}
assert kept == {"conv", "mask"}
pruned.compile("sgd", "mse")
pruned.fit(images, images[..., :1], verbose=0, callbacks=get_pruning_callbacks())
kernel = unprune(pruned).get_layer("conv").kernel
assert np.mean(kernel == 0) == .5

assert unprune(model) is model
