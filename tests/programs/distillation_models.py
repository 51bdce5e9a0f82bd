"""Data, small models and a compiled distiller, for the programs of `test_distillation.py`."""
import numpy as np

from dl_utils.keras_utils import Distiller, keras

random = np.random.default_rng(0)
x = random.random((32, 8, 8, 3)).astype("float32")
y = np.eye(3, dtype="float32")[random.integers(0, 3, (32, 8, 8))]
w = random.integers(0, 3, (32, 8, 8)).astype("float32")


def conv_model(filters, seed, keras=keras):
    keras.utils.set_random_seed(seed)
    layers, options = keras.layers, dict(padding="same", kernel_regularizer="l2")
    return keras.Sequential([
        keras.Input((8, 8, 3)),
        layers.Conv2D(filters, 3, name="features", activation="relu", **options),
        layers.Conv2D(3, 3, name="logits", **options),
        layers.Activation("softmax", dtype="float32")])


def dense_model(units, seed):
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    return keras.Sequential([
        keras.Input((8, 8, 3)),
        layers.Flatten(),
        layers.Dense(units),
        layers.Dense(3, activation="softmax")])


FEATURES = {"features": "features"}


def compiled_distiller(features=None, student=None, teacher=None, **options):
    model = Distiller(student or conv_model(4, 0), teacher or conv_model(8, 1), features=features)
    model.compile(
        keras.optimizers.SGD(.1), metrics=["accuracy"],
        student_loss_fn="categorical_crossentropy", **options)
    return model
