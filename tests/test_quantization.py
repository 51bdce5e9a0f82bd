"""Quantization where one notebook can't show it: all families of Keras Applications, our models on some of them, processes that run on Keras 3."""
import json

import pytest

FAMILIES = ["MobileNet", "MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "EfficientNetV2B0", "ResNet50", "ResNet50V2", "DenseNet121", "VGG16", "Xception", "InceptionV3",
            "InceptionResNetV2", "NASNetMobile", "ConvNeXtTiny", "RegNetX002", "RegNetY002", "ResNetRS50"]  # the smallest of each

SMALLER = {"NASNetMobile": "import tf_keras; from tf_keras.src.applications.nasnet import NASNet; "  # one cell where the constructor puts four: the same layers, but thrice as quick
                           "tf_keras.applications.NASNetMobile = lambda **options: NASNet(penultimate_filters=1056, num_blocks=1, stem_block_filters=32, skip_reduction=False, **options); "}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_quantized(python, name):
    """Wrapped, trained a step, saved, loaded in another process, and converted to a file of 8 bits that answers like the model; and pruned."""
    show = SMALLER.get(name, "") + "import json; from dl_utils.compression.compatibility import *; print(json.dumps({}))"
    tried, pruned = json.loads(python(show.format(f"[try_application({name!r}), prune_application({name!r})]"), "tf_keras").splitlines()[-1])
    row = tried | json.loads(python(show.format(f"reload_application({name!r})"), "tf_keras").splitlines()[-1])
    assert row["int8"] == 1 and row["from_float"] < .05 and row["from_quantized"] < .05 and row["ratio"] < .33, row
    assert not row["float_operators"] or name == "ConvNeXtTiny", row  # LayerNormalization has no 8-bit form
    assert row["keras"] == row["h5"] == 0
    assert pruned["missed"] <= .5 and pruned["equal"] and pruned["kernels"] > 12, pruned


NETWORKS = """
    import numpy as np
    from dl_utils.tfmot_utils import calibrate, fix_size, Quantize, tflite_contents, to_tflite
    from dl_utils.keras_utils import Deeplabv3Plus, make_fractal_unet, UNet
    from tf_keras.src.applications.convnext import ConvNeXt
    small_convnext = ConvNeXt([1, 1, 1, 1], [8, 16, 24, 32], include_top=False, weights=None, input_shape=(64, 64, 3), model_name='small')
    images = np.random.default_rng(0).random((2, 70, 90, 3), 'float32')
    for make, backbone in (UNet, 'EfficientNetV2B0'), (Deeplabv3Plus, 'MobileNetV3Small'), (make_fractal_unet, 'MobileNetV2'), (UNet, small_convnext):
        net = make(backbone, (None, None, 3), out_filters=3, weights=None, use_submodels=make is UNet)
        quantized = calibrate(Quantize()(net), images)
        contents = tflite_contents(to_tflite(fix_size(quantized, 70, 90), 'net.tflite', images))
        assert contents.int8_convolutions == 1, contents
        print(net.name, np.abs(net(images) - quantized(images)).max() < .05)
"""


def test_our_networks_are_quantized(python):
    assert python(NETWORKS, "tf_keras") == "unet True\ndeeplabv3plus True\nfractal_unet True\nunet True"


def test_in_a_process_of_keras_3(python):
    """A model of ours, built and compiled in Keras 3, is quantized, trained and converted there; a warning says what that means."""
    assert python("""
        import warnings
        import numpy as np
        from dl_utils.keras_utils import Dice, keras, MeanIoU, UNet
        net = UNet(keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(96, 96, 3), alpha=.35), (96, 96, 3), out_filters=3)
        net.compile('adam', Dice(), metrics=[MeanIoU(num_classes=3)])
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter('always')
            from dl_utils.tfmot_utils import calibrate, Quantize, tflite_contents, to_tflite
        assert any("os.environ['KERAS_MODULE'] = 'tf_keras'" in str(warning.message) for warning in told), told
        images, masks = np.random.default_rng(0).random((4, 96, 96, 3), 'float32'), np.eye(3, dtype='float32')[np.random.default_rng(1).integers(0, 3, (4, 96, 96))]
        quantized = calibrate(Quantize()(net), images)
        assert np.abs(np.asarray(net(images)) - quantized(images).numpy()).max() < .05
        logs = quantized.fit(images, masks, verbose=0).history
        print(sorted(logs), tflite_contents(to_tflite(quantized, 'net.tflite', images)).int8_convolutions, type(quantized).__module__.split('.')[0])
        """, "keras") == "['loss', 'mean_iou'] 1.0 tf_keras"


