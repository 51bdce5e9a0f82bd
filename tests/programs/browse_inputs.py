"""Unusual samples: tensors, float64, one-hot targets, NumPy integers, large images, wrong ones; two
browsers at once."""
import io

import jax.numpy as jnp
import numpy as np
from PIL import Image

from dl_utils.plotting import browse


def size(image): return Image.open(io.BytesIO(bytes(image.value))).size


rng = np.random.default_rng(0)
image, target = rng.random((1500, 2000, 3)), np.eye(5)[rng.integers(0, 5, (1500, 2000))]
small, small_target = image[:9, :9], target[:9, :9]
samples = [
    (image, target),
    (jnp.asarray(image[:20, :30]), jnp.asarray(target[:20, :30])),
    (np.ones((7, 5, 3)), np.ones((7, 5, 1), int)),
    [small > .5, small_target > .5],
    (small, small_target[..., 0]),
    None,
    (small, small_target, None),
]
box, other = (
    browse(lambda i, augmented: samples[i], np.int64(7), names=np.arange(7), index=np.int32(i))
    for i in range(2)
)
sizes, errors = [], []
for box.slider.value in range(1, 4):
    sizes.append(size(box.image))
    assert size(box.overlay) == sizes[-1] and not box.error.value
for box.slider.value in range(4, 7):
    errors.append(box.error.value)
    assert "expected" in box.error.value
assert len({*errors}) == 3
assert size(other.image) == (330, 220) and "<b>1</b>" in other.caption.value
box.slider.value = 0
assert size(box.image) == size(box.overlay) == (640, 480) and "<b>0</b>" in box.caption.value
before = bytes(box.image.value)
for box.opacity.value in np.linspace(0, 1, 21): pass
assert bytes(box.image.value) == before
other.opacity.value = .1
assert box.opacity.value == 1
print(sizes)
