"""Losses, metrics and callbacks on two replicas give the same as on one."""
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
replicas = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, replicas)

from dl_utils.keras_utils import AutoFinetune, Dice, keras, LossSum, MaxFscore
from dl_utils.keras_utils import MeanIoU, recompile_model, Warmup

x = np.random.default_rng(0).random((64, 4)).astype("float32")
y = (x[:, :1] > x[:, 1:2]).astype("float32")
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def build_model(loss="binary_crossentropy", with_metrics=False):
    keras.utils.set_random_seed(0)
    dense, norm = keras.layers.Dense(8, activation="relu"), keras.layers.BatchNormalization()
    backbone = keras.Sequential([keras.Input((4,)), dense, norm])
    last = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Sequential([keras.Input((4,)), backbone, last])
    metrics = [MaxFscore("F+TH"), MeanIoU(2)] if with_metrics else []
    model.compile(keras.optimizers.Adam(.01), loss, metrics=metrics)
    return model


class RecompileInEpoch(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 1: recompile_model(self.model, make_train_function=True)


def train(*callbacks, with_metrics=False):
    """The weights of a model that is trained on two replicas."""
    with strategy.scope(): model = build_model(with_metrics=with_metrics)
    model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0, callbacks=list(callbacks))
    return model.get_weights()


def evaluate(model): return model.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)


for loss, tolerance in (
    (LossSum(["binary_crossentropy", "mse"]), 1e-5),
    (Dice(), .1),  # the overlap of each replica's part is another one
):
    one = evaluate(build_model(loss, with_metrics=True))
    with strategy.scope(): model = build_model(loss, with_metrics=True)
    two = evaluate(model)
    assert len(one) > 2, one
    assert abs(one.pop("loss") - two.pop("loss")) < tolerance, loss.name
    assert one.keys() == two.keys(), (one, two)
    assert all(abs(one[name] - two[name]) < 1e-5 for name in one), (one, two)

once, recompiled = train(), train(RecompileInEpoch(), with_metrics=True)
assert max(np.abs(a - b).max() for a, b in zip(once, recompiled)) < 1e-6

with strategy.scope(): model = build_model()
model.layers[0].trainable = False
recompile_model(model)
backbone_before, last_before = model.layers[0].get_weights()[0], model.layers[-1].get_weights()[0]
warmup = Warmup(4)
finetune = AutoFinetune(monitor="loss", patience=1, min_delta=10., do_on_restart=warmup.restart)
history = model.fit(x, y, batch_size=16, epochs=4, verbose=0, callbacks=[finetune, warmup]).history
assert history["stage"] == [1, 1, 2], history["stage"]
assert (model.layers[0].get_weights()[0] != backbone_before).any()
assert (model.layers[-1].get_weights()[0] != last_before).any()
