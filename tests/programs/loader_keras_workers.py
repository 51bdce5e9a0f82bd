"""Keras' own workers, processes and threads, ask a loader for batches."""
import numpy as np

from dl_utils.data.loader import SegDataLoader
from dl_utils.data.synthetic import make_shapes_dataset
from dl_utils.keras_module import is_keras_3, keras

path = make_shapes_dataset("shapes", n=8, size=(32, 32))
conv = keras.layers.Conv2D(4, 1, activation="softmax")
model = keras.Sequential([keras.Input((None, None, 3)), conv])
model.compile("sgd", "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
options = dict(batch_size=2, shuffle=True, seed=0, target="sparse", class_weights="balanced")
for use_multiprocessing in True, False:
    loader = SegDataLoader(path, 4, **options)
    workers = dict(workers=2, use_multiprocessing=use_multiprocessing)
    if is_keras_3(keras):
        for name, value in workers.items(): setattr(loader, name, value)
        workers = {}
    loss = model.fit(loader, epochs=2, verbose=0, **workers).history["loss"]
    assert np.isfinite(loss).all() and loader.epoch >= 2
    model.fit(loader.to_tf_dataset(), shuffle=False, verbose=0)
print("done")