def test_odd_networks(python):
    """What rules could get wrong without a word: outputs stay equal, names, resting parts and regularizers too."""
    assert python("""
        import numpy as np, tensorflow as tf
        from dl_utils.tfmot_utils import calibrate, keras, Quantize, tflite_contents, to_tflite
        keras.utils.set_random_seed(0)
        layers, l2 = keras.layers, keras.regularizers.l2(.1)
        images, start = np.random.default_rng(0).normal(size=(4, 8, 8, 4)).astype('float32'), keras.Input((8, 8, 4))
        inner = keras.Input((8, 8, 4))
        base = keras.Model(inner, layers.Dropout(.5)(layers.BatchNormalization()(layers.Conv2D(4, 3)(inner))), name='base')
        head_start = keras.Input((8, 8, 4))
        head = keras.Model(head_start, layers.Conv2D(2, 3)(head_start), name='head')
        def swish(x): return x * tf.sigmoid(1.7 * x)
        models = dict(
            separable=layers.SeparableConv2D(5, 3, activation='sigmoid')(start), grouped=layers.Conv2D(8, 3, groups=4, activation='swish')(start),
            dense=layers.Dense(5, activation='tanh', bias_regularizer=l2, bias_initializer='ones')(start), regular=layers.Conv2D(4, 3, activation='swish', activity_regularizer=l2)(start),
            resting=layers.Dense(2)(layers.GlobalAveragePooling2D()(base(start, training=False))), named=layers.Activation('linear', name='out')(layers.Conv2D(2, 3)(start)),
            nested=[head(start), layers.Conv2D(1, 1, name='b')(start)], sliced=layers.Conv2D(2, 1)(tf.image.resize(start[..., :2], (4, 4))),
            twice=layers.Concatenate()([y := layers.Conv2D(2, 1)(start), y]), norm=layers.Conv2D(2, 1)(layers.BatchNormalization()(layers.Conv2D(4, 3)(start), training=False)),
            limited=layers.Conv2D(2, 1)(layers.ReLU(1.)(start)), hard=layers.Conv2D(4, 3, activation='hard_sigmoid')(start), mean=layers.Average()([start, layers.Conv2D(4, 1)(start)]),
            late=layers.ReLU(threshold=.1)(start), bent=layers.ELU(.5)(start), flat=layers.BatchNormalization()(layers.Flatten()(start)), first=layers.BatchNormalization(axis=1)(start))
        for name, outputs in models.items():
            net = keras.Model(start, outputs, name=name)
            quantized = calibrate(Quantize()(net), images)
            for a, b in zip(tf.nest.flatten(net(images)), tf.nest.flatten(quantized(images))): assert np.abs(a - b).max() < .05 * np.abs(a).max() + 1e-6, name
            assert quantized.output_names == net.output_names, name
            if name == 'nested': continue
            targets = np.zeros(net(images).shape)
            losses = []
            for model in net, quantized:
                model.compile('sgd', 'mse')
                losses.append(model.evaluate(images, targets, verbose=0))
            assert np.isclose(*losses, rtol=.1), (name, losses)  # a lost regularizer is far more
            norms = [layer for layer in quantized._flatten_layers() if isinstance(layer, layers.BatchNormalization)]
            before = [layer.moving_mean.numpy() for layer in norms]
            quantized.fit(images, targets, verbose=0)
            assert name in ('flat', 'first') or all(np.array_equal(a, layer.moving_mean) for a, layer in zip(before, norms)), name
            in_float = tflite_contents(to_tflite(quantized, 'odd.tflite')).float_operators
            assert bool(in_float) == (name in ('late', 'bent', 'flat', 'first')) and ('CAST' in in_float or not in_float), (name, in_float)
        for odd in start * np.arange(8.).reshape(8, 1, 1), layers.Conv1D(2, 1)(layers.Reshape((64, 4))(start)):
            try: print(Quantize()(keras.Model(start, odd)))
            except ValueError as error: assert 'three ways out' in str(error)
        for layer, inputs in (layers.MultiHeadAttention(2, 4, name='odd'), (6, 8)), (layers.Lambda(lambda x: x ** 2, name='odd'), (4, 4, 3)):
            x = keras.Input(inputs)
            island = Quantize(float_layers='odd')(keras.Model(x, layer(x, x) if len(inputs) == 2 else layer(x)))
            assert np.isfinite(calibrate(island, np.random.default_rng(0).random((4, *inputs), 'float32'))(np.ones((1, *inputs), 'float32'))).all()
        print('odd ones')
        """, "tf_keras") == "odd ones"


