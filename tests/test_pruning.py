"""Pruning where one notebook can't show it: our models, processes of Keras 3, stock models, replicas, signals."""
import textwrap

import numpy as np
import pytest


def test_our_networks_are_pruned(python):
    """Each becomes as sparse as it was told, in a step, and plain again, the pixels of the pruned one; a model of Keras 3 is pruned, too."""
    assert python("""
        import warnings
        import numpy as np
        from dl_utils.keras_utils import Deeplabv3Plus, keras, make_fractal_unet, UNet
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # models of tf_keras are coming, in a process of Keras 3
            from dl_utils.tfmot_utils import get_pruning_callbacks, prune_low_magnitude
            from dl_utils.tfmot_utils import sparsity_report, unprune
        images = np.random.default_rng(0).random((2, 64, 64, 3), 'float32')
        for make, backbone in (UNet, 'EfficientNetV2B0'), (Deeplabv3Plus, 'MobileNetV3Small'), (make_fractal_unet, 'MobileNetV2'):
            net = make(backbone, (64, 64, 3), out_filters=2, weights=None)
            net.compile('sgd', 'mse')
            pruned = prune_low_magnitude(net, .7)
            assert np.abs(np.asarray(net(images)) - pruned(images).numpy()).max() < 1e-5
            pruned.fit(images, np.zeros((2, 64, 64, 2)), verbose=0, callbacks=get_pruning_callbacks())
            plain = unprune(pruned)
            report = sparsity_report(plain)
            assert all(abs(row.zeros - .7 * row.size) <= max(.5, 1e-3 * row.size) for row in report) and len(report) > 30
            assert [layer.name for layer in plain.layers] == [layer.name for layer in pruned.layers], 'names'
            print(net.name, np.array_equal(plain(images), pruned(images)), plain.optimizer is not None)
        """) == "unet True True\ndeeplabv3plus True True\nfractal_unet True True"


def test_stock_networks_are_unpruned(python):
    assert python("""
        import numpy as np
        import tensorflow_model_optimization as tfmot
        from dl_utils.tfmot_utils import get_pruning_callbacks, keras, sparsity_report, unprune
        stock = tfmot.sparsity.keras
        net = stock.prune_low_magnitude(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name='conv'), keras.layers.Flatten(), keras.layers.Dense(2, name='dense')]),
                                        stock.ConstantSparsity(.5, begin_step=1))
        net.compile('sgd', 'mse')
        x = np.random.default_rng(0).random((8, 8, 8, 3), 'float32')
        net.fit(x, np.zeros((8, 2)), verbose=0, callbacks=get_pruning_callbacks())
        plain = unprune(net)
        print(np.array_equal(plain(x), stock.strip_pruning(net)(x)), sparsity_report(net).sparsity, sparsity_report(plain).sparsity, [layer.name for layer in plain.layers])
        """, "tf_keras") == "True 0.5 0.5 ['conv', 'flatten', 'dense']"


def test_two_replicas_count_a_step_once(python):
    assert python("""
        import numpy as np
        import tensorflow as tf
        cpu = tf.config.list_physical_devices('CPU')[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        from dl_utils.tfmot_utils import get_pruning_callbacks, keras, PolynomialDecay
        from dl_utils.tfmot_utils import prune_low_magnitude, sparsity_report
        x = np.random.default_rng(0).normal(size=(16, 4)).astype('float32')
        weights = []
        for strategy in tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1']), tf.distribute.get_strategy():
            with strategy.scope():
                keras.utils.set_random_seed(0)
                start = keras.Input((4,))
                shared = keras.layers.Dense(4)
                net = keras.Model(start, keras.layers.Dense(1)(shared(shared(start))))
                net.compile(keras.optimizers.SGD(.01), 'mse')
                pruned = prune_low_magnitude(net, PolynomialDecay(0, .75, 0, 8, frequency=2))
            pruned.fit(x, x[:, :1], batch_size=4, epochs=2, shuffle=False, verbose=0, callbacks=get_pruning_callbacks())
            weights.append(pruned.get_weights())
            print(sparsity_report(pruned).sparsity, {int(layer.pruning_step.numpy()) for layer in pruned.layers[1:]})
        print(all(np.allclose(a, b, atol=1e-6) for a, b in zip(*weights)))
        """, "tf_keras").splitlines()[-3:] == ["0.75 {8}", "0.75 {8}", "True"]


