"""Leaf through samples, under the ipywidgets of the folder in argv; print their version."""
import sys

sys.path[:0] = sys.argv[1:]

import html
import io

import ipywidgets
import numpy as np
from PIL import Image

from dl_utils.plotting import browse

rng, calls = np.random.default_rng(0), []
images, classes = rng.random((3, 40, 64, 3), "float32"), rng.integers(0, 4, (3, 40, 64))
colors = [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


def sample(i, augmented):
    calls.append((i, augmented))
    if i == 1: raise KeyError("<mask>")
    image = images[i] * rng.uniform(.5, .9) if augmented else images[i]
    return image, np.eye(4, 3, dtype="float32")[classes[i]]  # the fourth is ignored


def pixels(image): return np.asarray(Image.open(io.BytesIO(bytes(image.value))))[::5, ::5]


def painted(i): return 255 * np.eye(4, 3)[classes[i]]


box = browse(sample, 3, ["a", "b", "<c>"], colors, names=["x.png", "<y>", "z"])
assert pixels(box.image).shape == (40, 64, 3)
assert (pixels(box.image) == (images[0] * 255).round()).all()
assert "&lt;c&gt;" in box.legend.value and "rgb(0,0,255)" in box.legend.value
assert "no label" in box.legend.value
box.opacity.value = 0
assert (pixels(box.overlay) == pixels(box.image)).all()
box.opacity.value = 1
assert (pixels(box.overlay) == painted(0)).all()
box.slider.value = 1
assert "KeyError: " + html.escape("'<mask>'") in box.error.value
assert "&lt;y&gt;" in box.caption.value and box.images.layout.display == "none"
box.slider.value = 2
assert not box.error.value and (pixels(box.overlay) == painted(2)).all()
assert box.images.layout.display == "flex"
box.augmented.value = True
before = bytes(box.image.value)
box.again.click()
assert bytes(box.image.value) != before
assert calls == [(0, False), (1, False), (2, False), (2, True), (2, True)]
parts = "slider augmented again opacity image overlay caption legend error"
assert {*parts.split()} <= vars(box).keys()
# none of these is needed, and each takes long to import
assert not {"keras", "tensorflow", "matplotlib"} & sys.modules.keys()
print(ipywidgets.__version__)
