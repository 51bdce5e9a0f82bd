"""SegDataLoader against files as they come, and against what no notebook can play: other users, processes, ends of programs."""
import dataclasses
import io
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import cv2

from dl_utils.data.images import DataProblem
from dl_utils.data.loader import check, SegDataLoader
from dl_utils.data.synthetic import make_shapes_dataset

CLASSES = 3
LOSSLESS = "png", "bmp", "tiff", "webp", "ppm", "npy"


def encoded(array, suffix):
    file = io.BytesIO()
    if suffix == "npy": np.save(file, array)
    else: Image.fromarray(array).save(file, {"jpg": "jpeg"}.get(suffix, suffix), **({"lossless": True} if suffix == "webp" else {}))
    return file.getvalue()


def reference(data, suffix, gray):
    """What another decoder makes of the bytes; None where it makes nothing."""
    if suffix == "npy": return np.load(io.BytesIO(data), allow_pickle=False)
    found = cv2.imdecode(np.frombuffer(data, "uint8"), cv2.IMREAD_UNCHANGED if gray else cv2.IMREAD_COLOR_RGB)
    return found[..., 0] if gray and found is not None and found.ndim == 3 else found


# --- Damage -----------------------------------------------------------------------------------------------------------
# name: (what becomes of the bytes, is it certain to make the file useless)

def flip(data, at, value):
    at %= len(data)
    return data[:at] + bytes([data[at] ^ (value % 255 + 1)]) + data[at + 1:]


