"""The report against independent implementations, and on datasets of other kinds."""

import csv
import json
from functools import partial

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as sk

from dl_utils.data.loader import SegDataLoader
from dl_utils.inference.predict import predict_folder
from dl_utils.inference.report import _boundary_scores, _calibration_counts, _calibration_error
from dl_utils.inference.report import _class_scores, _count_pairs, Report, report, ReportCallback
from dl_utils.keras_module import keras
from dl_utils.metrics import ClassIoU, MaxFscore, MeanIoU

# NumPy 2 says that of Keras' variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

quiet = partial(report, progress=False)


def draw(root, n=5, dtype="uint8", channels=3, classes=3, ignored=False, subfolder="", seed=0):
    "Blocks of classes; the image is the class and noise"
    rng = np.random.default_rng(seed)
    top = np.iinfo(dtype).max
    for i in range(n):
        mask = rng.integers(0, classes, (4, 5)).repeat(8, 0).repeat(8, 1)
        image = (mask[..., None] + rng.random((32, 40, channels))) / classes
        values = (image * top).astype(dtype)
        stored = mask.astype("uint8")
        if classes == 2:
            stored = stored * 255
        if ignored:
            stored[:2] = 255
        for side, pixels in ("inp", values), ("out", stored):
            folder = root / side / subfolder
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.squeeze()).save(folder / f"{i}.png")
    return root


def guess(batch, classes=3):
    "Probabilities that depend on the grey value"
    grey = batch.mean(-1, keepdims=True)
    centers = (np.arange(classes) + 0.5) / classes
    scores = np.exp(-20 * np.abs(grey - centers))
    return scores / scores.sum(-1, keepdims=True)


@pytest.mark.parametrize("seed", range(20))
def test_scores_equal_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 7))
    used = rng.permutation(n)[: rng.integers(1, n + 1)]  # others are absent
    truth, predicted = rng.choice(used, (2, 500))
    confusion = _count_pairs(truth, predicted, n)
    labels = range(n)
    assert (confusion == sk.confusion_matrix(truth, predicted, labels=labels)).all()
    scores = _class_scores(confusion)
    options = {"labels": labels, "zero_division": np.nan}
    expected = sk.precision_recall_fscore_support(truth, predicted, **options)
    occurs = np.isin(labels, [*truth, *predicted])
    for name, values in zip(("precision", "recall", "f1", "pixels"), expected):
        np.testing.assert_allclose(scores[name][occurs], np.nan_to_num(values[occurs]), atol=1e-12)
    iou = sk.jaccard_score(truth, predicted, labels=labels, average=None, zero_division=0)
    np.testing.assert_allclose(np.nan_to_num(scores["iou"]), iou, atol=1e-12)
    assert np.isnan(scores["iou"][~occurs]).all()


def outline_points(mask):
    "Pixels of which one of the four neighbours lies outside"
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.argwhere(mask & ~inner)


@pytest.mark.parametrize("seed", range(20))
def test_boundaries_equal_all_pairs_of_points(seed):
    rng = np.random.default_rng(seed)
    size = rng.integers(3, 30, 2)
    masks = [rng.random(size) < rng.uniform(0.1, 0.9) for _ in range(2)]
    for mask in masks:
        mask[tuple(rng.integers(0, size))] = True
    truth, predicted = map(outline_points, masks)
    distances = np.hypot(*(predicted[:, None] - truth[None]).transpose(2, 0, 1))
    to_truth, to_predicted = distances.min(1), distances.min(0)
    expected = []
    for tolerance in 1, 2, 4:
        precision, recall = (to_truth <= tolerance).mean(), (to_predicted <= tolerance).mean()
        expected.append(2 * precision * recall / max(1e-9, precision + recall))
    expected.append(max(np.percentile(to_truth, 95), np.percentile(to_predicted, 95)))
    np.testing.assert_allclose(_boundary_scores(*masks), expected, atol=1e-6)


def test_boundaries_of_absent_objects():
    empty, full = np.zeros((6, 6), bool), np.ones((6, 6), bool)
    assert np.isnan(_boundary_scores(empty, empty)).all()
    for pair in (empty, full), (full, empty):
        assert _boundary_scores(*pair)[:3] == [0, 0, 0] and np.isnan(_boundary_scores(*pair)[3])


def test_calibration_error_by_its_definition():
    rng = np.random.default_rng(0)
    confidence = rng.random(5000)
    is_right = rng.random(5000) < confidence**2
    error = 0
    for low in np.arange(15) / 15:
        chosen = (confidence >= low) & (confidence < low + 1 / 15)
        error += chosen.mean() * abs(confidence[chosen].mean() - is_right[chosen].mean())
    assert _calibration_error(_calibration_counts(confidence, is_right)) == pytest.approx(error)


