"""Distillation where one notebook can't show it: on two replicas, in half precision, on JAX, with a teacher of another Keras."""
import pytest

NETWORKS = """
    import numpy as np
    from dl_utils.keras_utils import Distiller, keras
    random = np.random.default_rng(0)
    x = random.random((32, 8, 8, 3)).astype('float32')
    y = np.eye(3, dtype='float32')[random.integers(0, 3, (32, 8, 8))]
    w = random.integers(0, 3, (32, 8, 8)).astype('float32')

    def net(filters, seed, of=keras):
        of.utils.set_random_seed(seed)
        conv = lambda n, name, **options: of.layers.Conv2D(n, 3, padding='same', name=name, kernel_regularizer='l2', **options)
        return of.Sequential([of.Input((8, 8, 3)), conv(filters, 'features', activation='relu'), conv(3, 'logits'), of.layers.Activation('softmax', dtype='float32')])

    def distiller(features=None, teacher=None, **options):
        model = Distiller(net(4, 0), teacher or net(8, 1), features=features)
        model.compile(keras.optimizers.SGD(.1), metrics=['accuracy'], student_loss_fn='categorical_crossentropy', **options)
        return model
"""

TWO_REPLICAS = """
    import tensorflow as tf
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices('CPU')[0], [tf.config.LogicalDeviceConfiguration()] * 2)
""" + NETWORKS + """
    strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
    for options in dict(), dict(features={'features': 'features'}), dict(distillation_loss_fn='cwd'), dict(distillation_loss_fn='kl_divergence'):
        one = distiller(**options)
        with strategy.scope(): two = distiller(**options)
        logs = []
        for model in one, two:
            history = model.fit(x, y, sample_weight=w, batch_size=8, epochs=2, shuffle=False, verbose=0).history
            logs.append({'after ' + k: v for k, v in model.evaluate(x, y, sample_weight=w, batch_size=8, verbose=0, return_dict=True).items()} | {k: v[-1] for k, v in history.items()})
        assert logs[0].keys() == logs[1].keys()
        assert all(abs(logs[0][k] - logs[1][k]) < 1e-4 for k in logs[0]), logs
    print('two replicas')
"""

HALF = NETWORKS + """
    whole = distiller(features={'features': 'features'}, temperature=1.).fit(x, y, shuffle=False, verbose=0, epochs=3).history
    keras.mixed_precision.set_global_policy('mixed_float16')
    half = distiller(features={'features': 'features'}, temperature=1.)
    assert half.student.layers[0].compute_dtype == 'float16'
    half = half.fit(x, y, shuffle=False, verbose=0, epochs=3).history
    assert half.keys() == whole.keys() and all(np.isfinite(v).all() and np.allclose(v, whole[k], rtol=.02, atol=.02) for k, v in half.items()), (half, whole)
    print('half precision')
"""

JAX = """
    import sys
    sys.modules['tensorflow'] = None
""" + NETWORKS + """
    teacher = net(8, 1)
    before = teacher.get_weights()
    model = distiller(features={'features': 'features'}, teacher=teacher)
    history = model.fit(x, y, sample_weight=w, epochs=4, validation_data=(x, y), verbose=0).history
    assert history['distillation_loss'][-1] < history['distillation_loss'][0] and set(history) >= {'feature_loss', 'val_student_loss', 'val_accuracy'}
    assert all((a == b).all() for a, b in zip(before, teacher.get_weights()))
    print('on JAX')
"""

OF_ANOTHER_KERAS = NETWORKS + """
    import tf_keras
    own = net(8, 1)
    foreign = net(8, 1, tf_keras)
    foreign.set_weights(own.get_weights())
    a, b = (distiller(features={'features': 'features'}, teacher=teacher).fit(x, y, shuffle=False, epochs=2, verbose=0).history for teacher in (own, foreign))
    assert all(np.allclose(a[k], b[k], rtol=1e-4) for k in a), (a, b)
    print('of another Keras')
"""


@pytest.mark.parametrize("flavour", ["keras", "tf_keras"])
def test_two_replicas(python, flavour): assert python(TWO_REPLICAS, flavour) == "two replicas"


@pytest.mark.parametrize("flavour", ["keras", "tf_keras"])
def test_half_precision(python, flavour): assert python(HALF, flavour) == "half precision"


def test_on_jax_without_tensorflow(python): assert python(JAX, "keras", KERAS_BACKEND="jax") == "on JAX"


def test_a_teacher_of_another_keras(python): assert python(OF_ANOTHER_KERAS, "keras") == "of another Keras"
