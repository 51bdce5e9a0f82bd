"""SegDataLoader with damaged files, and where its notebook can't test it: other users, forks,
worker processes, killed programs."""
import ast
import dataclasses
import gc
import importlib
import io
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import BrokenExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import cv2

from dl_utils.data.images import DataProblem
from dl_utils.data.loader import SegDataLoader
from dl_utils.data.synthetic import make_shapes_dataset
from dl_utils.data.validation import check

N_CLASSES = 3
LOSSLESS = "png", "bmp", "tiff", "webp", "ppm", "npy"


def encode(array, suffix):
    file = io.BytesIO()
    options = {"lossless": True} if suffix == "webp" else {}
    if suffix == "npy": np.save(file, array)
    else: Image.fromarray(array).save(file, {"jpg": "jpeg"}.get(suffix, suffix), **options)
    return file.getvalue()


def decode_with_opencv(data, suffix, gray):
    """The image of another decoder; None if it can't read the bytes."""
    if suffix == "npy": return np.load(io.BytesIO(data), allow_pickle=False)
    flags = cv2.IMREAD_UNCHANGED if gray else cv2.IMREAD_COLOR_RGB
    image = cv2.imdecode(np.frombuffer(data, "uint8"), flags)
    return image[..., 0] if gray and image is not None and image.ndim == 3 else image


# --- Corrupt files ------------------------------------------------------------------------------
# name: (a change of the bytes, whether it certainly makes the file useless)

def flip(data, at, value):
    at %= len(data)
    return data[:at] + bytes([data[at] ^ (value % 255 + 1)]) + data[at + 1:]


