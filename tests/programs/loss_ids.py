"""Losses refuse class ids outside the classes, and ignore the ids that they are told."""
import numpy as np
import pytest

from dl_utils.keras_utils import Dice, Focal, keras, LossSum, MeanIoU, Tversky

random = np.random.default_rng(0)
ids = random.integers(0, 3, (2, 4, 5))
scores = random.dirichlet(np.ones(3), ids.shape).astype("float32")


def make_losses(**options):
    "One loss of each kind"
    sparse = keras.losses.SparseCategoricalCrossentropy()
    return [
        Dice(**options),
        Tversky(.3, .7, gamma=4 / 3, **options),
        Focal(**options),
        LossSum(["categorical_crossentropy", Dice()], **options),
        LossSum([sparse], **options),
    ]


for dtype, wrong in ("int64", 2147483647), ("int32", -1), ("uint8", 255), ("float32", 3):
    for last_axis in False, True:
        truth = ids.astype(dtype)
        truth[1, 2, 3] = wrong
        if last_axis: truth = truth[..., None]
        for loss in make_losses():
            with pytest.raises(ValueError, match=f"given 1 class ids.* first is {wrong}.*0 to 2"):
                loss(truth, scores)
        for ignore_index in wrong, [7, wrong], (wrong, 7):
            weights = np.ones(ids.shape)
            weights[1, 2, 3] = 0
            pairs = zip(make_losses(ignore_index=ignore_index), make_losses())
            for loss, plain in pairs:
                expected = float(plain(ids, scores, weights))
                np.testing.assert_allclose(float(loss(truth, scores)), expected, rtol=1e-6)

# one channel: the truth is the probability of the second class
binary, p = (ids > 1).astype("int32"), scores[..., :1]
with_void = np.where(ids == 0, 255, binary)
for make in Dice, Focal:
    with pytest.raises(ValueError, match="first is 255.*0 to 1"): make()(with_void, p)
    expected = float(make()(binary, p, ids != 0))
    np.testing.assert_allclose(float(make(ignore_index=255)(with_void, p)), expected, rtol=1e-6)

# a compiled function gives NaN; with `ignore_index`, the same as an eager one
inputs = keras.Input((None, None, 3))
model = keras.Model(inputs, keras.layers.Activation("linear")(inputs))
truth = np.where(ids == 2, np.where(np.arange(5) % 2, 254, 255), ids).astype("int32")[..., None]
for loss, ignoring in zip(make_losses()[:4], make_losses(ignore_index=[254, 255])[:4]):
    model.compile("sgd", loss)
    assert np.isnan(model.evaluate(scores, truth, verbose=0, return_dict=True)["loss"]), loss.name
    model.compile("sgd", ignoring, metrics=[MeanIoU(3, ignore_index=[254, 255])])
    value = model.evaluate(scores, truth, verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(value, float(ignoring(truth, scores)), rtol=1e-5)

# saved and loaded
for loss in make_losses(ignore_index=(254, -1)):
    loaded = keras.losses.deserialize(keras.losses.serialize(loss))
    assert loaded.get_config() == loss.get_config() and loaded.ignore_index == [254, -1]
metric = MeanIoU(3, ignore_index=(254, -1))
assert MeanIoU.from_config(metric.get_config()).ignore_index == [254, -1]
assert MeanIoU(3, ignore_index=255).get_config()["ignore_index"] == 255

for wrong in "255", 2.5, [254, "255"], [], {254, 255}:
    for make in lambda **options: MeanIoU(3, **options), Dice, Focal:
        with pytest.raises(ValueError, match="ignore_index="): make(ignore_index=wrong)
