"""argv: how many times to make a loader, train, and forget the loader. Print what is left."""
import gc
import json
import os
import sys
import weakref
from pathlib import Path

from dl_utils.data.loader import SegDataLoader
from dl_utils.data.synthetic import make_shapes_dataset
from dl_utils.keras_module import keras

path = make_shapes_dataset("shapes", n=8, size=(128, 128))
conv = keras.layers.Conv2D(4, 1, activation="softmax")
model = keras.Sequential([keras.Input((128, 128, 3)), conv])
model.compile("sgd", "categorical_crossentropy")
loaders = weakref.WeakSet()


def make_loader(**options):
    loader = SegDataLoader(path, 4, batch_size=4, workers=1, cache="ram", **options)
    loaders.add(loader)
    return loader


def train(processes):
    """Train, evaluate and predict; interrupt some of it."""
    loader = make_loader(processes=processes)
    model.fit(loader, validation_data=make_loader(), epochs=2, verbose=0)
    model.evaluate(loader, verbose=0)
    model.predict(loader, verbose=0)
    stop = keras.callbacks.LambdaCallback(on_train_batch_end=interrupt)
    try: model.fit(make_loader(), callbacks=[stop], verbose=0)
    except InterruptedError: pass


def interrupt(batch, logs): raise InterruptedError


def n_children():
    """The running processes that have this one as their parent."""
    stats = [pid.read_text().rsplit(")", 1)[1].split() for pid in Path("/proc").glob("[0-9]*/stat")]
    return sum(int(parent) == os.getpid() for _, parent, *_ in stats)


def state():
    memory = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return dict(
        loaders=len(loaders),
        processes=n_children(),
        threads=len(os.listdir("/proc/self/task")),
        files=len(os.listdir("/proc/self/fd")),
        memory=memory / 2**20,
    )


states, n = [], int(sys.argv[1])
for i in range(n):
    train(processes=i % 5 == 0)
    # a loader collects the garbage of others, so nothing piles up in between
    assert n_children() <= 2, n_children()
    if i + 1 in (n // 2, n):
        for _ in range(2): gc.collect()  # an interrupted `fit` leaves an iterator, which ends first
        states.append(state())
print(json.dumps(states))
