"""Signals and TensorBoard in programs, in a search for hyperparameters, and in a browser."""
import re
import shutil
import subprocess
import time
from pathlib import Path
from urllib.request import urlopen

import notebooks
import numpy as np
import pytest
from jupyter_client.manager import KernelManager
from PIL import Image

PROGRAMS = Path(__file__).parent / "programs"
BROWSERS = "chromium", "chromium-browser", "google-chrome", "chrome"
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)


def test_stopped_search_keeps_its_trials_and_continues(program):
    output = program("interrupted_search")
    assert "SIGTERM: training stops at the next on_epoch_end" in output
    assert "Training was stopped by a signal." in output


def test_interrupting_a_notebook_keeps_its_kernel(tmp_path):
    address, file = str(tmp_path / "kernel"), str(tmp_path / "kernel.json")
    manager = KernelManager(transport="ipc", ip=address, connection_file=file)
    manager.start_kernel(env=notebooks.clean_env(tmp_path), cwd=str(tmp_path))
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=120)
        # else the kernel would skip what comes shortly after the error
        client.execute((PROGRAMS / "interrupted_cell.py").read_text(), stop_on_error=False)
        output, error = "", None
        while error is None:
            message = client.get_iopub_msg(timeout=120)["content"]
            text = message.get("text", "")
            if "batch" in text and "batch" not in output: manager.interrupt_kernel()
            output += text
            if "ename" in message: error = message
        assert error["ename"] == "TrainingStopped" and len(error["traceback"]) == 1
        assert "SIGINT: training stops at the next on_epoch_end" in output
        client.get_shell_msg(timeout=60)  # the cell has ended
        reply = client.execute_interactive("assert model.count_params() == 5", timeout=60)
        assert reply["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def processes_with(text):
    """Numbers of the running processes whose command lines contain a text."""
    command = ["ps", "-eww", "-o", "pid=,args="]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    processes = re.findall(r"^ *(\d+) (.*(?:\n(?! *\d+ ).*)*)", lines, re.M)
    return [number for number, line in processes if text in line]


@pytest.mark.parametrize("ending", ["end", "raise", "kill"])
def test_tensorboard_ends_with_its_program(start_program, tmp_path, ending):
    logs = str(tmp_path / "logs")
    pipes = dict(stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    training = start_program("served_training", logs, ending, options=pipes)
    try:
        notice, url, trained = (training.stdout.readline().rstrip("\n") for _ in range(3))
        assert notice.startswith(f"TensorBoard: {url}") and trained == "trained"
        with urlopen(url, timeout=60) as answer: assert answer.status == 200
        assert processes_with(logs)
        if ending == "end" and BROWSER: look_at_curves(url, tmp_path)
        if ending == "kill": training.kill()
        training.communicate("\n", timeout=60)
        assert (training.returncode == 0) == (ending == "end")
    finally:
        training.kill()
        training.communicate()
    deadline = time.monotonic() + 30
    while processes_with(logs) and time.monotonic() < deadline: time.sleep(.1)
    assert not processes_with(logs)
    with pytest.raises(OSError): urlopen(url, timeout=5)


def look_at_curves(url, folder):
    """In a browser, the losses of training (orange) and validation (blue) fall."""
    deadline = time.monotonic() + 60
    tags = url + "data/plugin/scalars/tags"
    while b"validation" not in urlopen(tags, timeout=60).read() and time.monotonic() < deadline:
        time.sleep(.2)
    screenshot, curves = folder / "page.png", []
    command = [
        BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu",
        "--disable-background-networking", f"--user-data-dir={folder / 'profile'}",
        "--hide-scrollbars", "--window-size=1400,900", "--virtual-time-budget=60000",
        f"--screenshot={screenshot}", url + "#scalars",
    ]
    while len(curves) < 2 and time.monotonic() < deadline:  # the page may be late
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        pixels = np.asarray(Image.open(screenshot).convert("RGB")).astype(int)
        red, _, blue = np.moveaxis(pixels[580:780, 410:710], -1, 0)  # the second chart
        lines = [np.nonzero(line) for line in (red - blue > 120, blue - red > 120)]
        curves = [line for line in lines if len(line[1]) and np.ptp(line[1]) > 100]
    assert len(curves) == 2, "the page does not show two curves"
    for rows, columns in curves:
        left, right = rows[columns < np.median(columns)], rows[columns > np.median(columns)]
        assert left.mean() < right.mean(), "the curve does not fall"