def test_the_front_door_chooses_tf_keras(python):
    assert python("import dl_utils.tfmot_utils as door; from dl_utils.keras_utils import keras; print(keras.__name__, door.keras is keras)", "keras") == "tf_keras True"


def test_layers_of_users(python):
    """Layers of the user that stay in float keep their weights and what they are called with, and come back from files; sizes and other whole numbers pass."""
    assert python("""
        import warnings
        import numpy as np, tensorflow as tf
        from dl_utils.tfmot_utils import calibrate, keras, Quantize, tflite_contents, to_tflite
        keras.utils.set_random_seed(0)
        layers = keras.layers
        images, start = np.random.default_rng(0).normal(size=(8, 8, 8, 4)).astype('float32'), keras.Input((8, 8, 4))

        @keras.utils.register_keras_serializable('test')
        class Gain(layers.Layer):  # its `build` doesn't say that it was built
            def build(self, shape): self.gain = self.add_weight(shape=shape[-1:], initializer='ones', name='gain')
            def call(self, x, power=1.): return self.gain * x ** power

        @keras.utils.register_keras_serializable('test')
        class Block(layers.Layer):  # its weights come with its first call
            def __init__(self, **kwargs):
                super().__init__(**kwargs)
                self.conv, self.norm, self.drop = layers.Conv2D(4, 3, padding='same'), layers.BatchNormalization(), layers.Dropout(.5)
            def call(self, x): return self.drop(self.norm(self.conv(x)))

        conv = lambda x, n=4: layers.Conv2D(n, 3, padding='same')(x)
        inner = keras.Input((8, 8, 4))
        nested = keras.Model(inner, conv(conv(inner)), name='nested')
        halve = lambda name: layers.Lambda(lambda x: tf.split(x, 2, -1), name=name)(conv(start))
        a, b = halve('odd')
        models = dict(
            gain=conv(Gain(name='odd')(conv(start), 2.)), block=conv(Block(name='odd')(conv(start))), power=conv(conv(start) ** 2.), mean=conv(tf.reduce_mean(conv(start), [1, 2], True)),
            attention=layers.MultiHeadAttention(2, 4, name='odd')(*[layers.Reshape((64, 4))(conv(start))] * 2), nested=conv(nested(start)), split=layers.Add()([conv(a), conv(b)]), half=conv(halve('odd')[1]),
            sized=tf.image.resize(conv(layers.MaxPooling2D()(start)), tf.shape(start)[1:3] * 2), functions=conv(layers.Activation('leaky_relu')(layers.Activation(tf.nn.relu6)(conv(start)))))
        odd = dict(power=lambda layer: getattr(layer, 'symbol', '') != '' , mean=lambda layer: getattr(layer, 'symbol', '') != '', nested='nested', sized=(), functions=())
        for name, outputs in models.items():
            net = keras.Model(start, outputs, name=name)
            for weight in net.weights: weight.assign(np.random.default_rng(0).uniform(.3, 1, weight.shape) * np.random.default_rng(1).choice([-1, 1][len(weight.shape) < 2:], weight.shape))
            quantized = calibrate(Quantize(odd.get(name, 'odd'))(net), images)
            wanted, got = net(images).numpy(), quantized(images).numpy()
            assert np.abs(wanted - got).mean() < .02 * np.abs(wanted).max(), (name, np.abs(wanted - got).mean() / np.abs(wanted).max())
            moving = [w.numpy() for w in quantized.weights if 'moving' in w.name]
            assert all(np.array_equal(w, v) for w, v in zip(moving, [w.numpy() for w in net.weights if 'moving' in w.name])), name  # calibrating moves no averages, inside of layers either
            quantized.compile('sgd', 'mse')
            quantized.fit(images, np.zeros_like(wanted), epochs=1, verbose=0)
            got = quantized(images).numpy()
            for suffix in 'keras', 'h5':
                with warnings.catch_warnings():
                    warnings.simplefilter('ignore')
                    quantized.save(f'net.{suffix}')
                assert np.array_equal(Quantize.load_model(f'net.{suffix}', safe_mode=False)(images), got), (name, suffix)
            if name == 'functions': assert not tflite_contents(to_tflite(quantized, 'net.tflite')).float_operators
            if name == 'nested': assert tflite_contents(to_tflite(quantized, 'net.tflite')).float_operators['CONV_2D'] == 2
        print('kept')
        """, "tf_keras") == "kept"
