"""A teacher of another Keras, as a model or as a file, trains the student like one of its own."""
import keras as keras_3
import numpy as np
import tf_keras
from distillation_models import FEATURES, compiled_distiller, conv_model, x, y

from dl_utils.keras_utils import keras

other = tf_keras if keras is keras_3 else keras_3
own, foreign = conv_model(8, 1), conv_model(8, 1, other)
foreign.set_weights(own.get_weights())
teachers = [own, foreign]
for path in "teacher.keras", "teacher.h5":
    foreign.save(path)
    teachers.append(path)
histories = []
for teacher in teachers:
    model = compiled_distiller(FEATURES, teacher=teacher)
    histories.append(model.fit(x, y, shuffle=False, epochs=2, verbose=0).history)
expected = histories[0]
for history, teacher in zip(histories, teachers):
    same = [np.allclose(expected[name], history[name], rtol=1e-4) for name in expected]
    assert all(same), (teacher, expected, history)
