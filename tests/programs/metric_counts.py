"""Metrics count exactly: many pixels in one update, many updates, with and without weights.

The argument is the number of pixels: float32 stops at 2 ** 24, so 25 million are enough to show it.
"""
import sys

import numpy as np

from dl_utils.keras_module import to_numpy
from dl_utils.keras_utils import ClassIoU, FBetaScore, MaxFscore, MeanIoU

# of twenty pixels two are foreground: one of them found, and one background pixel taken for it
TRUTH = np.float32([1, 1] + 18 * [0])
GUESS = np.float32([1, 0, 1] + 17 * [0])
F1, CLASS_IOU = .5, [17 / 19, 1 / 3]
IOU = sum(CLASS_IOU) / 2


def scores(metric):
    """All numbers that a metric gives."""
    result = metric.result()
    values = list(result.values()) if isinstance(result, dict) else [result]
    return np.concatenate([np.ravel(to_numpy(value)) for value in values])


def check(metric, expected, n_pixels, n_updates=1, weight=None):
    """A metric gives the expected scores after some updates of so many pixels."""
    shape = 1, n_pixels // 20, 20, 1
    truth, guess = (np.broadcast_to(row[:, None], shape) for row in (TRUTH, GUESS))
    weights = None if weight is None else np.full(shape[:3], weight, "float32")
    for _ in range(n_updates): metric.update_state(truth, guess, weights)
    case = type(metric).__name__, n_pixels, n_updates, weight
    np.testing.assert_allclose(scores(metric), expected, rtol=1e-6, err_msg=str(case))


many = int(sys.argv[1])
check(MaxFscore("F", num_thresholds=2), [F1], many)
check(FBetaScore(threshold=.5), [F1], many)
check(ClassIoU(2), CLASS_IOU, many)
check(MeanIoU(2, ignore_index=255), [IOU], 1_200_000, weight=.3)  # three chunks

# many updates, as if each pixel were a million
for weight in 1e6, .3:
    check(MaxFscore("F", num_thresholds=2), [F1], 100, 40, weight)
    check(FBetaScore(threshold=.5), [F1], 100, 40, weight)
    check(MeanIoU(2), [IOU], 100, 40, weight)

# one pixel after 2 ** 24 of them
metric, one = MeanIoU(2), np.ones((1, 1, 1), "float32")
metric.update_state(one, one[..., None], 2 ** 24 * one)
for _ in range(7): metric.update_state(one, one[..., None], one)
parts = [to_numpy(part).astype("float64") for part in (metric.total_cm, metric.confusion.low)]
assert sum(parts).sum() == 2 ** 24 + 7, parts

# rare heavy pixels beside many light ones
random = np.random.default_rng(0)
truth, guess = random.integers(0, 3, (2, 200_000))
weights = (1e-3 * 10 ** (4 * random.random(truth.size))).astype("float32")
metric = ClassIoU(3)
metric.update_state(truth[None], np.eye(3, dtype="float32")[guess[None]], weights[None])
matrix = np.zeros((3, 3))
np.add.at(matrix, (truth, guess), weights.astype("float64"))
hits = np.diag(matrix)
expected = hits / (matrix.sum(0) + matrix.sum(1) - hits)
np.testing.assert_allclose(scores(metric), expected, rtol=1e-6)

# a weight of NaN is not hidden
metric = MeanIoU(2)
metric.update_state(np.ones((1, 2)), np.ones((1, 2, 1)), np.float32([[1, np.nan]]))
assert np.isnan(scores(metric)).all()
