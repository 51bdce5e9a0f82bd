"""A stopped search for hyperparameters keeps its trials; the next one in its folder continues."""
import os
import signal

import keras_tuner
import numpy as np

from dl_utils.keras_utils import CarefulStopping, keras

x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
y = x[:, :1]


def build(hp):
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(hp.Int("units", 1, 64)), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")
    return model


class SignalInThirdTraining(keras.callbacks.Callback):
    trainings = 0  # KerasTuner copies callbacks for each trial

    def on_train_begin(self, logs=None): SignalInThirdTraining.trainings += 1

    def on_epoch_end(self, epoch, logs=None):
        if self.trainings == 3 and epoch == 0: os.kill(os.getpid(), signal.SIGTERM)


def search(*callbacks):
    """The number of trials before and of completed ones after it; whether it reached its end."""
    tuner = keras_tuner.RandomSearch(
        build, "val_loss", max_trials=3, directory="search", project_name="all", seed=0
    )
    before, reached_end = len(tuner.oracle.trials), False
    careful = CarefulStopping(keras_tuner.errors.FatalRuntimeError)
    with careful.context():
        callbacks = [*callbacks, careful.get_callback("on_epoch_end")]
        tuner.search(x, y, validation_data=(x, y), epochs=2, verbose=0, callbacks=callbacks)
        reached_end = True
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    states = [trial.status for trial in tuner.oracle.trials.values()]
    return before, states.count("COMPLETED"), reached_end


assert search(SignalInThirdTraining()) == (0, 2, False)
before, completed, reached_end = search()
assert before >= 2 and completed == 3 and reached_end, (before, completed, reached_end)
