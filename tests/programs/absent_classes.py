"""What the table of absent classes says of scikit-learn and of our metrics."""
import warnings

import numpy as np
from sklearn.metrics import f1_score, jaccard_score

from dl_utils.keras_module import to_numpy
from dl_utils.keras_utils import ClassIoU, FBetaScore, MeanIoU

truth, guess = [0, 0, 1, 1], [0, 1, 1, 2]  # of four classes the last is absent
one_hot = np.eye(4, dtype="float32")
options = dict(labels=[0, 1, 2, 3])
with warnings.catch_warnings(action="ignore"):
    assert f1_score(truth, guess, average=None, **options)[3] == 0
    assert jaccard_score(truth, guess, average=None, **options)[3] == 0
of_class = f1_score(truth, guess, average=None, zero_division=np.nan, **options)
mean = f1_score(truth, guess, average="macro", zero_division=np.nan, **options)


def result(metric, labels):
    metric.update_state(labels, one_hot[np.array([guess])])
    return metric.result()


ids, hot = np.array([truth]), one_hot[np.array([truth])]
np.testing.assert_allclose(to_numpy(result(FBetaScore(), hot)), of_class, rtol=1e-6)
np.testing.assert_allclose(float(result(FBetaScore("macro"), hot)), mean, rtol=1e-6)
iou = jaccard_score(truth, guess, average=None, labels=[0, 1, 2])
values = [float(value) for value in result(ClassIoU(4), ids).values()]
np.testing.assert_allclose(values, [*iou, np.nan], rtol=1e-6)
np.testing.assert_allclose(float(result(MeanIoU(4), ids)), iou.mean(), rtol=1e-6)
assert float(result(MeanIoU(4, ignore_index=255), np.full((1, 4), 255))) == 0
