"""Excluded layers of the user, quantized models around them, saved and loaded."""
import warnings

import numpy as np
import tensorflow as tf

from dl_utils.tfmot_utils import calibrate, keras, Quantize, tflite_contents, to_tflite

keras.utils.set_random_seed(0)
layers = keras.layers
images = np.random.default_rng(0).normal(size=(8, 8, 8, 4)).astype("float32")
start = keras.Input((8, 8, 4))


@keras.utils.register_keras_serializable("test")
class Gain(layers.Layer):
    """Its `build` doesn't set `built`."""

    def build(self, shape):
        self.gain = self.add_weight(shape=shape[-1:], initializer="ones", name="gain")

    def call(self, x, power=1.): return self.gain * x ** power


@keras.utils.register_keras_serializable("test")
class Block(layers.Layer):
    """Its first call creates its weights."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = layers.Conv2D(4, 3, padding="same")
        self.norm, self.drop = layers.BatchNormalization(), layers.Dropout(.5)

    def call(self, x): return self.drop(self.norm(self.conv(x)))


def conv(x, filters=4): return layers.Conv2D(filters, 3, padding="same")(x)


def is_operator(layer): return getattr(layer, "symbol", "") != ""


def split():
    return layers.Lambda(lambda x: tf.split(x, 2, -1), name="excluded")(conv(start))


inner = keras.Input((8, 8, 4))
nested = keras.Model(inner, conv(conv(inner)), name="nested")
sequence = layers.Reshape((64, 4))(conv(start))
first_half, second_half = split()
size = tf.shape(start)[1:3] * 2
relu6 = layers.Activation(tf.nn.relu6)(conv(start))
outputs_of = dict(
    gain=conv(Gain(name="excluded")(conv(start), 2.)),
    block=conv(Block(name="excluded")(conv(start))),
    power=conv(conv(start) ** 2.),
    mean=conv(tf.reduce_mean(conv(start), [1, 2], True)),
    attention=layers.MultiHeadAttention(2, 4, name="excluded")(sequence, sequence),
    nested=conv(nested(start)),
    split=layers.Add()([conv(first_half), conv(second_half)]),
    half=conv(split()[1]),
    sized=tf.image.resize(conv(layers.MaxPooling2D()(start)), size),
    functions=conv(layers.Activation("leaky_relu")(relu6)),
)
exclude_of = dict(power=is_operator, mean=is_operator, nested="nested", sized=(), functions=())

for name, outputs in outputs_of.items():
    model = keras.Model(start, outputs, name=name)
    for weight in model.weights:
        values = np.random.default_rng(0).uniform(.3, 1, weight.shape)
        # vectors are positive, variances among them
        signs = [1] if len(weight.shape) < 2 else [-1, 1]
        weight.assign(values * np.random.default_rng(1).choice(signs, weight.shape))
    quantized = calibrate(Quantize(exclude_of.get(name, "excluded"))(model), images)
    expected, predictions = model(images).numpy(), quantized(images).numpy()
    error = np.abs(expected - predictions).mean() / np.abs(expected).max()
    assert error < .02, (name, error)
    # calibrating changes no averages, inside of layers either
    averages = [[w.numpy() for w in either.weights if "moving" in w.name]
                for either in (quantized, model)]
    for a, b in zip(*averages): assert np.array_equal(a, b), name

    quantized.compile("sgd", "mse")
    quantized.fit(images, np.zeros_like(expected), epochs=1, verbose=0)
    predictions = quantized(images).numpy()
    for suffix in "keras", "h5":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quantized.save(f"model.{suffix}")
        loaded = Quantize.load_model(f"model.{suffix}", safe_mode=False)
        assert np.array_equal(loaded(images), predictions), (name, suffix)
    if name in ("functions", "nested"):
        operators = tflite_contents(to_tflite(quantized, "model.tflite")).float_operators
        assert operators["CONV_2D"] == 2 if name == "nested" else not operators, operators
