"""Signals and TensorBoard where a notebook can't show them: a search for hyperparameters, a browser, what is left behind."""
import re
import shutil
import subprocess
import sys
import textwrap
import time
from urllib.request import urlopen

import notebooks
import numpy as np
import pytest
from jupyter_client.manager import KernelManager
from PIL import Image

SEARCH = """
    import os, signal
    import keras_tuner
    import numpy as np
    from dl_utils.keras_utils import CarefulStopping, keras

    x = np.random.default_rng(0).normal(size=(64, 4)).astype('float32')

    def build(hp):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(hp.Int('units', 1, 64)), keras.layers.Dense(1)])
        model.compile('adam', 'mse')
        return model

    class SignalIn(keras.callbacks.Callback):
        trainings = 0
        def on_train_begin(self, logs=None): SignalIn.trainings += 1
        def on_epoch_end(self, epoch, logs=None):
            if SignalIn.trainings == 3 and epoch == 0 and 'STOP' in os.environ: os.kill(os.getpid(), signal.SIGTERM)

    tuner = keras_tuner.RandomSearch(build, 'val_loss', max_trials=5, directory='search', project_name='all', seed=0)
    before = len(tuner.oracle.trials)
    careful = CarefulStopping(keras_tuner.errors.FatalRuntimeError)
    with careful.context():
        tuner.search(x, x[:, :1], validation_data=(x, x[:, :1]), epochs=2, verbose=0, callbacks=[SignalIn(), careful.get_callback('on_epoch_end')])
        print('searched to the end')
    trials = [trial.status for trial in tuner.oracle.trials.values()]
    print(before, trials.count('COMPLETED'), signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""


def test_a_stopped_search_keeps_its_trials_and_goes_on(python):
    first = python(SEARCH, STOP="1")
    assert "SIGTERM: training stops at the next on_epoch_end" in first and "Training was stopped by a signal." in first
    assert "searched to the end" not in first and first.splitlines()[-1] == "0 2 True"
    second = python(SEARCH)
    before, completed, restored = second.splitlines()[-1].split()
    assert "searched to the end" in second and int(before) >= 2 and int(completed) == 5 and restored == "True"


CELL = """
    import signal, time
    import numpy as np
    from dl_utils.keras_utils import DoOnKill, keras

    class Slow(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            print('step', flush=True)
            time.sleep(.1)

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile('sgd', 'mse')
    model.fit(np.zeros((64, 4)), np.zeros((64, 1)), batch_size=16, epochs=1000, verbose=0, callbacks=[Slow(), DoOnKill('on_epoch_end', stop_signals=signal.SIGINT)])
"""


def test_interrupting_a_notebook_keeps_its_kernel(tmp_path):
    manager = KernelManager(transport="ipc", ip=str(tmp_path / "kernel"), connection_file=str(tmp_path / "kernel.json"))
    manager.start_kernel(env=notebooks.clean_env(tmp_path), cwd=str(tmp_path))
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=120)
        client.execute(textwrap.dedent(CELL))
        texts, error = "", None
        while error is None:
            message = client.get_iopub_msg(timeout=120)["content"]
            if "step" in message.get("text", "") and "step" not in texts: manager.interrupt_kernel()
            texts += message.get("text", "")
            if "ename" in message: error = message
        assert error["ename"] == "TrainingStopped" and len(error["traceback"]) == 1
        assert "SIGINT: training stops at the next on_epoch_end" in texts
        client.get_shell_msg(timeout=60)  # the cell has ended
        time.sleep(1)  # what is sent at once is not run after an error
        assert client.execute_interactive("assert model.count_params() == 5", timeout=60)["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


SERVED = """
    import sys
    import numpy as np
    from dl_utils.keras_utils import keras, TensorBoardContext

    x = np.random.default_rng(0).normal(size=(256, 4)).astype('float32')
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation='relu'), keras.layers.Dense(1)])
    model.compile('adam', 'mse')
    context = TensorBoardContext('logs')
    print(context.start(), flush=True)
    model.fit(x, x[:, :1] * 3, validation_data=(x, x[:, :1] * 3), epochs=12, verbose=0, callbacks=[context.callback])
    print('trained', flush=True)
    sys.stdin.readline()
    if 'raise' in sys.argv: raise ZeroDivisionError
"""

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


def processes_with(word):
    """Numbers of the running processes whose command lines hold a word."""
    lines = subprocess.run(["ps", "-eww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [number for number, line in re.findall(r"^ *(\d+) (.*(?:\n(?! *\d+ ).*)*)", lines, re.M) if word in line]


@pytest.mark.parametrize("ending", ["by itself", "raise", "kill"])
def test_tensorboard_ends_with_its_program(tmp_path, ending):
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(SERVED).replace("'logs'", repr(str(tmp_path / "logs"))))
    program = subprocess.Popen([sys.executable, str(file), ending], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               text=True, env=notebooks.clean_env(tmp_path))
    try:
        said = [program.stdout.readline() for _ in range(3)]
        url = said[1].strip()
        assert said[0].startswith(f"TensorBoard: {url}") and said[2] == "trained\n"
        with urlopen(url, timeout=60) as answer: assert answer.status == 200
        assert processes_with(str(tmp_path / "logs"))
        if ending == "by itself" and BROWSER: look(url, tmp_path)
        if ending == "kill": program.kill()
        program.communicate("\n", timeout=60)
    finally:
        program.kill()
        program.communicate()
    deadline = time.monotonic() + 30
    while (left := processes_with(str(tmp_path / "logs"))) and time.monotonic() < deadline: time.sleep(.2)
    assert not left
    with pytest.raises(OSError): urlopen(url, timeout=5)


def look(url, folder):
    """The page of curves in a browser: the loss of training, orange, and of validation, blue, fall from left to right."""
    deadline = time.monotonic() + 60
    while b"validation" not in urlopen(url + "data/plugin/scalars/tags", timeout=60).read() and time.monotonic() < deadline: time.sleep(.5)
    image, seen = folder / "page.png", []
    while len(seen) < 2 and time.monotonic() < deadline:  # the browser may be faster than the page
        subprocess.run([BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                        f"--user-data-dir={folder / 'profile'}", "--hide-scrollbars", "--window-size=1400,900", "--virtual-time-budget=60000",
                        f"--screenshot={image}", url + "#scalars"], check=True, capture_output=True, timeout=120)
        red, _, blue = np.moveaxis(np.asarray(Image.open(image).convert("RGB")).astype(int)[580:780, 410:710], -1, 0)  # the second chart
        lines = [np.nonzero(line) for line in (red - blue > 120, blue - red > 120)]
        seen = [(rows, columns) for rows, columns in lines if len(columns) and np.ptp(columns) > 100]
    assert len(seen) == 2, "the two curves are not seen"
    for rows, columns in seen: assert rows[columns < np.median(columns)].mean() < rows[columns > np.median(columns)].mean(), "the curve does not fall"
