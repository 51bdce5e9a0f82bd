"""Properties that hold for any input, tried on examples of hypothesis."""
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dl_utils.metrics import MaxFscore
from dl_utils.models.backbones import BackboneShapes

metrics = {beta: MaxFscore("F+TH", beta) for beta in (.5, 1, 2)}


@settings(max_examples=150, deadline=None, database=None)
@given(st.data(), st.integers(0, 30), st.sampled_from([.5, 1, 2]))
def max_fscore_is_a_measure_between_0_and_1(data, n, beta):
    score = data.draw(arrays("float32", n, elements=st.floats(0, 1, width=32)))
    weight = data.draw(arrays("float32", n, elements=st.sampled_from([0, .25, 1, 3])))
    truth, metric = data.draw(arrays("bool", n)), metrics[beta]
    metric.reset_state()
    metric.update_state(truth, score, weight)
    f, threshold = (float(v) for v in metric.result().values())
    assert 0 <= f <= 1 + 1e-6 and -1e-6 <= threshold <= 1
    if not (truth * weight).sum(): assert f == threshold == 0

    def fscore(above):
        hits, total = (above * truth).sum(), beta ** 2 * (truth * weight).sum() + above.sum()
        return (1 + beta ** 2) * hits / max(total, 1e-30)

    best = max((fscore((score >= t) * weight) for t in score), default=0)
    at_threshold = fscore((score > threshold) * weight)
    assert f <= best + 1e-4
    gaps = np.diff(np.unique(score))
    if n and (not len(gaps) or gaps.min() > 1e-3):  # scores that the metric's buckets separate
        assert abs(f - best) < 1e-4 and (abs(at_threshold - f) < 1e-4 or f < 1e-4)


@settings(max_examples=300, deadline=None, database=None)
@given(st.tuples(st.integers(1, 4000), st.integers(1, 4000)), st.floats(.05, 4), st.integers(0, 6))
def backbone_shapes_fit(size, scale, n):
    try: shapes = BackboneShapes(size, scale, n)
    except ValueError: return  # nothing is left of the image
    for length, inner, outer in zip(size, shapes.input_shape, shapes.output_shape):
        assert inner == outer * 2 ** n and outer >= 1 and abs(inner - length * scale) <= 2 ** n


max_fscore_is_a_measure_between_0_and_1()
backbone_shapes_fit()
