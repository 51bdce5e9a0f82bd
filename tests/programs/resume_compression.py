"""`stop`: `compress`, which SIGTERM stops in its second recipe; `resume`: resume it, and compare it
with an uninterrupted run."""
import os
import signal
import sys

from dl_utils.keras_utils import make_shapes_dataset, MeanIoU, SegDataLoader
from dl_utils.tfmot_utils import compress, EightBits, keras, Pruned

layers, stops = keras.layers, sys.argv[1] == "stop"


class Stop(keras.callbacks.Callback):
    """SIGTERM at the beginning of the third epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2: os.kill(os.getpid(), signal.SIGTERM)


def tuned(model, training): return training(model, [Stop()] if stops else [])


def run(folder):
    """Recipes with scores and sizes, and the name of the smallest model."""
    keras.backend.clear_session()  # names in files count from 1 again
    keras.utils.set_random_seed(0)
    folder_of_images = make_shapes_dataset("shapes", 24, size=(32, 32), num_classes=3)
    data = SegDataLoader(folder_of_images, num_classes=3, batch_size=4, seed=0).split(.7)
    model = keras.Sequential([
        keras.Input((32, 32, 3), name="image"),
        layers.Conv2D(16, 3, padding="same", name="conv"),
        layers.BatchNormalization(name="norm"),
        layers.ReLU(name="relu"),
        layers.Conv2D(3, 1, activation="softmax", name="mask"),
    ], name="model")
    model.compile(keras.optimizers.Adam(.01), "categorical_crossentropy", metrics=[MeanIoU(3)])
    recipes = [[Pruned(.5)], [Pruned(.5), tuned], [EightBits()]]
    table, smallest = compress(model, data, recipes, 0., folder=folder, epochs=4, show=False)
    return [(row.recipe, row.score, row.size) for row in table], smallest.name


resumed = run("resumed")
uninterrupted = run("uninterrupted")
assert resumed == uninterrupted, (resumed, uninterrupted)
assert "pruned 50%, tuned" in str(resumed), resumed
