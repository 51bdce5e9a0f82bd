"""The plan, a training by it, and the commands, on datasets of several kinds."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import notebooks
import numpy as np
import pytest
from PIL import Image

from dl_utils.__main__ import main
from dl_utils.commands.plan import plan
from dl_utils.data.synthetic import make_shapes_dataset
from dl_utils.export.metadata import read_metadata, write_metadata

# NumPy 2 says that of Keras' variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def command(folder, *arguments):
    "A process of its own, in a folder, that runs a command"
    env = notebooks.clean_env(folder) | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "dl_utils", *map(str, arguments)],
        cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )


def draw_xrays(root, n=10, size=(70, 90), top=3000):
    "Grey images of 12 bits in files of 16, with bright disks to find; one folder without parts"
    rng = np.random.default_rng(0)
    for i in range(n):
        mask = np.zeros(size, bool)
        for y, x in rng.integers(10, 60, (3, 2)):
            mask |= np.hypot(*(np.mgrid[: size[0], : size[1]] - [[[y]], [[x]]])) < 8
        image = (rng.random(size) * top / 3 + mask * top / 2).astype("uint16")
        for side, pixels in ("inp", image), ("out", mask.astype("uint8") * 255):
            (root / side).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / side / f"{i}.png")
    return root


def test_help_needs_no_tensorflow(tmp_path):
    code = "import sys; from dl_utils.__main__ import main\ntry: main(['train', '--help'])\n"
    code += "except SystemExit as end: sys.exit(end.code or int('tensorflow' in sys.modules))"
    env = notebooks.clean_env(tmp_path)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and "--ignore-index" in done.stdout


def test_errors_are_one_line(tmp_path):
    process = command(tmp_path, "check", "nothing")
    printed, errors = process.communicate()
    assert process.returncode == 1 and "Traceback" not in errors + printed
    assert printed.startswith("nothing: ") and len(printed.splitlines()) == 1
    process = command(tmp_path, "predict", "model.keras")
    assert process.wait() == 2 and "images" in process.communicate()[1]


def test_all_commands_on_binary_images_of_16_bits(tmp_path, monkeypatch, capfd):
    """From files of 12 bits in one channel to masks: check, train, report, predict, export."""
    monkeypatch.chdir(tmp_path)
    folder = draw_xrays(tmp_path / "xray")
    assert main(["plan", "xray"]) == 1
    assert "value_range=(0, 4095)" in capfd.readouterr().err
    given = ["--value-range", "0", "4095"]
    assert main(["check", "xray", *given]) == 0
    assert main(["train", "xray", "--backbone", "MobileNet", "--epochs", "1", *given]) == 0
    printed = capfd.readouterr().out
    assert "a fifth of the images is kept for validation" in printed and "foreground" in printed
    known = read_metadata("run/model.keras")
    assert known["value_range"] == [0, 4095] and known["channels"] == 1
    assert 0 <= known["threshold"] <= 1
    saved = json.loads(Path("run/report.json").read_text())
    assert saved["threshold"] == known["threshold"] and len(saved["images"]) == 2
    assert main(["predict", "run/model.keras", "xray/inp", "masks"]) == 0
    masks = [np.asarray(Image.open(path)) for path in sorted(Path("masks").iterdir())]
    assert len(masks) == 10 and all(set(np.unique(mask)) <= {0, 255} for mask in masks)
    capfd.readouterr()
    assert main(["report", "masks", str(folder), *given]) == 0
    assert main(["report", "run/model.keras", "xray"]) == 0
    of_masks, of_model = capfd.readouterr().out.split("10 images")[:2]
    rows = [text[text.index("foreground") :].splitlines()[0] for text in (of_masks, of_model)]
    assert rows[0] == rows[1]
    assert main(["export", "run/model.keras", "model.onnx", "--classes"]) == 0
    assert read_metadata("model.onnx") == known
    assert main(["predict", "model.onnx", "xray/inp", "by onnx"]) == 0
    by_onnx = np.stack([np.asarray(Image.open(path)) for path in sorted(Path("by onnx").iterdir())])
    assert ((by_onnx > 0) == (np.stack(masks) > 0)).mean() > 0.999


def test_a_signal_stops_training_and_the_same_command_resumes_it(tmp_path):
    make_shapes_dataset(tmp_path / "shapes", n=10, size=(64, 64))
    order = "train", "shapes", "--backbone", "MobileNet", "--epochs", "3"
    process = command(tmp_path, *order)
    for line in process.stdout:
        if line.startswith("Epoch 1/3"):
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    printed, errors = process.communicate()
    assert process.returncode == 75, errors
    assert "Epoch 3/3" not in printed and not (tmp_path / "run/model.keras").exists()
    assert os.listdir(tmp_path / "run/checkpoint")
    process = command(tmp_path, *order)
    printed, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "Epoch 1/3" not in printed and "Epoch 3/3" in printed
    assert (tmp_path / "run/model.keras").exists()


def test_plan_of_masks_with_255(tmp_path):
    make_shapes_dataset(tmp_path, n=5, size=(64, 64))
    for path in (tmp_path / "out").iterdir():
        mask = np.asarray(Image.open(path)).copy()
        mask[:4] = 255
        Image.fromarray(mask).save(path)
    chosen = plan(tmp_path)
    assert (chosen.num_classes, chosen.ignore_index) == (4, 255)
    assert "255" in chosen.reasons["ignore_index"] and "255" in str(chosen)


@pytest.mark.parametrize("suffix", ["keras", "tflite"])
def test_metadata_are_replaced_and_files_stay_whole(tmp_path, suffix):
    path = tmp_path / f"model.{suffix}"
    body = np.random.default_rng(0).bytes(3000)
    path.write_bytes(body)
    for i in range(3):
        write_metadata(path, num_classes=i + 2, value_range=(0, 1 + i))
    write_metadata(path, scale=0.5)
    assert path.read_bytes().startswith(body) and path.stat().st_size < 3600
    assert read_metadata(path) == {"num_classes": 4, "value_range": [0, 3], "scale": 0.5}


def test_plan_round_trip_and_several_ignored_values(tmp_path):
    from dl_utils.commands.train import _loaders, _save_plan, load_plan

    make_shapes_dataset(tmp_path / "data", n=6, size=(64, 64), num_classes=3)
    for path in (tmp_path / "data/out").iterdir():
        mask = np.asarray(Image.open(path)).copy()
        mask[:4], mask[-4:] = 254, 255
        Image.fromarray(mask).save(path)
    chosen = plan(tmp_path / "data", ignore_index=[254, 255])
    assert chosen.ignore_index == [254, 255] and chosen.num_classes == 3
    chosen.class_weights = {0: 1.0, 1: np.float64(2), 2: 3.0}
    _save_plan(chosen, tmp_path / "plan.json")
    again = load_plan(tmp_path)
    assert again == chosen
    train, val, images = _loaders(again)
    weights = train[0][2]
    assert set(np.unique(weights)) <= {0, 1, 2, 3} and (val[0][2] == 0).any()


def test_training_images_of_six_bands_and_other_sizes(tmp_path):
    "INTER_AREA takes four channels; validation shows the centre of large images, always the same"
    import tifffile

    from dl_utils.commands.train import _loaders

    rng = np.random.default_rng(0)
    for i, size in enumerate([(300, 900), (200, 330), (260, 610), (250, 500), (240, 320)]):
        for side, shape in ("inp", (*size, 6)), ("out", size):
            (tmp_path / side).mkdir(exist_ok=True)
            pixels = rng.integers(0, 256, shape, "uint8") if side == "inp" else None
            if side == "out":
                pixels = np.zeros(shape, "uint8")
                pixels[50:120, 60:150] = 255
            options = {"photometric": "minisblack", "planarconfig": "contig"}
            tifffile.imwrite(tmp_path / side / f"{i}.tif", pixels,
                             **options if side == "inp" else {})
    chosen = plan(tmp_path)
    assert chosen.channels == 6 and chosen.num_classes is None and chosen.scale < 1
    train, val, images = _loaders(chosen)
    assert train[0][0].shape[1:] == (*chosen.crop, 6)
    limits = [2 * side + 8 for side in chosen.crop]
    first = [val[i][0] for i in range(len(val))]
    assert all(x.shape[1] <= limits[0] and x.shape[2] <= limits[1] for x in first)
    val.epoch = 5
    assert all((val[i][0] == x).all() for i, x in enumerate(first))
    chosen.scale, chosen.crop = 0.5, (32, 32)
    assert _loaders(chosen)[1][0][0].shape[1:3] == (64, 64)
