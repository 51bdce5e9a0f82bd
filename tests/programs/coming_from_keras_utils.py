"""Calls as the earlier keras_utils.py took them."""
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import yaml

from dl_utils.keras_utils import AutoFinetune, Deeplabv3Plus, DoOnKill, KerasHistory, keras
from dl_utils.keras_utils import make_fractal_unet, make_shapes_dataset, MaxFscore, Resizing2DLike
from dl_utils.keras_utils import SegDataLoader, UNet


def keep(image, mask): return dict(image=image, mask=mask)


# transforms stood second, batch_size third
make_shapes_dataset("shapes", n=2, size=(32, 32))
for old in (keep,), (keep, 2), (None, 2):
    with pytest.raises(TypeError, match="by name: SegDataLoader.path, transforms="):
        SegDataLoader("shapes", *old)
with pytest.raises(ValueError, match="pass num_classes=4"):
    SegDataLoader("shapes", transforms=keep, batch_size=2)
assert SegDataLoader("shapes", 4, keep, 2)[0][0].shape == (2, 32, 32, 3)

# the layer held the map whose size it gives
x, like = np.zeros((1, 4, 4, 2), "float32"), np.zeros((1, 8, 8, 3), "float32")
for old in like, keras.Input((8, 8, 3)), keras.ops.ones(3) if hasattr(keras, "ops") else like:
    with pytest.raises(TypeError, match=r"call it on both: Resizing2DLike\(\)\(\[x, like\]\)"):
        Resizing2DLike(old)
assert Resizing2DLike()([x, like]).shape == (1, 8, 8, 2)

# a tensor stood second
start = x = keras.Input((64, 64, 3))
for filters in 8, 8, 8, 8:
    x = keras.layers.Conv2D(filters, 3, strides=2, padding="same")(x)
backbone = keras.Model(start, x)
grey = keras.Input((64, 64, 1))
colour = keras.layers.Concatenate()([grey] * 3)
image = np.random.default_rng(0).random((2, 64, 64, 1), "float32")
for build in UNet, Deeplabv3Plus, make_fractal_unet:
    model = build(backbone, colour, out_filters=3)
    assert model.input_shape == (None, 64, 64, 1) and model(image).shape == (2, 64, 64, 3)
# one channel is repeated by the model itself, so the old line above is no longer needed
for build in UNet, Deeplabv3Plus, make_fractal_unet:
    model = build(backbone, grey, out_filters=3)
    assert model.input_shape == (None, 64, 64, 1) and model(image).shape == (2, 64, 64, 3)
short = keras.Input((64, 1))
with pytest.raises(ValueError, match="input_tensor"): UNet(backbone, short)

# arguments with other names now
for build in UNet, Deeplabv3Plus, make_fractal_unet:
    with pytest.raises(TypeError, match="dropout_rate=0.1: .* dropout="):
        build(backbone, dropout_rate=.1)
    with pytest.raises(TypeError, match="im_size=.64, 64.: .* input_shape=.height, width, 3."):
        build(backbone, im_size=(64, 64))
    with pytest.raises(TypeError, match="pool_mode='max': .* global_pool_2D_with_bottleneck"):
        build(backbone, pool_mode="max")
    name = build.__name__
    with pytest.raises(TypeError, match=f"dropuot=0.1: {name} has no .* did you mean dropout="):
        build(backbone, dropuot=.1)
    with pytest.raises(TypeError, match=f"qqq=1: {name} has no such argument; it has backbone, "):
        build(backbone, qqq=1)
assert make_fractal_unet(backbone, out_filters=5).output_shape[-1] == 5

for mode in "F", "TH", "F+TH":
    assert MaxFscore(mode.lower()).get_config() == MaxFscore(mode).get_config()
with pytest.raises(ValueError, match="mode='max'"): MaxFscore("max")

assert AutoFinetune(lr_on_finetune=None).lr_on_finetune == "same"

# a function of the callback
x, ends = np.zeros((8, 4), "float32"), []
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
send = keras.callbacks.LambdaCallback(
    on_epoch_begin=lambda *_: os.kill(os.getpid(), signal.SIGTERM))


def end(callback, status=0): ends.append(callback)


for exit_func, takes_callback in (
    (lambda: ends.append(None), False),
    (lambda *args: ends.append(*args or [None]), False),
    (lambda callback: ends.append(callback), True),
    (end, True),
):
    stop = DoOnKill("on_epoch_end", exit_func)
    model.fit(x, x[:, :1], verbose=0, callbacks=[send, stop])
    assert ends.pop() is (stop if takes_callback else None)
    assert stop.exit_func is exit_func and not ends
# methods and functions of C take something else than a callback
for wrong in lambda a, b: None, lambda *, a: None, model.save, os._exit, ends.append, 5, None:
    with pytest.raises(ValueError, match="exit_func=.* without arguments, or a def or lambda"):
        DoOnKill(exit_func=wrong)

# YAML of a `History`: its dict alone, or with the numbers of the epochs
losses = dict(loss=[1., .5], val_loss=[2., 1.])
files = dict(
    plain=losses,
    numbered=dict(losses, epoch=[3, 4]),
    history=dict(history=losses),
    both=dict(history=losses, epoch=[3, 4]),
    now=dict(history=losses, epochs=[3, 4]),
)
for name, content in files.items():
    Path(f"{name}.yaml").write_text(yaml.safe_dump(content))
    history = KerasHistory.load(f"{name}.yaml")
    assert history.history == losses
    assert history.epochs == ([0, 1] if name in ("plain", "history") else [3, 4])
python = "!!python/object/apply:os.getcwd []"
# numbers as JSON writes them, metrics of several numbers, epochs without validation; no epochs
for text, read, epochs in (
    ("lr: [1e-05, 0.1]", dict(lr=[1e-5, .1]), 2),
    ("score: [[1, 2], [3, 4]]", dict(score_0=[1, 3], score_1=[2, 4]), 2),
    ("epochs: [0, 1]\nhistory: {loss: [1, 2], val_loss: [3]}", None, 2),
    ("epochs: []\nhistory: {}", {}, 0),
):
    Path("other.yaml").write_text(text)
    history = KerasHistory.load("other.yaml")
    assert len(history.epochs) == epochs and read in (None, history.history), text
for wrong in (
    "just: text", "text", "- 1", "", "loss: 5", "history: 5", python,
    "{}", "epochs: [0, 1]", "run: '2024'", "layers: {1: x}", "loss: [a]", "history: {loss: 5}",
    "epochs: [7]\nloss: [1, 2]", "epochs: [0, 1]\nhistory: {}", "epochs: '12'\nloss: [1, 2]",
):
    Path("wrong.yaml").write_text(wrong)
    with pytest.raises(ValueError, match="'wrong.yaml' is no history"):
        KerasHistory.load("wrong.yaml")
