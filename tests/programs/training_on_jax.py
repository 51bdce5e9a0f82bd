"""Losses, metrics and callbacks work on JAX, without TensorFlow."""
import sys

sys.modules["tensorflow"] = None

from pathlib import Path

import numpy as np

from dl_utils.keras_utils import AutoFinetune, Dice, keras, KerasHistory
from dl_utils.keras_utils import LossSum, MaxFscore, PlotHistory
from dl_utils.keras_utils import recompile_model, TestSetCallback, Warmup

assert keras.backend.backend() == "jax"
x = np.random.default_rng(0).random((64, 8, 8, 1)).astype("float32")
y = (x > .7).astype("float32")


def build_model():
    keras.utils.set_random_seed(0)
    conv, norm = keras.layers.Conv2D(8, 1, activation="relu"), keras.layers.BatchNormalization()
    backbone = keras.Sequential([keras.Input((8, 8, 1)), conv, norm])
    last = keras.layers.Conv2D(1, 1, activation="sigmoid")
    model = keras.Sequential([keras.Input((8, 8, 1)), backbone, last])
    loss = LossSum(["binary_crossentropy", Dice()])
    model.compile(keras.optimizers.Adam(.01), loss, metrics=[MaxFscore("F+TH")])
    return model


class RecompileInEpoch(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 1: recompile_model(self.model, make_train_function=True)


def fit(model, *callbacks):
    options = dict(batch_size=16, epochs=4, shuffle=False, verbose=0)
    return KerasHistory(model.fit(x, y, **options, callbacks=list(callbacks))).history


once, recompiled = build_model(), build_model()
fit(once)
fit(recompiled, RecompileInEpoch())
assert max(np.abs(a - b).max() for a, b in zip(once.get_weights(), recompiled.get_weights())) < 1e-6

model = build_model()
model.layers[0].trainable = False
recompile_model(model)
before, warmup = model.layers[0].get_weights()[0], Warmup(6)
finetune = AutoFinetune(monitor="loss", patience=1, min_delta=10., do_on_restart=warmup.restart)
history = fit(model, TestSetCallback((x, y)), finetune, warmup, PlotHistory())
assert history["stage"] == [1, 1, 2], history["stage"]
assert Path("history.png").read_bytes().startswith(b"\x89PNG")  # no notebook here: a file
np.testing.assert_allclose(history["learning_rate"], [.01 * 4 / 6, .01, .01 * 4 / 6], rtol=1e-5)
assert (model.layers[0].get_weights()[0] != before).any() and history["test_F1"][-1] > 0
