"""`stop KIND`: a training that SIGTERM stops in its third epoch; `resume KIND KIND`: resume each,
and compare it with an uninterrupted training."""
import os
import signal
import sys

import numpy as np

from dl_utils.keras_utils import ResumableRun
from dl_utils.tfmot_utils import calibrate, get_pruning_callbacks, keras, PolynomialDecay
from dl_utils.tfmot_utils import prune_low_magnitude, Quantize, sparsity_report

layers = keras.layers
images = np.random.default_rng(0).random((16, 16, 16, 3), "float32")
masks = (images[..., :1] > .5).astype("float32")


class Stop(keras.callbacks.Callback):
    """SIGTERM after the second batch of the third epoch."""

    def on_epoch_begin(self, epoch, logs=None): self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (2, 1): os.kill(os.getpid(), signal.SIGTERM)


def train(kind, name, callbacks=()):
    """The weights and the sparsity of a pruned or quantized model, trained in a `ResumableRun`."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((16, 16, 3)),
        layers.Conv2D(8, 3, padding="same", name="conv"),
        layers.BatchNormalization(name="norm"),
        layers.ReLU(name="relu"),
        layers.Conv2D(1, 1, activation="sigmoid", name="mask"),
    ], name="model")
    model.compile(keras.optimizers.Adam(.01), "binary_crossentropy")
    if kind == "pruning":
        model = prune_low_magnitude(model, PolynomialDecay(0, .75, 4, 18, frequency=3))
        callbacks = [*get_pruning_callbacks(), *callbacks]
    else:
        model = calibrate(Quantize()(model), images)
    run = ResumableRun(f"{kind}_{name}", seed=1)
    run.fit(model, images, masks, batch_size=4, epochs=6, verbose=0, callbacks=[*callbacks])
    np.savez(f"{kind}_{name}.npz", *model.get_weights())
    return model.get_weights(), round(sparsity_report(model).sparsity, 2)


action, *kinds = sys.argv[1:]
for kind in kinds:
    if action == "stop":
        train(kind, "resumed", [Stop()])
        continue
    weights, sparsity = train(kind, "resumed")
    expected, expected_sparsity = train(kind, "uninterrupted")
    assert sparsity == expected_sparsity == (.75 if kind == "pruning" else 0)
    assert len(weights) == len(expected) > 8
    for a, b in zip(weights, expected): assert np.array_equal(a, b), kind