def test_numbers_equal_the_metrics(tmp_path):
    "As `evaluate` gives them, with ignored pixels and a class that is absent"
    loader = SegDataLoader(draw(tmp_path, ignored=True), 4, ignore_index=255, batch_size=5)
    made = quiet(partial(guess, classes=4), loader)
    x, y, weights = loader[0]
    mean, single = MeanIoU(4), ClassIoU(4)
    for metric in mean, single:
        metric.update_state(y, guess(x, 4), weights)
    assert made.means["iou"] == pytest.approx(float(mean.result()), abs=1e-6)
    by_class = [float(v) for v in single.result().values()]
    np.testing.assert_allclose(made.scores["iou"], by_class, atol=1e-6)
    assert made.confusion_matrix.sum() == 5 * 30 * 40


@pytest.mark.parametrize("dtype, channels", [("uint8", 1), ("uint16", 1), ("uint8", 3)])
def test_binary_datasets(tmp_path, dtype, channels):
    loader = SegDataLoader(draw(tmp_path, dtype=dtype, channels=channels, classes=2))
    model = lambda batch: batch.mean(-1, keepdims=True) ** 2  # noqa: E731
    made = quiet(model, loader)
    assert made.class_names == ["background", "foreground"]
    metric = MaxFscore()
    for i in range(len(loader.pairs)):
        x, y, _ = loader.sample(i)
        metric.update_state(y[None], model(x[None]))
    assert made.best == pytest.approx({k: float(v) for k, v in metric.result().items()})
    again = quiet(model, tmp_path, threshold=made.best["TH"])
    assert again.scores["f1"][1] == pytest.approx(made.best["F1"], abs=1e-6)


def test_folders_and_loaders_agree(tmp_path):
    root = draw(tmp_path / "data", subfolder="north")
    loader = SegDataLoader(root, 3)
    by_loader, by_folder = quiet(guess, loader), quiet(guess, root)
    assert by_loader.names == [f"north/{i}.png" for i in range(5)]
    for output in "mask", "probabilities":
        out = tmp_path / output
        assert not predict_folder(guess, root / "inp", out, output, progress=False)
        of_files = quiet(out, loader)
        assert (of_files.confusions == by_loader.confusions).all()
        assert (of_files.calibration is None) == (output == "mask")
    assert (by_folder.confusions == by_loader.confusions).all()


@pytest.mark.parametrize("suffix", ["keras", "tflite"])
def test_files_are_models(tmp_path, suffix):
    from dl_utils.export.tflite import to_tflite

    root = draw(tmp_path / "data")
    layer = keras.layers.Conv2D(3, 1, activation="softmax")
    model = keras.Sequential([keras.Input((32, 40, 3)), layer])
    path = tmp_path / f"model.{suffix}"
    model.save(path) if suffix == "keras" else to_tflite(model, path)
    assert (quiet(path, root).confusions == quiet(model, root).confusions).all()


def test_the_worst_images_come_first(tmp_path):
    loader = SegDataLoader(draw(tmp_path, n=9), 3)
    made = quiet(guess, loader, worst=4)
    order = np.argsort(made.image_scores)[:4]
    assert [entry["name"] for entry in made.worst] == [made.names[i] for i in order]
    assert len(made.show_worst(3).axes) == 15
    with pytest.raises(ValueError, match="worst=6"):
        quiet(guess, loader, worst=0).show_worst()


