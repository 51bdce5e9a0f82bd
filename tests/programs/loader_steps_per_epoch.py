"""Train with fewer steps an epoch than there are batches; print the warnings."""
import warnings

from dl_utils.data.loader import SegDataLoader
from dl_utils.data.synthetic import make_shapes_dataset
from dl_utils.keras_module import keras

conv = keras.layers.Conv2D(4, 1, activation="softmax")
model = keras.Sequential([keras.Input((None, None, 3)), conv])
model.compile("sgd", "categorical_crossentropy")
path = make_shapes_dataset("shapes", n=10)
for options in dict(steps_per_epoch=3), dict(), dict(shuffle=False, steps_per_epoch=3):
    loader = SegDataLoader(path, 4, batch_size=2, shuffle=True, seed=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(loader, epochs=5, verbose=0, **options)
        model.evaluate(loader, steps=2, verbose=0)
        model.fit(loader, verbose=0)
    messages = [str(each.message) for each in caught]
    print([message for message in messages if "epoch_multiplier" in message])
