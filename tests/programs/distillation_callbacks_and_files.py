"""Callbacks, saved weights, losses without truth or teacher, and data of another size."""
import os
import warnings

import numpy as np
from distillation_models import FEATURES, compiled_distiller, conv_model, x, y

from dl_utils.keras_utils import AutoFinetune, Distiller, keras, make_shapes_dataset
from dl_utils.keras_utils import SegDataLoader

# callbacks, and files of the student
model = compiled_distiller(FEATURES)
stop = keras.callbacks.EarlyStopping(
    "val_distillation_loss", mode="min", restore_best_weights=True)
best = keras.callbacks.ModelCheckpoint(
    "best.keras", monitor="val_student_loss", mode="min", save_best_only=True)
model.fit(x, y, validation_data=(x, y), callbacks=[stop, best], epochs=3, verbose=0)
assert keras.models.load_model("best.keras").name == model.student.name
model.export("exported")
assert os.path.isdir("exported")

# weights of all, and the optimizer
model.compile(keras.optimizers.Adam(), student_loss_fn="categorical_crossentropy")
model.fit(x, y, shuffle=False, verbose=0)
model.save_weights("all.weights.h5")
loaded = compiled_distiller(FEATURES)
loaded.compile(keras.optimizers.Adam(), student_loss_fn="categorical_crossentropy")
loaded.load_weights("all.weights.h5")
for distiller in model, loaded: distiller.fit(x, y, shuffle=False, verbose=0)
assert max(abs(a - b).max() for a, b in zip(model.get_weights(), loaded.get_weights())) < 1e-6

# alpha=1: the teacher doesn't count; alpha=0: there need be no truth
nan_teacher = conv_model(8, 1)
nan_teacher.set_weights([a * np.nan for a in nan_teacher.get_weights()])
student_only = compiled_distiller(teacher=nan_teacher, alpha=1.)
assert np.isfinite(student_only.fit(x, y, verbose=0).history["loss"]).all()
model.compile("adam", alpha=0, metrics=["accuracy"])
losses = {"loss", "student_loss", "distillation_loss", "feature_loss"}
assert set(model.fit(x, verbose=0).history) >= losses

# a loader with images of another size than the teacher's
last = keras.layers.Conv2D(3, 1, activation="softmax")
student = keras.Sequential([keras.Input((None, None, 3)), last])
with warnings.catch_warnings(record=True):
    warnings.simplefilter("always")
    resizing = Distiller(student, conv_model(8, 1))
resizing.compile("adam", student_loss_fn="sparse_categorical_crossentropy")
folder = make_shapes_dataset("shapes", n=4, size=(12, 20), num_classes=3)
with SegDataLoader(folder, 3, batch_size=2, target="sparse") as data:
    assert np.isfinite(resizing.fit(data, shuffle=False, verbose=0).history["loss"]).all()

# two stages of fine-tuning, in XLA
convolution = keras.layers.Conv2D(4, 3, padding="same", activation="relu")
backbone = keras.Sequential([keras.Input((None, None, 3)), convolution], name="backbone")
backbone.trainable = False
last = keras.layers.Conv2D(3, 1, activation="softmax")
student = keras.Sequential([keras.Input((None, None, 3)), backbone, last])
in_stages = Distiller(student, conv_model(8, 1))
in_stages.compile("adam", student_loss_fn="categorical_crossentropy", jit_compile=True)
finetune = AutoFinetune(monitor="loss", patience=1, min_delta=99)
before = convolution.get_weights()[0]
history = in_stages.fit(x, y, epochs=4, verbose=0, callbacks=[finetune]).history
assert set(history["stage"]) == {1, 2}, history["stage"]
assert (convolution.get_weights()[0] != before).any()
