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

    def dense(units, seed):
        keras.utils.set_random_seed(seed)
        return keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(units), keras.layers.Dense(3, activation='softmax')])

    def distiller(features=None, student=None, teacher=None, **options):
        model = Distiller(student or net(4, 0), teacher or net(8, 1), features=features)
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
    with strategy.scope(): uneven = distiller(student=dense(4, 0), teacher=dense(8, 1))
    logs = uneven.fit(x[:5], y[:5, 0, 0], batch_size=4, verbose=0).history  # in the last step one replica has nothing
    assert all(np.isfinite(v).all() for v in logs.values()), logs
    print('two replicas')
"""

HALF = NETWORKS + """
    whole = distiller(features={'features': 'features'}, temperature=1.).fit(x, y, shuffle=False, verbose=0, epochs=3).history
    keras.mixed_precision.set_global_policy('mixed_float16')
    half = distiller(features={'features': 'features'}, temperature=1.)
    assert half.student.layers[0].compute_dtype == 'float16'
    half = half.fit(x, y, shuffle=False, verbose=0, epochs=3).history
    assert half.keys() == whole.keys() and all(np.isfinite(v).all() and np.allclose(v, whole[k], rtol=.02, atol=.02) for k, v in half.items()), (half, whole)
    conv = lambda n: keras.layers.Conv2D(n, 3, padding='same')
    for activation in None, 'softmax':
        plain = lambda: keras.Sequential([keras.Input((8, 8, 3)), conv(4), conv(3), *([keras.layers.Activation(activation)] if activation else [])])
        model = Distiller(plain(), plain())
        model.compile('adam', student_loss_fn=keras.losses.CategoricalCrossentropy(from_logits=not activation))
        logs = model.fit(x, y, sample_weight=w, verbose=0, epochs=3).history
        assert 'float16' in str(model.student.outputs[0].dtype) and all(np.isfinite(v).all() for v in logs.values()), logs
    print('half precision')
"""

WITHOUT_A_GRAPH = NETWORKS + """
    class Net(keras.Model):
        def __init__(self, classes):
            super().__init__()
            self.last = keras.layers.Conv2D(classes, 1)
        def call(self, x): return self.last(x)

    def built(classes):
        net = Net(classes)
        net(x)
        return net

    def logs(student, teacher, y):
        model = Distiller(student, teacher, student_head='logits', teacher_head='logits' if isinstance(teacher, Net) else None)
        model.compile('sgd', student_loss_fn=(keras.losses.BinaryCrossentropy if y.shape[-1] == 1 else keras.losses.CategoricalCrossentropy)(from_logits=True, reduction='none'))
        before = student.get_weights()[0]
        found = model.fit(x, y, epochs=2, verbose=0).history
        assert abs(student.get_weights()[0] - before).max() < .1
        return found

    one = logs(built(1), built(1), y[..., :1])
    assert .001 < one['distillation_loss'][1] < one['distillation_loss'][0], one
    for teacher in built(1), built(4):
        try: logs(built(3), teacher, y)
        except Exception as error: assert 'the student has 3 classes' in str(error), error
        else: raise AssertionError('not noticed')
    print('without a graph')
"""

AS_USUAL = NETWORKS + """
    import os
    model = distiller(features={'features': 'features'})
    stop = keras.callbacks.EarlyStopping('val_distillation_loss', mode='min', restore_best_weights=True)
    best = keras.callbacks.ModelCheckpoint('best.keras', monitor='val_student_loss', mode='min', save_best_only=True)
    model.fit(x, y, validation_data=(x, y), callbacks=[stop, best], epochs=3, verbose=0)
    assert keras.models.load_model('best.keras').name == model.student.name
    model.export('exported')
    assert os.path.isdir('exported')
    model.compile(keras.optimizers.Adam(), student_loss_fn='categorical_crossentropy')
    model.fit(x, y, shuffle=False, verbose=0)
    model.save_weights('all.weights.h5')
    again = distiller(features={'features': 'features'})
    again.compile(keras.optimizers.Adam(), student_loss_fn='categorical_crossentropy')
    again.load_weights('all.weights.h5')
    for one in model, again: one.fit(x, y, shuffle=False, verbose=0)
    assert max(abs(a - b).max() for a, b in zip(model.get_weights(), again.get_weights())) < 1e-6

    silent = net(8, 1)
    silent.set_weights([a * np.nan for a in silent.get_weights()])
    alone = distiller(teacher=silent, alpha=1.)
    assert np.isfinite(alone.fit(x, y, verbose=0).history['loss']).all()
    model.compile('adam', alpha=0, metrics=['accuracy'])
    assert set(model.fit(x, verbose=0).history) >= {'loss', 'student_loss', 'distillation_loss', 'feature_loss'}  # no truth

    import warnings
    from dl_utils.keras_utils import make_shapes_dataset, SegDataLoader
    with warnings.catch_warnings(record=True):
        warnings.simplefilter('always')
        resizing = Distiller(keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(3, 1, activation='softmax')]), net(8, 1))
    resizing.compile('adam', student_loss_fn='sparse_categorical_crossentropy')
    with SegDataLoader(make_shapes_dataset('shapes', n=4, size=(12, 20), num_classes=3), 3, batch_size=2, target='sparse') as data:
        assert np.isfinite(resizing.fit(data, shuffle=False, verbose=0).history['loss']).all()
    print('as usual')
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
    import keras as keras_3, tf_keras
    other = tf_keras if keras is keras_3 else keras_3
    own = net(8, 1)
    foreign = net(8, 1, other)
    foreign.set_weights(own.get_weights())
    a, b = (distiller(features={'features': 'features'}, teacher=teacher).fit(x, y, shuffle=False, epochs=2, verbose=0).history for teacher in (own, foreign))
    assert all(np.allclose(a[k], b[k], rtol=1e-4) for k in a), (a, b)
    for path in 'teacher.keras', 'teacher.h5':
        foreign.save(path)
        c = distiller(features={'features': 'features'}, teacher=path).fit(x, y, shuffle=False, epochs=2, verbose=0).history
        assert all(np.allclose(a[k], c[k], rtol=1e-4) for k in a), (path, a, c)
    print('of another Keras')
"""


@pytest.mark.parametrize("flavour", ["keras", "tf_keras"])
def test_two_replicas(python, flavour): assert python(TWO_REPLICAS, flavour) == "two replicas"


@pytest.mark.parametrize("flavour", ["keras", "tf_keras"])
def test_half_precision(python, flavour): assert python(HALF, flavour) == "half precision"


def test_on_jax_without_tensorflow(python): assert python(JAX, "keras", KERAS_BACKEND="jax") == "on JAX"


@pytest.mark.parametrize("flavour", ["keras", "tf_keras"])
def test_a_teacher_of_another_keras(python, flavour): assert python(OF_ANOTHER_KERAS, flavour) == "of another Keras"


@pytest.mark.parametrize("flavour", ["keras", "tf_keras"])
def test_networks_without_a_graph(python, flavour): assert python(WITHOUT_A_GRAPH, flavour) == "without a graph"


@pytest.mark.parametrize("flavour", ["keras", "tf_keras"])
def test_callbacks_and_files(python, flavour): assert python(AS_USUAL, flavour).endswith("as usual")