def cut(data, at, value): return data[:max(1, len(data) - 16 - at % (len(data) // 2))]


def zeros(data, at, value): return data[:at % len(data)] + bytes(len(data) - at % len(data))


def garbage(data, at, value): return np.random.default_rng([at, value]).bytes(1 + at % 300)


def head(data, at, value):
    return data[:8] + np.random.default_rng([at, value]).bytes(40 + at % 200)


def tail(data, at, value): return data + bytes([value % 256]) * (1 + at % 50)


def middle(data, at, value): return data[:at % len(data)] + data[at % len(data) + 1 + value % 9:]


DAMAGE = {
    "none": (lambda data, at, value: data, False),
    "empty": (lambda data, at, value: b"", True),
    "cut": (cut, True),
    "flip": (flip, False),
    "zeros": (zeros, False),
    "garbage": (garbage, True),
    "text": (lambda data, at, value: b"just some notes\n" * (1 + value % 5), True),
    "head": (head, False),
    "tail": (tail, False),
    "middle": (middle, False),
}
USELESS = "no mask", "no image", "other size", "other values", "folder", "pipe"
LAYOUTS = ["pair"] * 10 + [
    "no mask", "no image", "twin", "other size", "other values", "upper", "folder", "pipe"]

damage = st.tuples(
    st.sampled_from([*DAMAGE, *["none"] * 8]), st.integers(0, 10 ** 4), st.integers(0, 10 ** 4))
pair = st.fixed_dictionaries(dict(
    image=damage, mask=damage, image_suffix=st.sampled_from([*LOSSLESS, "jpg"]),
    mask_suffix=st.sampled_from(LOSSLESS), layout=st.sampled_from(LAYOUTS)))


def write_pair(folder, number, options, seed):
    """Write one pair; returns its stem, whether it is certainly useless, whether it is certainly
    fine, and the arrays."""
    rng, layout = np.random.default_rng([seed, number]), options["layout"]
    height, width, stem = 8, 10, f"{number}"
    image = rng.integers(0, 256, (height, width, 3), "uint8")
    mask = rng.integers(0, N_CLASSES, (height + (layout == "other size"), width), "uint8")
    mask += 100 * (layout == "other values")
    suffix = options["image_suffix"].upper() if layout == "upper" else options["image_suffix"]
    # damage may even turn a size or a value into another
    harmless = options["image"][0] == options["mask"][0] == "none"
    useless = layout in USELESS and (harmless or not layout.startswith("other"))
    fine = layout in ("pair", "upper")
    files = ("inp", image, suffix, "image"), ("out", mask, options["mask_suffix"], "mask")
    for side, array, suffix, name in files:
        path, (kind, *numbers) = folder / side / f"{stem}.{suffix}", options[name]
        if layout == f"no {name}": continue
        if side == "inp" and layout == "folder": path.mkdir()
        elif side == "inp" and layout == "pipe": os.mkfifo(path)
        else:
            change, is_certain = DAMAGE[kind]
            path.write_bytes(change(encode(array, suffix.lower()), *numbers))
            useless, fine = useless or is_certain, fine and kind == "none"
        if side == "out" and layout == "twin":
            shutil.copy(path, path.with_suffix(".other"))
            fine = False
    return stem, useless, fine, (image, mask)


def agrees(path, array, saved):
    """Whether an array is what was saved or, where no checksums guard a file, what another decoder
    reads."""
    if np.array_equal(array, saved): return True
    if path.suffix.lower() == ".png": return False
    expected = decode_with_opencv(path.read_bytes(), path.suffix[1:].lower(), saved.ndim == 2)
    if expected is None or expected.shape != array.shape: return True
    return np.abs(array - expected).max() < 1.5


def check_batches(loader, saved):
    """Each sample of the loader agrees with its files."""
    batches = [loader[i] for i in range(len(loader))]
    x, y = (np.concatenate(part) for part in zip(*batches, strict=True))
    assert len(x) == len(loader.pairs) and x.dtype == y.dtype == np.float32
    assert (y.sum(-1) == 1).all()
    for (image, mask), sample, target in zip(loader.pairs, x, y, strict=True):
        saved_image, saved_mask = saved[image.stem]
        assert agrees(image, np.rint(sample * 255), saved_image), image
        assert agrees(mask, target.argmax(-1), saved_mask), mask


def check_late_damage(loader):
    """A file that breaks after the loader was made is reported, and replaced."""
    second = loader[1][0]
    loader.pairs[0][0].write_bytes(b"")
    assert np.array_equal(loader[0][0], second)
    with pytest.warns(UserWarning, match=r"is empty.*replaced"): loader.on_epoch_end()


def check_dataset(folder, pairs, batch_size, seed):
    for side in ("inp", "out"): (folder / side).mkdir()
    written = [write_pair(folder, i, options, seed) for i, options in enumerate(pairs)]
    useless, fine = {s for s, bad, _, _ in written if bad}, {s for s, _, ok, _ in written if ok}
    problems = check(folder, N_CLASSES)
    named = {Path(problem.file).stem for problem in problems}
    is_global = any(problem.kind in ("no pairs", "values") for problem in problems)
    assert is_global or useless <= named and not fine & named, (useless, fine, problems)
    assert all(problem.remedy and problem.what for problem in problems)
    if problems:
        with pytest.raises(DataProblem): SegDataLoader(folder, N_CLASSES, batch_size=batch_size)
    if len(named) >= len(pairs) or is_global: return
    with pytest.warns() if problems else open(os.devnull):
        with SegDataLoader(folder, N_CLASSES, batch_size=1, on_error="skip") as loader:
            assert fine <= {image.stem for image, _ in loader.pairs}
            check_batches(loader, {stem: arrays for stem, _, _, arrays in written})
            if len(loader) > 1: check_late_damage(loader)


def fuzz(pairs, batch_size, seed):
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        check_dataset(Path(folder), pairs, batch_size, seed)


ANY = dict(
    deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True)
DATASETS = st.lists(pair, min_size=1, max_size=4), st.integers(1, 3), st.integers(0, 10 ** 6)


@settings(max_examples=250, **ANY)
@given(*DATASETS)
@pytest.mark.filterwarnings("ignore")  # decoders, about the damage
def test_loader_rejects_corrupt_files(pairs, batch_size, seed):
    fuzz(pairs, batch_size, seed)


@pytest.mark.slow
@settings(max_examples=10_000, **ANY)
@given(*DATASETS)
@pytest.mark.filterwarnings("ignore")
def test_loader_rejects_corrupt_files_of_ten_thousand_datasets(pairs, batch_size, seed):
    fuzz(pairs, batch_size, seed)


# --- Other users and processes --------------------------------------------------------------------

def test_loader_names_unreadable_files(program):
    with tempfile.TemporaryDirectory(prefix="denied-") as folder:
        os.chmod(folder, 0o755)
        lines = program("loader_permissions", folder, KERAS_BACKEND="jax").splitlines()
    kinds, file_error, folder_error = lines[-3:]
    assert kinds == "{'no permission': 2}"
    assert "set/inp/0001.png: may not be read; chmod a+r" in file_error
    assert "1 more problem" in file_error
    assert "set/out: may not be read; chmod a+rx" in folder_error


def test_loader_batches_are_the_same_in_every_process(program):
    """With any workers, caches, flavours and backends of Keras, and hash seeds."""
    keras_3 = [dict(workers=0), dict(workers=5, cache="disk")]
    tf_keras = [dict(workers=1, cache="ram"), dict(workers=3, cache="ram", processes=True)]
    digests = [
        *program("loader_digest", json.dumps(keras_3), KERAS_BACKEND="jax",
                 PYTHONHASHSEED="0").split(),
        *program("loader_digest", json.dumps(tf_keras), flavour="tf_keras",
                 PYTHONHASHSEED="1").split()]
    assert len(digests) == 4 and len({*digests}) == 1


def test_loader_releases_threads_and_descriptors(tmp_path):
    """After closing, and after garbage collection."""
    path = make_shapes_dataset(tmp_path / "shapes", n=6, size=(32, 32))

    def dl_utils_threads():
        return [t for t in threading.enumerate() if t.name.startswith("dl_utils")]

    def used(): return len(os.listdir("/proc/self/fd")), len(dl_utils_threads())

    def collect():
        gc.collect()
        for thread in dl_utils_threads(): thread.join(10)
    SegDataLoader(path, 4)[0]
    collect()
    before = used()
    for _ in range(20):
        with SegDataLoader(path, 4, batch_size=2, cache="disk", workers=3) as loader:
            for _ in loader: descriptors, n_threads = used()
    # as many threads as were needed so far
    assert used() == before and descriptors > before[0] and n_threads in (1, 2, 3)
    for _ in range(20): [*SegDataLoader(path, 4, batch_size=2, cache="disk")]
    del loader
    collect()
    assert used() == before


def child_processes():
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}


def same_batches(batches, others):
    batch_pairs = zip(batches, others, strict=True)
    return all(
        np.array_equal(a, b) for pair in batch_pairs for a, b in zip(*pair, strict=True))


def test_loader_processes_release_everything(tmp_path):
    """Processes, descriptors and memory: after closing, after garbage collection, after a
    tf.data.Dataset, and with batches that are still in use."""
    path = make_shapes_dataset(tmp_path / "shapes", n=12, size=(32, 32))
    processes, n_descriptors = child_processes(), len(os.listdir("/proc/self/fd"))
    expected = [*SegDataLoader(path, 4, batch_size=2)]
    options = dict(batch_size=2, processes=True)
    with SegDataLoader(path, 4, workers=2, cache="disk", **options) as loader:
        batches = [*loader]  # more than there are buffers
        assert same_batches(expected, batches) and len(child_processes() - processes) == 2
        assert same_batches(expected, loader) and same_batches(expected, batches)
        loader.batch_size = 12  # larger than the buffers
        assert np.array_equal(loader[0][1], np.concatenate([y for _, y in expected]))
    assert child_processes() == processes
    dataset = SegDataLoader(path, 4, workers=1, **options).to_tf_dataset()
    for _ in range(2): assert same_batches(expected, [(x.numpy(), y.numpy()) for x, y in dataset])
    unclosed = SegDataLoader(path, 4, workers=1, **options)
    assert same_batches(expected, unclosed) and len(child_processes() - processes) == 2
    del dataset, unclosed, loader
    gc.collect()
    assert child_processes() == processes and same_batches(expected, batches)
    del batches
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= n_descriptors


def check_after_fit(program, n, **options):
    half, end = json.loads(program("loader_after_fit", n, **options).splitlines()[-1])
    growth = end.pop("memory") - half.pop("memory")
    assert end == half and end["loaders"] == end["processes"] == 0
    assert growth < 5 + .1 * n  # TensorFlow keeps something of each dataset


@pytest.mark.parametrize("flavour", ["keras", "tf_keras"])
def test_loader_leaves_nothing_after_fit(program, flavour):
    """Processes, threads, descriptors, memory and loaders after 24 trainings, some interrupted."""
    check_after_fit(program, 8, flavour=flavour)


@pytest.mark.slow
def test_loader_leaves_nothing_after_many_fits(program): check_after_fit(program, 200)


GRAIN = """
import numpy as np
rng = np.random.default_rng(0)
def grain(image, mask):
    noisy = rng.random() < {p}
    return dict(image=image + rng.integers(0, 9, image.shape, "uint8") * noisy, mask=mask)
"""


@pytest.mark.parametrize("p", [1, .3])
@pytest.mark.parametrize("is_module", [False, True])
def test_loader_refuses_processes_that_repeat_each_other(tmp_path, monkeypatch, p, is_module):
    """A generator of the transform's own has the same state in every process."""
    path = make_shapes_dataset(tmp_path / "shapes", n=8, size=(32, 32))
    (tmp_path / "own_grain.py").write_text(GRAIN.format(p=p))
    module = {}
    if is_module:
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "own_grain", raising=False)
        module = vars(importlib.import_module("own_grain"))
    else: exec(GRAIN.format(p=p), module)
    with pytest.warns(UserWarning, match="batches will not repeat: .*parameter `rng`"):
        SegDataLoader(path, 4, module["grain"], seed=0)
    with pytest.raises(ValueError, match="processes would draw the same.*leave out processes=True"):
        SegDataLoader(path, 4, module["grain"], seed=0, processes=True)
    with SegDataLoader(path, 4, seed=0, processes=True) as loader:
        with pytest.raises(ValueError, match="processes would draw the same"):
            loader.with_transforms(module["grain"])


def is_alive(pid):
    try: return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError: return False


# signals act alike on all backends, and JAX is imported sooner than TensorFlow
@pytest.mark.parametrize("end, backend", [
    ("ends", "tensorflow"), (signal.SIGINT, "jax"), (signal.SIGKILL, "jax")])
def test_loader_workers_end_with_their_owner(start_program, end, backend):
    owner = start_program("loader_owner", end, KERAS_BACKEND=backend)
    with owner:
        pids = [*map(int, owner.stdout.readline().split())]
        if end != "ends": owner.send_signal(end)
        stderr = owner.stderr.read()
    assert len(pids) == 2, stderr
    assert "Exception ignored" not in stderr and "resource_tracker" not in stderr
    for _ in range(100):
        if not any(map(is_alive, pids)): break
        time.sleep(.1)
    assert not any(map(is_alive, pids))


def test_loader_reports_and_replaces_dead_workers(tmp_path):
    path = make_shapes_dataset(tmp_path / "shapes", n=8, size=(32, 32))
    with SegDataLoader(path, 4, batch_size=2, workers=2, processes=True) as loader:
        first = loader[0][0].copy()
        worker = loader._prefetcher._executor.pool.workers[1]
        os.kill(worker.process.pid, signal.SIGKILL)
        with pytest.raises(BrokenExecutor, match="ended by SIGKILL.*fewer workers="):
            for i in range(4): loader[i]
        assert np.array_equal(loader[0][0], first)
        (path / "inp/0003.png").write_bytes(b"")
        with pytest.raises(DataProblem, match="0003.png: is empty"): loader[1]
        assert np.array_equal(loader[0][0], first)


# TensorFlow's threads are there as well
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("cache", ["ram", "disk"])
def test_loader_works_after_fork(tmp_path, cache):
    """A forked process has threads and a cache of its own."""
    def plain(image, mask): return dict(image=image, mask=mask)  # takes the lock of global seeds

    path = make_shapes_dataset(tmp_path / "shapes", n=30, size=(32, 32))
    with SegDataLoader(path, 4, plain, batch_size=2, cache=cache) as loader:
        masks = [loader.read(i)[1].copy() for i in range(30)]
        empty_cache = type(loader._source.cache)(10 ** 9)
        fresh = loader._copy(_source=dataclasses.replace(loader._source, cache=empty_cache))
        # threads are prefetching
        for i in range(2): assert np.array_equal(loader[i][0], fresh[i][0])

        def is_right(seed):
            order = np.random.default_rng(seed).permutation(15)
            return all(
                np.array_equal(fresh[i][1].argmax(-1), masks[2 * i:2 * i + 2])
                for _ in range(3) for i in order)
        children = []
        for seed in range(2):
            children.append(os.fork())
            if not children[-1]:
                try: right = is_right(seed)
                finally: os._exit(0 if right else 1)
        assert is_right(9) and [os.waitpid(child, 0)[1] for child in children] == [0, 0]
        fresh.close()


def test_loader_inside_another_while_it_is_closed(tmp_path):
    """No deadlock: an alarm would end the test."""
    path = make_shapes_dataset(tmp_path / "shapes", n=8, size=(32, 32))
    options = dict(batch_size=2, workers=2)

    def upside_down(image, mask): return dict(image=image[::-1], mask=mask[::-1])

    def mix(image, mask):
        return dict(image=image // 2 + np.uint8(inner[0][0][0] * 100), mask=mask)
    inner = SegDataLoader(path, 4, upside_down, **options)
    outer = SegDataLoader(path, 4, mix, **options)
    signal.alarm(120)
    try:
        expected = [x.sum() for x, _ in outer]
        stop = threading.Event()

        def close():
            while not stop.is_set(): outer.close()
        closing = threading.Thread(target=close)
        closing.start()
        outer.epoch = 0
        try:
            for _ in range(20): assert [outer[i][0].sum() for i in range(4)] == expected
        finally:
            stop.set()
            closing.join()
    finally: signal.alarm(0)
    outer.close(), inner.close()


@pytest.mark.parametrize("flavour, backend, prefetched", [
    ("keras", "tensorflow", [10, 12, 12]), ("keras", "jax", [10, 12, 12]),
    ("tf_keras", "tensorflow", [10, 12, 12])])  # it looks at a batch first
def test_loader_prefetches_in_fit(program, flavour, backend, prefetched):
    """All batches but the first two, although `fit` asks for them in an order of its own."""
    printed = program("loader_prefetches_in_fit", flavour=flavour, KERAS_BACKEND=backend)
    counts = [int(part.split("/")[0]) for part in printed.splitlines()[-1].split()]
    assert all(n >= least for n, least in zip(counts, prefetched, strict=True))


@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_loader_warns_of_steps_per_epoch(program, backend):
    """Keras goes on in the middle of the order of another epoch. TensorFlow reads ahead, so it is
    not always noticed there; whole epochs never warn."""
    lines = program("loader_steps_per_epoch", KERAS_BACKEND=backend).splitlines()[-3:]
    few, all_, few_in_order = map(ast.literal_eval, lines)
    assert not all_
    if backend == "jax": assert len(few) == len(few_in_order) == 1
    assert "epoch_multiplier=steps / 5" in few[0] and "steps_per_epoch" in few[0]


@pytest.mark.parametrize("options", [
    {}, dict(workers=0), dict(drop_incomplete_batch=True), dict(epoch_multiplier=1.5)])
def test_loader_starts_in_the_middle_of_an_epoch(tmp_path, options):
    path = make_shapes_dataset(tmp_path / "shapes", n=11, size=(16, 16))

    def jitter(image, mask, rng):
        return dict(image=image // 2 + rng.integers(0, 99, dtype="uint8"), mask=mask)

    loader = SegDataLoader(path, 4, jitter, batch_size=2, shuffle=True, seed=0, **options)
    loader.epoch = 3
    expected = [*loader]
    for batch in 0, 1, len(loader) - 1:
        with loader.rest_of_epoch(3, batch) as rest:
            assert len(rest) == len(loader) - batch and rest.epoch == 3
            for _ in range(2):  # whatever Keras ends
                assert same_batches(rest, expected[batch:])
                assert same_batches([rest[-1]], expected[-1:])
            dataset = rest.to_tf_dataset()
            assert len(dataset) == len(rest)
            for _ in range(2):
                batches = [(x.numpy(), y.numpy()) for x, y in dataset]
                assert same_batches(batches, expected[batch:])
            if batch + 1 < len(loader):
                assert same_batches(rest.rest_of_epoch(3, batch + 1), expected[batch + 1:])
    assert loader.epoch == 4 and same_batches(loader.rest_of_epoch(4, 0), loader)
    n = len(loader)
    for epoch, batch in (0, n), (0, -1), (-1, 0), (0, 1.5):
        with pytest.raises(ValueError, match=f"(epoch={epoch}|batch={batch})"):
            loader.rest_of_epoch(epoch, batch)
    with pytest.raises(AttributeError, match="read-only"): loader.first_batch = 2


@pytest.mark.parametrize("flavour", ["keras", "tf_keras"])
def test_loader_trains_on_the_rest_of_an_epoch(program, flavour):
    printed = program("loader_rest_of_epoch", flavour=flavour)
    assert printed.splitlines()[-1] == "[0, 1] [(3, 4), (3, 5)]"


def orders_of_keras(n, *args):
    """Shuffled orders, epoch after epoch: with `random`, as Keras does up to 3.15, or with a
    generator for each epoch, as Keras 3.16 does."""
    for epoch in itertools.count(1):
        order = [*range(n)]
        (random.Random(epoch) if "epochs" in args else random).shuffle(order)
        yield order


@pytest.mark.parametrize("shuffle", ["random", "epochs", None])
@pytest.mark.parametrize("rank, n_ranks", [(0, 1), (0, 2), (1, 2), (2, 3)])
def test_loader_predicts_requests(tmp_path, shuffle, rank, n_ranks):
    """Of shuffled epochs, and of machines that each ask for every second or third batch."""
    path = make_shapes_dataset(tmp_path / "shapes", n=10, size=(16, 16))
    random.seed(0)  # a wrong guess may be right for a while
    prefetched = []
    with SegDataLoader(path, 4, batch_size=1, shuffle=True, seed=0) as loader:
        n = len(loader)
        orders = orders_of_keras(n, shuffle) if shuffle else itertools.repeat([*range(n)])
        for _ in range(3):
            order = next(orders) if len(loader) else None
            for i in order[rank::n_ranks]:
                prefetched.append((loader.epoch, i, loader._plan) in loader._prefetcher._pending)
                loader[i]
            loader.on_epoch_end()
    # the first ones show the order, and how far the requests are apart
    n_first = 2 if n_ranks == 1 else 3
    assert not any(prefetched[:n_first]) and all(prefetched[n_first:])


def test_loader_prefetches_nothing_for_random_requests(tmp_path):
    path = make_shapes_dataset(tmp_path / "shapes", n=40, size=(16, 16))
    with SegDataLoader(path, 4, batch_size=1) as loader:
        for i in 7, 30, 2, 21, 20, 33, 5: loader[i]
        assert not loader._prefetcher._pending


@pytest.mark.parametrize("flavour", ["keras", "tf_keras"])
def test_loader_in_workers_of_keras(program, flavour):
    assert program("loader_keras_workers", flavour=flavour).splitlines()[-1] == "done"


def test_disk_cache_vanishes_with_killed_program(start_program, tmp_path):
    """Its file is unlinked, so SIGKILL can't leave it. The backend of Keras makes no difference."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = start_program("loader_disk_cache", TMPDIR=str(temporary), KERAS_BACKEND="jax")
    with process:
        n_bytes = int(process.stdout.readline())
        process.kill()
    assert n_bytes == 6 * 96 * 96 * 4 and not any(temporary.iterdir())
