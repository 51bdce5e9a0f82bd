"""Metrics and callbacks where one notebook can't show them: against scikit-learn, on random input, on two replicas, on JAX."""
import numpy as np
import pytest

EXACT = """
    import numpy as np
    from sklearn.metrics import precision_recall_curve
    from dl_utils.metrics import MaxFscore

    random, n = np.random.default_rng(7), 1_000_000
    uniform = random.random(n)
    scores = dict(random=uniform, low=uniform ** 20, high=1 - uniform ** 20, narrow=.4 + .005 * uniform, saturated=1 / (1 + np.exp(-40 * random.standard_normal(n))),
                  tied=uniform.round(2), few=random.choice([0, .1, .5, .500001, 1], n), bytes=(255 * uniform).astype('uint8') / 255)
    for name, score in scores.items():
        score = score.astype('float32')
        truth = random.random(n) < dict(narrow=200 * (score - .4), low=uniform ** 3).get(name, score) * .7
        precision, recall, thresholds = precision_recall_curve(truth, score)
        for beta in .5, 1, 2:
            metric = MaxFscore('F+TH', beta)
            for part in np.array_split(np.arange(n), 4): metric.update_state(truth[part], score[part])
            found, threshold = (float(v) for v in metric.result().values())
            with np.errstate(invalid='ignore'): every = (1 + beta ** 2) * precision * recall / (beta ** 2 * precision + recall)
            best, above = np.nanmax(every), score > threshold
            own = (1 + beta ** 2) * (truth & above).sum() / (beta ** 2 * truth.sum() + above.sum())
            assert abs(found - best) < 1e-3 and abs(own - best) < 1e-3, (name, beta, found, own, best, threshold)
    print('exact')
"""

TWO_REPLICAS = """
    import numpy as np, tensorflow as tf
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices('CPU')[0], [tf.config.LogicalDeviceConfiguration()] * 2)
    from dl_utils.keras_utils import AutoFinetune, Dice, keras, LossSum, MaxFscore, MeanIoU
    from dl_utils.keras_utils import recompile_model, Warmup
    x = np.random.default_rng(0).random((64, 4)).astype('float32')
    y = (x[:, :1] > x[:, 1:2]).astype('float32')

    def model(loss='binary_crossentropy'):
        keras.utils.set_random_seed(0)
        first = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation='relu'), keras.layers.BatchNormalization()])
        model = keras.Sequential([keras.Input((4,)), first, keras.layers.Dense(1, activation='sigmoid')])
        model.compile(keras.optimizers.Adam(.01), loss, metrics=[MaxFscore('F+TH'), MeanIoU(2)])
        return model

    class Again(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1: recompile_model(self.model, make_train_function=True)

    strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
    def trained(*callbacks, scope=True, **options):
        if not scope: model = model()
        else:
            with strategy.scope(): model = model()
        history = model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0, callbacks=list(callbacks), **options).history
        return model, history

    for loss, tolerance in (LossSum(['binary_crossentropy', 'mse']), 1e-5), (Dice(), .1):  # an overlap of each replica's part is another one
        one = model(loss).evaluate(x, y, batch_size=16, verbose=0, return_dict=True)
        with strategy.scope(): two = model(loss)
        two = two.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)
        assert abs(one.pop('loss') - two.pop('loss')) < tolerance, loss.name
        assert one.keys() == two.keys() and all(abs(one[k] - two[k]) < 1e-5 for k in one), (one, two)

    (plain, _), (again, _) = trained(), trained(Again())
    assert max(np.abs(a - b).max() for a, b in zip(plain.get_weights(), again.get_weights())) < 1e-6

    with strategy.scope(): model = model()
    model.layers[0].trainable = False
    recompile_model(model)
    before, last = model.layers[0].get_weights()[0], model.layers[-1].get_weights()[0]
    warmup = Warmup(4)
    finetune = AutoFinetune(monitor='loss', patience=1, min_delta=10., do_on_restart=warmup.restart)
    history = model.fit(x, y, batch_size=16, epochs=4, verbose=0, callbacks=[finetune, warmup]).history
    assert history['stage'] == [1, 1, 2], history['stage']
    assert (model.layers[0].get_weights()[0] != before).any() and (model.layers[-1].get_weights()[0] != last).any()
    print('two replicas')
"""