def test_files_of_a_report(tmp_path):
    made = quiet(guess, draw(tmp_path / "data"), class_names=["sky", "<b>", "road & way"])
    for suffix in "html", "csv", "json":
        made.save(tmp_path / f"new/report.{suffix}")
    page = (tmp_path / "new/report.html").read_text("utf-8")
    assert "&lt;b&gt;" in page and "http" not in page and page.count("data:image/png") == 2
    with open(tmp_path / "new/report.csv", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [row["class"] for row in rows] == made.class_names
    assert [float(row["iou"]) for row in rows] == made.scores["iou"].tolist()
    saved = json.loads((tmp_path / "new/report.json").read_text())
    assert saved["confusion_matrix"] == made.confusion_matrix.tolist()
    assert list(saved["images"]) == made.names


def test_comparison_of_images_that_differ():
    rng = np.random.default_rng(0)
    right = rng.integers(50, 90, (30, 2))
    wrong = rng.integers(0, 20, (30, 2))
    confusions = np.stack([np.diag(a) + np.diag(b)[::-1] for a, b in zip(right, wrong)])
    better = np.stack([np.diag(a + 9) + np.diag(b)[::-1] for a, b in zip(right, wrong)])
    names = [f"{i}.png" for i in range(30)]
    first, second = (Report(["a", "b"], names, c) for c in (confusions, better))
    made = second.compare(first)
    gain = made.after - made.before
    assert (0 < made.low).all() and (made.low <= gain).all() and (gain <= made.high).all()
    assert [row[-1] for row in first.compare(second).rows()[1:]] == ["worse"] * 3
    with pytest.raises(ValueError, match="the same are expected"):
        first.compare(Report(["a", "b"], names[:3], confusions[:3]))


def test_tensorboard_gets_the_report(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loader = SegDataLoader(draw(tmp_path / "data"), 3, batch_size=2)
    layer = keras.layers.Conv2D(3, 1, activation="softmax")
    model = keras.Sequential([keras.Input((None, None, 3)), layer])
    model.compile("sgd", "categorical_crossentropy")
    callback = ReportCallback(loader, tmp_path / "logs", every=2)
    model.fit(loader, epochs=5, verbose=0, callbacks=[callback])
    events = EventAccumulator(str(tmp_path / "logs/report"))
    events.Reload()
    assert [event.step for event in events.Tensors("mean IoU")] == [1, 3] == [*callback.reports]
    assert {"figures", "worst images", "IoU of classes/0"} <= set(events.Tags()["tensors"])


def test_predictions_that_do_not_fit(tmp_path):
    root = draw(tmp_path / "data")
    loader = SegDataLoader(root, 3)
    with pytest.raises(ValueError, match="the model gives 4 classes, the dataset has 3"):
        quiet(partial(guess, classes=4), loader)
    with pytest.raises(ValueError, match="0.png: predictions outside"):
        quiet(lambda batch: 5 * guess(batch), loader)
    with pytest.raises(FileNotFoundError, match="there is no prediction for 1.png"):
        (tmp_path / "some").mkdir()
        (tmp_path / "some/0.png").write_bytes((root / "out/0.png").read_bytes())
        quiet(tmp_path / "some", loader)
    Image.new("L", (40, 32), 7).save(tmp_path / "some/0.png")
    with pytest.raises(ValueError, match="class 7 is predicted.* num_classes=8"):
        quiet(tmp_path / "some", loader)
    Image.new("L", (20, 32)).save(tmp_path / "some/0.png")
    with pytest.raises(ValueError, match=r"\(32, 20\) pixels for a mask of \(32, 40\)"):
        quiet(tmp_path / "some", loader)
    with pytest.raises(ValueError, match="tile: masks in a folder are as they are"):
        quiet(tmp_path / "some", loader, tile=8)
    with pytest.raises(ValueError, match="threshold=2"):
        quiet(guess, loader, threshold=2)


def test_classes_in_the_file(tmp_path):
    "A model that decides itself, with and without metadata, on binary masks of 0 and 255"
    from dl_utils.export.metadata import write_metadata
    from dl_utils.export.onnx import with_classes

    root = draw(tmp_path / "data", classes=2)
    layer = keras.layers.Conv2D(1, 1, activation="sigmoid")
    model = keras.Sequential([keras.Input((None, None, 3)), layer])
    path = tmp_path / "classes.keras"
    with_classes(model, 0.4).save(path)
    expected = quiet(model, root, threshold=0.4)
    assert (quiet(path, root).confusions == expected.confusions).all()
    write_metadata(path, num_classes=1, threshold=0.4)
    made = quiet(path, root)
    assert (made.confusions == expected.confusions).all() and made.calibration is None


def test_ignored_seams_do_not_make_outlines(tmp_path):
    "A disk within a seam of 255, as in Pascal VOC: predictions that end in the seam are right"
    distance = np.hypot(*(np.mgrid[:64, :64] - 32))
    mask = np.where(distance < 15, 1, np.where(distance < 20, 255, 0)).astype("uint8")
    for side, pixels in ("inp", np.zeros((64, 64, 3), "uint8")), ("out", mask):
        (tmp_path / side).mkdir()
        Image.fromarray(pixels).save(tmp_path / side / "0.png")
    loader = SegDataLoader(tmp_path, 2, ignore_index=255)
    for radius, score, hd95 in (17, 1, 0), (25, 0, 5), (10, 0, 5):
        inside = (distance < radius).astype("float32")
        model = lambda batch, inside=inside: np.stack([1 - inside, inside], -1)[None]  # noqa: E731
        scores = quiet(model, loader).scores
        assert scores["boundary_f1"][1] == score, radius
        assert scores["hd95"][1] == pytest.approx(hd95, abs=0.6), radius


def test_whole_numbers_of_several_channels_are_no_classes(tmp_path):
    one_hot = lambda batch: (guess(batch) > 0.5).astype("uint8")  # noqa: E731
    root = draw(tmp_path)
    made = quiet(one_hot, SegDataLoader(root, 3))
    expected = quiet(lambda batch: one_hot(batch).astype("float32"), SegDataLoader(root, 3))
    assert (made.confusions == expected.confusions).all()


def test_few_images_give_no_verdict():
    confusions = np.array([[[9, 1], [0, 5]], [[9, 0], [1, 5]]])
    better, worse = (Report(["a", "b", "c"], ["0", "1"], np.pad(c, [(0, 0), (0, 1), (0, 1)]))
                     for c in (confusions, confusions[:, ::-1]))
    rows = better.compare(worse).rows()
    assert rows[1][-1] == "too few images" and rows[3] == ["c", "–", "–", "–", "–", ""]