DAMAGE = {
    "none": (lambda data, at, value: data, False),
    "empty": (lambda data, at, value: b"", True),
    "cut": (lambda data, at, value: data[:max(1, len(data) - 16 - at % (len(data) // 2))], True),
    "flip": (flip, False),
    "zeros": (lambda data, at, value: data[:at % len(data)] + bytes(len(data) - at % len(data)), False),
    "garbage": (lambda data, at, value: np.random.default_rng([at, value]).bytes(1 + at % 300), True),
    "text": (lambda data, at, value: b"just some notes\n" * (1 + value % 5), True),
    "head": (lambda data, at, value: data[:8] + np.random.default_rng([at, value]).bytes(40 + at % 200), False),
    "tail": (lambda data, at, value: data + bytes([value % 256]) * (1 + at % 50), False),
    "middle": (lambda data, at, value: data[:at % len(data)] + data[at % len(data) + 1 + value % 9:], False),
}

damage = st.tuples(st.sampled_from([*DAMAGE, *["none"] * 8]), st.integers(0, 10 ** 4), st.integers(0, 10 ** 4))
pair = st.fixed_dictionaries(dict(
    image=damage, mask=damage, image_suffix=st.sampled_from([*LOSSLESS, "jpg"]), mask_suffix=st.sampled_from(LOSSLESS),
    layout=st.sampled_from(["pair"] * 10 + ["no mask", "no image", "twin", "other size", "other values", "upper", "folder", "pipe"])))
USELESS = "no mask", "no image", "other size", "other values", "folder", "pipe"


def write(folder, number, given, seed):
    """Write one pair; its stem, whether it is certainly useless, whether it is certainly fine, and what was saved."""
    rng = np.random.default_rng([seed, number])
    height, width, layout = 8, 10, given["layout"]
    image = rng.integers(0, 256, (height, width, 3), "uint8")
    mask = rng.integers(0, CLASSES, (height + (layout == "other size"), width), "uint8") + 100 * (layout == "other values")
    stem = f"{number}"
    suffix = given["image_suffix"].upper() if layout == "upper" else given["image_suffix"]
    harmless = given["image"][0] == given["mask"][0] == "none"  # damage may even turn a size or a value into another
    useless, fine = layout in USELESS and (harmless or not layout.startswith("other")), layout in ("pair", "upper")
    for side, array, suffix, how in (("inp", image, suffix, given["image"]), ("out", mask, given["mask_suffix"], given["mask"])):
        path = folder / side / f"{stem}.{suffix}"
        if (side, layout) in (("out", "no mask"), ("inp", "no image")): continue
        if side == "inp" and layout == "folder": path.mkdir()
        elif side == "inp" and layout == "pipe": os.mkfifo(path)
        else:
            change, certain = DAMAGE[how[0]]
            path.write_bytes(change(encoded(array, suffix.lower()), *how[1:]))
            useless, fine = useless or certain, fine and how[0] == "none"
        if side == "out" and layout == "twin":
            shutil.copy(path, path.with_suffix(".other"))
            fine = False
    return stem, useless, fine, (image, mask)


def agrees(path, got, saved):
    """Whether it is what was saved or, where no checksums guard a file, what another decoder reads."""
    if np.array_equal(got, saved): return True
    expected = reference(path.read_bytes(), path.suffix[1:].lower(), gray=saved.ndim == 2)
    return path.suffix.lower() != ".png" and (expected is None or expected.shape != got.shape or np.abs(got - expected).max() < 1.5)


def check_batches(loader, saved):
    """Each sample that the loader gives is what is in the files."""
    x, y = (np.concatenate(part) for part in zip(*(loader[i] for i in range(len(loader)))))
    assert len(x) == len(loader.pairs) and x.dtype == y.dtype == np.float32 and (y.sum(-1) == 1).all()
    for (image, mask), got, target in zip(loader.pairs, x, y):
        assert agrees(image, np.rint(got * 255), saved[image.stem][0]), image
        assert agrees(mask, target.argmax(-1), saved[image.stem][1]), mask


def fuzz(pairs, batch_size, seed):
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        folder = Path(folder)
        for side in ("inp", "out"): (folder / side).mkdir()
        stems = [write(folder, i, given, seed) for i, given in enumerate(pairs)]
        useless, fine = {s for s, bad, _, _ in stems if bad}, {s for s, _, good, _ in stems if good}
        problems = check(folder, CLASSES)
        named = {Path(problem.file).stem for problem in problems}
        whole_set = any(problem.kind in ("no pairs", "values") for problem in problems)
        assert whole_set or useless <= named and not fine & named, (useless, fine, problems)
        assert all(problem.remedy and problem.what for problem in problems)
        if problems:
            with pytest.raises(DataProblem): SegDataLoader(folder, CLASSES, batch_size=batch_size)
        if len(named) >= len(pairs) or whole_set: return
        with pytest.warns() if problems else open(os.devnull):
            with SegDataLoader(folder, CLASSES, batch_size=1, on_error="skip") as loader:
                assert fine <= {image.stem for image, _ in loader.pairs}
                check_batches(loader, {s: arrays for s, _, _, arrays in stems})
                if len(loader) > 1: spoil_late(loader)


def spoil_late(loader):
    """A file that goes bad after the loader was made is told, and its place taken."""
    second = loader[1][0]
    loader.pairs[0][0].write_bytes(b"")
    assert np.array_equal(loader[0][0], second)
    with pytest.warns(UserWarning, match=r"is empty.*replaced"): loader.on_epoch_end()


ANY = dict(deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True)


@settings(max_examples=250, **ANY)
@given(st.lists(pair, min_size=1, max_size=4), st.integers(1, 3), st.integers(0, 10 ** 6))
@pytest.mark.filterwarnings("ignore")  # decoders, about the damage
def test_no_file_does_harm(pairs, batch_size, seed):
    fuzz(pairs, batch_size, seed)


@pytest.mark.slow
@settings(max_examples=10_000, **ANY)
@given(st.lists(pair, min_size=1, max_size=4), st.integers(1, 3), st.integers(0, 10 ** 6))
@pytest.mark.filterwarnings("ignore")
def test_ten_thousand_sets_do_no_harm(pairs, batch_size, seed):
    fuzz(pairs, batch_size, seed)


# --- Other users, processes, ends ----------------------------------------------------------------------------------------

def test_files_that_may_not_be_read_are_named(python):
    """Root may read everything, so the process becomes somebody else."""
    with tempfile.TemporaryDirectory(prefix="denied-") as folder:
        os.chmod(folder, 0o755)
        said = python(f"""
            import os
            from pathlib import Path
            from dl_utils.data.loader import check, make_shapes_dataset, SegDataLoader
            SegDataLoader(make_shapes_dataset('warm', 2), 4)[0]  # all is imported
            path = make_shapes_dataset('{folder}/set', n=3)
            os.chmod(path / 'inp/0001.png', 0), os.chmod(path / 'out/0002.png', 0)
            if os.geteuid() == 0: os.seteuid(65534)
            print(check(path, 4).kinds)
            try: SegDataLoader(path, 4)
            except PermissionError as error: print(error)
            if os.getuid() == 0: os.seteuid(0)
            os.chmod(path / 'out', 0)
            if os.geteuid() == 0: os.seteuid(65534)
            try: SegDataLoader(path, 4)
            except PermissionError as error: print(error)
            if os.getuid() == 0: os.seteuid(0)
            os.chmod(path / 'out', 0o755)
            """).splitlines()[-3:]
    assert said[0] == "{'no permission': 2}"
    assert "set/inp/0001.png: may not be read; chmod a+r" in said[1] and "1 more problem" in said[1]
    assert "set/out: may not be read; chmod a+rx" in said[2]


DIGEST = """
    import hashlib, sys
    import albumentations as A
    from dl_utils.data.loader import make_shapes_dataset, SegDataLoader
    many = A.Compose([A.RandomCrop(32, 32), A.D4(), A.RandomBrightnessContrast(p=1), A.OneOf([A.GaussNoise(p=1), A.Rotate(p=1)])])
    loader = SegDataLoader(make_shapes_dataset('shapes', n=12, size=(48, 48)), 4, many, batch_size=5, shuffle=True, seed=3, workers={workers}, cache={cache!r}, processes={processes})
    digest = hashlib.sha1()
    for epoch in range(3):
        for batch in loader:
            for part in batch: digest.update(part.tobytes())
    print(digest.hexdigest())
    """


def test_batches_are_the_same_in_every_process(python):
    digests = {python(DIGEST.format(workers=workers, cache=cache, processes=processes), flavour, PYTHONHASHSEED=str(workers)).split()[-1]
               for workers, cache, processes, flavour in ((0, None, False, "keras"), (1, "ram", False, "tf_keras"), (5, "disk", False, "keras"), (3, "ram", True, "tf_keras"))}
    assert len(digests) == 1


def test_nothing_is_left(tmp_path):
    """Threads and descriptors are as before, after closing, and after being forgotten."""
    import gc
    import threading
    path = make_shapes_dataset(tmp_path / "shapes", n=6, size=(32, 32))

    def used():
        return len(os.listdir("/proc/self/fd")), sum(t.name.startswith("dl_utils") for t in threading.enumerate())

    def collect():
        gc.collect()
        for thread in threading.enumerate():
            if thread.name.startswith("dl_utils"): thread.join(10)
    SegDataLoader(path, 4)[0]
    collect()
    before, inside = used(), None
    for _ in range(20):
        with SegDataLoader(path, 4, batch_size=2, cache="disk", workers=3) as loader:
            for _ in loader: inside = used()
    assert used() == before and inside[0] > before[0] and inside[1] in (1, 2, 3)  # as many as were needed so far
    for _ in range(20): [*SegDataLoader(path, 4, batch_size=2, cache="disk")]
    del loader
    collect()
    assert used() == before


def children():
    """The processes whose parent this one is."""
    mine = f"/proc/{os.getpid()}/task"
    return {int(pid) for task in os.listdir(mine) for pid in Path(mine, task, "children").read_text().split()}


def test_processes_leave_nothing(tmp_path):
    """Neither processes nor descriptors nor memory, after closing, after being forgotten, after a data set of TensorFlow, with batches kept."""
    import gc
    path = make_shapes_dataset(tmp_path / "shapes", n=12, size=(32, 32))
    before = children(), len(os.listdir("/proc/self/fd"))
    truth = [*SegDataLoader(path, 4, batch_size=2)]

    def same(batches): return all(np.array_equal(a, b) for one, other in zip(truth, batches, strict=True) for a, b in zip(one, other))
    with SegDataLoader(path, 4, batch_size=2, workers=2, processes=True, cache="disk") as loader:
        kept = [*loader]  # more than there are slots
        assert same(kept) and len(children() - before[0]) == 2
        assert same(loader) and same(kept)
        loader.batch_size = 12  # larger than what the slots were made for
        assert np.array_equal(loader[0][1], np.concatenate([y for _, y in truth]))
    assert children() == before[0]
    data = SegDataLoader(path, 4, batch_size=2, workers=1, processes=True).to_tf_dataset()
    assert all(same((x.numpy(), y.numpy()) for x, y in data) for _ in range(2))
    forgotten = SegDataLoader(path, 4, batch_size=2, workers=1, processes=True)
    assert same(forgotten) and len(children() - before[0]) == 2
    del data, forgotten, loader
    gc.collect()
    assert children() == before[0] and same(kept)
    del kept
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before[1]


def test_helpers_end_with_their_owner(tmp_path):
    """However it ends: by itself, by Ctrl-C, by SIGKILL."""
    import signal
    import time

    import notebooks
    code = """
        import os, signal, sys, time
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        from dl_utils.data.loader import make_shapes_dataset, SegDataLoader
        loader = SegDataLoader(make_shapes_dataset('shapes', n=6), 4, batch_size=2, workers=2, processes=True)
        for _ in loader: pass
        print(*(helper.process.pid for helper in loader._reading._at_work.helpers.all), flush=True)
        while sys.argv[1] != 'ends': time.sleep(1)
        """

    def alive(pid):
        status = Path(f"/proc/{pid}/status")
        try: return "State:\tZ" not in status.read_text()
        except OSError: return False
    for how in "ends", signal.SIGINT, signal.SIGKILL:
        folder = tmp_path / str(how)
        folder.mkdir()
        program = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(how)], cwd=folder, env=notebooks.clean_env(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with program:
            pids = [*map(int, program.stdout.readline().split())]
            if how != "ends": program.send_signal(how)
            said = program.stderr.read()
        assert len(pids) == 2 and "Exception ignored" not in said and "resource_tracker" not in said
        for _ in range(100):
            if not any(map(alive, pids)): break
            time.sleep(.1)
        assert not any(map(alive, pids))


def test_a_helper_that_dies_is_told_and_replaced(tmp_path):
    import signal
    from concurrent.futures import BrokenExecutor
    with SegDataLoader(make_shapes_dataset(tmp_path / "shapes", n=8, size=(32, 32)), 4, batch_size=2, workers=2, processes=True) as loader:
        first = loader[0][0].copy()
        os.kill(loader._reading._at_work.helpers.all[1].process.pid, signal.SIGKILL)
        with pytest.raises(BrokenExecutor, match="ended by SIGKILL.*fewer workers="): [loader[i] for i in range(4)]
        assert np.array_equal(loader[0][0], first)
        (tmp_path / "shapes/inp/0003.png").write_bytes(b"")
        with pytest.raises(DataProblem, match="0003.png: is empty"): loader[1]
        assert np.array_equal(loader[0][0], first)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # TensorFlow's threads are there as well
@pytest.mark.parametrize("cache", ["ram", "disk"])
def test_a_forked_process_has_threads_and_a_cache_of_its_own(tmp_path, cache):
    plain = lambda image, mask: dict(image=image, mask=mask)  # takes the lock of the generators of the whole process
    with SegDataLoader(make_shapes_dataset(tmp_path / "shapes", n=30, size=(32, 32)), 4, plain, batch_size=2, cache=cache) as loader:
        truth = [loader.read(i)[1].copy() for i in range(30)]
        fresh = loader._copy(_source=dataclasses.replace(loader._source, cache=type(loader._source.cache)(10 ** 9)))
        assert np.array_equal(loader[0][0], fresh[0][0]) and np.array_equal(loader[1][0], fresh[1][0])  # threads are at work, ahead

        def right(seed):
            order = np.random.default_rng(seed).permutation(15)
            return all(np.array_equal(fresh[i][1].argmax(-1), truth[2 * i:2 * i + 2]) for _ in range(3) for i in order)
        children = []
        for seed in range(2):
            children.append(os.fork())
            if not children[-1]:
                try: same = right(seed)
                finally: os._exit(0 if same else 1)
        assert right(9) and [os.waitpid(child, 0)[1] for child in children] == [0, 0]
        fresh.close()


def test_a_loader_may_ask_another_and_be_closed_meanwhile(tmp_path):
    """Neither waits for the other for ever: each alarm would end the test."""
    import signal
    import threading
    path = make_shapes_dataset(tmp_path / "shapes", n=8, size=(32, 32))
    other = SegDataLoader(path, 4, lambda image, mask: dict(image=image[::-1], mask=mask[::-1]), batch_size=2, workers=2)
    mixed = SegDataLoader(path, 4, lambda image, mask: dict(image=image // 2 + np.uint8(other[0][0][0] * 100), mask=mask), batch_size=2, workers=2)
    signal.alarm(120)
    try:
        expected = [x.sum() for x, _ in mixed]
        stop = threading.Event()

        def close():
            while not stop.is_set(): mixed.close()
        closing = threading.Thread(target=close)
        closing.start()
        mixed.epoch = 0
        try: assert all([mixed[i][0].sum() for i in range(4)] == expected for _ in range(20))
        finally:
            stop.set()
            closing.join()
    finally: signal.alarm(0)
    mixed.close(), other.close()


FIT = """
    import numpy as np
    from dl_utils.data.loader import make_shapes_dataset, SegDataLoader
    from dl_utils.keras_module import is_keras_3, keras
    path = make_shapes_dataset('shapes', n=8, size=(32, 32))
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 1, activation='softmax')])
    model.compile('sgd', 'sparse_categorical_crossentropy', weighted_metrics=['accuracy'])
    how = dict(workers=2, use_multiprocessing={processes})
    loader = SegDataLoader(path, 4, batch_size=2, shuffle=True, seed=0, target='sparse', class_weights='balanced')
    if is_keras_3(keras):
        loader.workers, loader.use_multiprocessing = how.values()
        how = dict()
    loss = model.fit(loader, epochs=2, verbose=0, **how).history['loss']
    model.fit(loader.to_tf_dataset(), shuffle=False, verbose=0)
    assert np.isfinite(loss).all() and loader.epoch >= 2
    """


@pytest.mark.parametrize("flavour", ["keras", "tf_keras"])
@pytest.mark.parametrize("processes", [False, True])
def test_keras_own_workers_may_ask(python, flavour, processes):
    python(FIT.format(processes=processes), flavour)


def test_a_killed_program_leaves_no_cache(tmp_path):
    """The file of the disk cache has no name, so SIGKILL can't leave it."""
    import notebooks
    code = """
        from dl_utils.data.loader import make_shapes_dataset, SegDataLoader
        loader = SegDataLoader(make_shapes_dataset('shapes', n=6), 4, batch_size=2, cache='disk')
        for _ in loader: pass
        print(loader._source.cache.bytes, flush=True)
        import time; time.sleep(600)
        """
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    env = notebooks.clean_env(tmp_path) | {"TMPDIR": str(temporary)}
    program = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with program:
        kept = int(program.stdout.readline())
        program.kill()
    assert kept == 6 * 96 * 96 * 4 and not any(temporary.iterdir())
