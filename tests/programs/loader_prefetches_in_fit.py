"""`fit`, with nothing set, shuffles the batches: print how many of its requests were prefetched."""
from dl_utils.data.loader import SegDataLoader
from dl_utils.data.synthetic import make_shapes_dataset
from dl_utils.keras_module import keras


class CountingLoader(SegDataLoader):
    """Counts the requests of each epoch, and those of batches that had been started before."""

    counts = {}

    def __getitem__(self, index):
        count = self.counts.setdefault(self.epoch, [0, 0])
        pending = [key[:2] for key in self._prefetcher._pending]
        assert len(pending) <= self.prefetch
        count[0] += 1
        count[1] += (self.epoch, index) in pending
        return super().__getitem__(index)


loader = CountingLoader(make_shapes_dataset("shapes", n=24), 4, batch_size=2, shuffle=True, seed=0)
conv = keras.layers.Conv2D(4, 1, activation="softmax")
model = keras.Sequential([keras.Input((None, None, 3)), conv])
model.compile("sgd", "categorical_crossentropy")
first = loader.epoch + hasattr(loader, "num_batches")  # Keras 3 ends an epoch before the first
model.fit(loader, epochs=3, verbose=0)
print(*(f"{prefetched}/{n}" for n, prefetched in (loader.counts[first + e] for e in range(3))))
