"""served_training.py LOG_DIR ENDING: show a training in TensorBoard until a line is read."""
import sys

import numpy as np

from dl_utils.keras_utils import keras, TensorBoardContext

log_dir, ending = sys.argv[1:]
x = np.random.default_rng(0).normal(size=(256, 4)).astype("float32")
y = x[:, :1] * 3
hidden = keras.layers.Dense(8, activation="relu")
model = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(1)])
model.compile("adam", "mse")
context = TensorBoardContext(log_dir)
print(context.start(), flush=True)
epochs = 12 if ending == "end" else 1  # the curves of this one are looked at
model.fit(x, y, validation_data=(x, y), epochs=epochs, verbose=0, callbacks=[context.callback])
print("trained", flush=True)
sys.stdin.readline()
if ending == "raise": raise ZeroDivisionError
