"""MaxFscore finds the best F-measure and threshold of scikit-learn's precision-recall curve."""
import numpy as np
from sklearn.metrics import precision_recall_curve

from dl_utils.metrics import MaxFscore

random, n = np.random.default_rng(7), 1_000_000
uniform = random.random(n)
scores_by_name = dict(
    random=uniform,
    low=uniform ** 20,
    high=1 - uniform ** 20,
    narrow=.4 + .005 * uniform,
    saturated=1 / (1 + np.exp(-40 * random.standard_normal(n))),
    tied=uniform.round(2),
    few=random.choice([0, .1, .5, .500001, 1], n),
    bytes=(255 * uniform).astype("uint8") / 255,
)
for name, scores in scores_by_name.items():
    scores = scores.astype("float32")
    probability = dict(narrow=200 * (scores - .4), low=uniform ** 3).get(name, scores) * .7
    truth = random.random(n) < probability
    precision, recall, _ = precision_recall_curve(truth, scores)
    for beta in .5, 1, 2:
        metric = MaxFscore("F+TH", beta)
        for part in np.array_split(np.arange(n), 4): metric.update_state(truth[part], scores[part])
        fscore, threshold = (float(v) for v in metric.result().values())
        with np.errstate(invalid="ignore"):
            curve = (1 + beta ** 2) * precision * recall / (beta ** 2 * precision + recall)
        best, above = np.nanmax(curve), scores > threshold
        hits, total = (truth & above).sum(), beta ** 2 * truth.sum() + above.sum()
        at_threshold = (1 + beta ** 2) * hits / total
        assert abs(fscore - best) < 1e-3, (name, beta, fscore, best)
        assert abs(at_threshold - best) < 1e-3, (name, beta, at_threshold, best, threshold)
