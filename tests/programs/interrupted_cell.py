"""A cell of a notebook that trains until Ctrl+C."""
import signal
import time

import numpy as np

from dl_utils.keras_utils import DoOnKill, keras


class Progress(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print("batch", flush=True)
        time.sleep(.1)


model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
stop = DoOnKill("on_epoch_end", stop_signals=signal.SIGINT)
x, y = np.zeros((64, 4)), np.zeros((64, 1))
model.fit(x, y, batch_size=16, epochs=1000, verbose=0, callbacks=[Progress(), stop])