TRAINING = """
    import os, signal, sys
    import numpy as np
    from dl_utils.keras_utils import ResumableRun
    from dl_utils.tfmot_utils import calibrate, get_pruning_callbacks, keras, PolynomialDecay
    from dl_utils.tfmot_utils import prune_low_magnitude, Quantize, sparsity_report

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None): self.epoch = epoch
        def on_train_batch_end(self, batch, logs=None):
            if (self.epoch, batch) == (2, 1): os.kill(os.getpid(), signal.SIGTERM)

    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).random((16, 16, 16, 3), 'float32')
    masks = (images[..., :1] > .5).astype('float32')
    layers = keras.layers
    net = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(8, 3, padding='same'), layers.BatchNormalization(), layers.ReLU(), layers.Conv2D(1, 1, activation='sigmoid')])
    net.compile(keras.optimizers.Adam(.01), 'binary_crossentropy')
    pruning = sys.argv[1] == 'pruning'
    net = prune_low_magnitude(net, PolynomialDecay(0, .75, 4, 18, frequency=3)) if pruning else calibrate(Quantize()(net), images)
    callbacks = (get_pruning_callbacks() if pruning else []) + ([Stop()] if 'stop' in sys.argv else [])
    ResumableRun(sys.argv[2], seed=1).fit(net, images, masks, batch_size=4, epochs=6, verbose=0, callbacks=callbacks)
    np.savez(sys.argv[2] + '.npz', *net.get_weights())
    print(round(sparsity_report(net).sparsity, 2))
"""


@pytest.mark.parametrize("what, sparsity", [("pruning", "0.75"), ("quantization", "0.0")])
def test_an_interrupted_run_goes_on(python, tmp_path, what, sparsity):
    """Stopped by SIGTERM in the midst of an epoch and started again, masks, steps and ranges are, to the digit, those of a run that nobody stopped."""
    program = f"import sys; sys.argv[1:] = {{}}\n{textwrap.dedent(TRAINING)}"
    assert python(program.format([what, "whole"]), "tf_keras") == sparsity
    stopped = python(program.format([what, "parts", "stop"]), "tf_keras", check=False)
    assert "after 3 of 6 epochs" in stopped.stdout + stopped.stderr and not (tmp_path / "parts.npz").exists(), stopped
    assert python(program.format([what, "parts"]), "tf_keras").splitlines()[-1] == sparsity
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "parts.npz") as parts:
        assert len(whole.files) == len(parts.files) > 8 and all(np.array_equal(whole[name], parts[name]) for name in whole.files)


COMPRESSION = """
    import os, signal, sys
    from dl_utils.keras_utils import make_shapes_dataset, MeanIoU, SegDataLoader
    from dl_utils.tfmot_utils import compress, EightBits, keras, Pruned

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2: os.kill(os.getpid(), signal.SIGTERM)

    def tuned(model, training): return training(model, [Stop()] if 'stop' in sys.argv else [])

    keras.utils.set_random_seed(0)
    data = SegDataLoader(make_shapes_dataset('shapes', 24, size=(32, 32), num_classes=3), num_classes=3, batch_size=4, seed=0).split(.7)
    layers = keras.layers
    net = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(16, 3, padding='same'), layers.BatchNormalization(), layers.ReLU(), layers.Conv2D(3, 1, activation='softmax')])
    net.compile(keras.optimizers.Adam(.01), 'categorical_crossentropy', metrics=[MeanIoU(3)])
    table, smallest = compress(net, data, [[Pruned(.5)], [Pruned(.5), tuned], [EightBits()]], 0., folder=sys.argv[1], epochs=4, show=False)
    print([(row.recipe, row.score, row.size) for row in table], smallest.name)
"""


def test_compression_goes_on(python, tmp_path):
    """Stopped by SIGTERM in the midst of its second recipe and started again, it has the table of one that nobody stopped."""
    program = f"import sys; sys.argv[1:] = {{}}\n{textwrap.dedent(COMPRESSION)}"
    whole = python(program.format(["whole"]), "tf_keras").splitlines()[-1]
    stopped = python(program.format(["parts", "stop"]), "tf_keras", check=False)
    assert "after 3 of 4 epochs" in stopped.stdout + stopped.stderr and {path.name for path in (tmp_path / "parts").glob("*.json")} == {"made_of.json", "float.json", "pruned-50.json"}, stopped
    assert python(program.format(["parts"]), "tf_keras").splitlines()[-1] == whole and "pruned 50%, tuned" in whole
