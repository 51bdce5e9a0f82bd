"""A layer that is called twice, pruned on two replicas and on one."""
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from dl_utils.tfmot_utils import get_pruning_callbacks, keras, PolynomialDecay
from dl_utils.tfmot_utils import prune_low_magnitude, sparsity_report

x = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
weights = []
for strategy in tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), tf.distribute.get_strategy():
    with strategy.scope():
        keras.utils.set_random_seed(0)
        start = keras.Input((4,))
        shared = keras.layers.Dense(4)
        model = keras.Model(start, keras.layers.Dense(1)(shared(shared(start))))
        model.compile(keras.optimizers.SGD(.01), "mse")
        pruned = prune_low_magnitude(model, PolynomialDecay(0, .75, 0, 8, frequency=2))
    pruned.fit(x, x[:, :1], batch_size=4, epochs=2, shuffle=False, verbose=0,
               callbacks=get_pruning_callbacks())
    weights.append(pruned.get_weights())
    assert sparsity_report(pruned).sparsity == .75
    assert {int(layer.pruning_step.numpy()) for layer in pruned.layers[1:]} == {8}
for two, one in zip(*weights): assert np.allclose(two, one, atol=1e-6)
