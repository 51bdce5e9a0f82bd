"""Distillation on JAX, where TensorFlow can't be imported."""
import sys

sys.modules["tensorflow"] = None

from distillation_models import FEATURES, compiled_distiller, conv_model, w, x, y  # noqa: E402

teacher = conv_model(8, 1)
before = teacher.get_weights()
model = compiled_distiller(FEATURES, teacher=teacher)
history = model.fit(x, y, sample_weight=w, epochs=4, validation_data=(x, y), verbose=0).history
assert history["distillation_loss"][-1] < history["distillation_loss"][0]
assert set(history) >= {"feature_loss", "val_student_loss", "val_accuracy"}
assert all((a == b).all() for a, b in zip(before, teacher.get_weights()))
