"""Layers and graphs that a rule could change unnoticed."""
import numpy as np
import tensorflow as tf

from dl_utils.tfmot_utils import calibrate, keras, Quantize, tflite_contents, to_tflite

keras.utils.set_random_seed(0)
layers, l2 = keras.layers, keras.regularizers.l2(.1)
rng = np.random.default_rng(0)
images = rng.normal(size=(4, 8, 8, 4)).astype("float32")
start = keras.Input((8, 8, 4))

inner = keras.Input((8, 8, 4))
x = layers.Dropout(.5)(layers.BatchNormalization()(layers.Conv2D(4, 3)(inner)))
base = keras.Model(inner, x, name="base")
head_start = keras.Input((8, 8, 4))
head = keras.Model(head_start, layers.Conv2D(2, 3)(head_start), name="head")
resized = tf.image.resize(start[..., :2], (4, 4))
shared = layers.Conv2D(2, 1)(start)
in_inference_mode = layers.BatchNormalization()(layers.Conv2D(4, 3)(start), training=False)
dense = layers.Dense(5, activation="tanh", bias_regularizer=l2, bias_initializer="ones")


def swish(x): return x * tf.sigmoid(1.7 * x)  # not the swish of Keras


outputs_of = dict(
    separable=layers.SeparableConv2D(5, 3, activation="sigmoid")(start),
    grouped=layers.Conv2D(8, 3, groups=4, activation="swish")(start),
    own_swish=layers.Conv2D(8, 3, activation=swish)(start),
    dense=dense(start),
    regularized=layers.Conv2D(4, 3, activation="swish", activity_regularizer=l2)(start),
    frozen_base=layers.Dense(2)(layers.GlobalAveragePooling2D()(base(start, training=False))),
    named=layers.Activation("linear", name="out")(layers.Conv2D(2, 3)(start)),
    nested=[head(start), layers.Conv2D(1, 1, name="b")(start)],
    sliced=layers.Conv2D(2, 1)(resized),
    same_twice=layers.Concatenate()([shared, shared]),
    frozen_norm=layers.Conv2D(2, 1)(in_inference_mode),
    limited_relu=layers.Conv2D(2, 1)(layers.ReLU(1.)(start)),
    hard_sigmoid=layers.Conv2D(4, 3, activation="hard_sigmoid")(start),
    average=layers.Average()([start, layers.Conv2D(4, 1)(start)]),
    relu_with_threshold=layers.ReLU(threshold=.1)(start),
    elu_with_alpha=layers.ELU(.5)(start),
    norm_of_vector=layers.BatchNormalization()(layers.Flatten()(start)),
    norm_of_first_axis=layers.BatchNormalization(axis=1)(start),
)
TRAINED_NORMS = "norm_of_vector", "norm_of_first_axis"
IN_FLOAT = "relu_with_threshold", "elu_with_alpha", *TRAINED_NORMS

for name, outputs in outputs_of.items():
    model = keras.Model(start, outputs, name=name)
    try:
        quantized = calibrate(Quantize()(model), images)
    except ValueError as error:
        assert name == "own_swish" and "three ways out" in str(error), (name, error)
        continue
    assert name != "own_swish"
    for a, b in zip(tf.nest.flatten(model(images)), tf.nest.flatten(quantized(images))):
        assert np.abs(a - b).max() < .05 * np.abs(a).max() + 1e-6, name
    assert quantized.output_names == model.output_names, name
    if name == "nested": continue

    targets = np.zeros(model(images).shape)
    losses = []
    for compiled in model, quantized:
        compiled.compile("sgd", "mse")
        losses.append(compiled.evaluate(images, targets, verbose=0))
    assert np.isclose(*losses, rtol=.1), (name, losses)  # a lost regularizer is far more

    norms = [layer for layer in quantized._flatten_layers()
             if isinstance(layer, layers.BatchNormalization)]
    means = [layer.moving_mean.numpy() for layer in norms]
    quantized.fit(images, targets, verbose=0)
    if name not in TRAINED_NORMS:
        for mean, layer in zip(means, norms): assert np.array_equal(mean, layer.moving_mean), name
    in_float = tflite_contents(to_tflite(quantized, "model.tflite")).float_operators
    assert bool(in_float) == (name in IN_FLOAT), (name, in_float)
    assert "CAST" in in_float or not in_float, (name, in_float)

# a factor for each row, and a convolution of one dimension, are errors or work
rows = start * np.arange(8.).reshape(8, 1, 1)
sequence = layers.Conv1D(2, 1)(layers.Reshape((64, 4))(start))
for outputs in rows, sequence:
    try: Quantize()(keras.Model(start, outputs))
    except ValueError as error: assert "three ways out" in str(error)

attention = layers.MultiHeadAttention(2, 4, name="excluded")
square = layers.Lambda(lambda x: x ** 2, name="excluded")
for layer, shape in (attention, (6, 8)), (square, (4, 4, 3)):
    x = keras.Input(shape)
    model = keras.Model(x, layer(x, x) if len(shape) == 2 else layer(x))
    data = np.random.default_rng(0).random((4, *shape), "float32")
    quantized = calibrate(Quantize(exclude="excluded")(model), data)
    assert np.isfinite(quantized(np.ones((1, *shape), "float32"))).all()
