"""`fit` takes the rest of an epoch: print its steps, and the batches that it asked for."""
from dl_utils.data.loader import SegDataLoader
from dl_utils.data.synthetic import make_shapes_dataset
from dl_utils.keras_module import keras


class Recorder(SegDataLoader):
    """Records the epoch and the number of each batch."""

    requests = []

    def __getitem__(self, index):
        self.requests.append((self.epoch, index + self.first_batch))
        return super().__getitem__(index)


loader = Recorder(make_shapes_dataset("shapes", n=12), 4, batch_size=2, shuffle=True, seed=0)
conv = keras.layers.Conv2D(4, 1, activation="softmax")
model = keras.Sequential([keras.Input((None, None, 3)), conv])
model.compile("sgd", "categorical_crossentropy")
steps = []
count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
with loader.rest_of_epoch(3, 4) as rest:
    model.fit(rest, initial_epoch=3, epochs=4, verbose=0, callbacks=[count])
print(steps, sorted(set(loader.requests)))