JAX = """
    import sys
    sys.modules['tensorflow'] = None
    import numpy as np
    from dl_utils.keras_utils import AutoFinetune, Dice, keras, KerasHistory, LossSum, MaxFscore
    from dl_utils.keras_utils import PlotHistory, recompile_model, TestSetCallback, Warmup
    assert keras.backend.backend() == 'jax'
    x = np.random.default_rng(0).random((64, 8, 8, 1)).astype('float32')
    y = (x > .7).astype('float32')

    def model():
        keras.utils.set_random_seed(0)
        first = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(8, 1, activation='relu'), keras.layers.BatchNormalization()])
        model = keras.Sequential([keras.Input((8, 8, 1)), first, keras.layers.Conv2D(1, 1, activation='sigmoid')])
        model.compile(keras.optimizers.Adam(.01), LossSum(['binary_crossentropy', Dice()]), metrics=[MaxFscore('F+TH')])
        return model

    class Again(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1: recompile_model(self.model, make_train_function=True)

    def fit(model, *callbacks): return KerasHistory(model.fit(x, y, batch_size=16, epochs=4, shuffle=False, verbose=0, callbacks=list(callbacks))).history
    plain, again = model(), model()
    fit(plain), fit(again, Again())
    assert max(np.abs(a - b).max() for a, b in zip(plain.get_weights(), again.get_weights())) < 1e-6

    model = model()
    model.layers[0].trainable = False
    recompile_model(model)
    before, warmup = model.layers[0].get_weights()[0], Warmup(6)
    history = fit(model, TestSetCallback((x, y)), AutoFinetune(monitor='loss', patience=1, min_delta=10., do_on_restart=warmup.restart), warmup, PlotHistory())
    assert history['stage'] == [1, 1, 2], history['stage']
    assert open('history.png', 'rb').read(4) == b'\\x89PNG'  # no notebook here: a file
    np.testing.assert_allclose(history['learning_rate'], [.01 * 4 / 6, .01, .01 * 4 / 6], rtol=1e-5)
    assert (model.layers[0].get_weights()[0] != before).any() and history['test_F1'][-1] > 0
    print('on JAX')
"""


@pytest.mark.parametrize("flavour", ["keras", "tf_keras"])
def test_max_fscore_is_as_exact_as_scikit_learn(python, flavour): assert python(EXACT, flavour) == "exact"


@pytest.mark.parametrize("flavour", ["keras", "tf_keras"])
def test_two_replicas(python, flavour): assert python(TWO_REPLICAS, flavour) == "two replicas"


def test_training_on_jax_without_tensorflow(python): assert python(JAX, "keras", KERAS_BACKEND="jax") == "on JAX"


def test_any_input_gives_a_measure_between_0_and_1(python):
    """Properties that hold for all input, tried on what hypothesis finds."""
    assert python("""
        import numpy as np
        from hypothesis import given, settings, strategies as st
        from hypothesis.extra import numpy as arrays
        from dl_utils.metrics import MaxFscore
        metrics = {beta: MaxFscore('F+TH', beta) for beta in (.5, 1, 2)}
        number = st.floats(0, 1, width=32)

        @settings(max_examples=150, deadline=None, database=None)
        @given(st.data(), st.integers(0, 30), st.sampled_from([.5, 1, 2]))
        def holds(data, n, beta):
            score = data.draw(arrays.arrays('float32', n, elements=number))
            weight = data.draw(arrays.arrays('float32', n, elements=st.sampled_from([0, .25, 1, 3])))
            truth, metric = data.draw(arrays.arrays('bool', n)), metrics[beta]
            metric.reset_state()
            metric.update_state(truth, score, weight)
            f, threshold = (float(v) for v in metric.result().values())
            assert 0 <= f <= 1 + 1e-6 and -1e-6 <= threshold <= 1
            if not (truth * weight).sum(): assert f == threshold == 0
            above = (score > threshold) * weight
            hits = (above * truth).sum()
            own = (1 + beta ** 2) * hits / max(beta ** 2 * (truth * weight).sum() + above.sum(), 1e-30)
            def of(t):
                above = (score >= t) * weight
                return (1 + beta ** 2) * (above * truth).sum() / max(beta ** 2 * (truth * weight).sum() + above.sum(), 1e-30)
            best = max(map(of, score), default=0)
            assert f <= best + 1e-4                              # never more than there is
            apart = np.diff(np.unique(score))
            if n and (not len(apart) or apart.min() > 1e-3):     # scores that the buckets tell apart
                assert abs(f - best) < 1e-4 and (abs(own - f) < 1e-4 or f < 1e-4)
        holds()
        print('holds')
    """) == "holds"


def test_any_size_gives_shapes_that_fit(python):
    assert python("""
        from hypothesis import given, settings, strategies as st
        from dl_utils.models.backbones import BackboneShapes

        @settings(max_examples=300, deadline=None, database=None)
        @given(st.tuples(st.integers(1, 4000), st.integers(1, 4000)), st.floats(.05, 4), st.integers(0, 6))
        def holds(size, scale, n):
            try: shapes = BackboneShapes(size, scale, n)
            except ValueError: return  # nothing is left of it
            for have, inner, outer in zip(size, shapes.input_shape, shapes.output_shape):
                assert inner == outer * 2 ** n and outer >= 1 and abs(inner - have * scale) <= 2 ** n
        holds()
        print('holds')
    """) == "holds"
