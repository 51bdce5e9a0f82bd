"""In mixed precision losses are finite and close to those of float32."""
import numpy as np
from distillation_models import FEATURES, compiled_distiller, w, x, y

from dl_utils.keras_utils import Distiller, keras

arguments = dict(shuffle=False, verbose=0, epochs=3)
full = compiled_distiller(FEATURES, temperature=1.).fit(x, y, **arguments).history
keras.mixed_precision.set_global_policy("mixed_float16")
model = compiled_distiller(FEATURES, temperature=1.)
assert model.student.layers[0].compute_dtype == "float16"
half = model.fit(x, y, **arguments).history
assert half.keys() == full.keys()
for name, values in half.items():
    assert np.isfinite(values).all(), half
    assert np.allclose(values, full[name], rtol=.02, atol=.02), (half, full)


def conv_model(activation):
    layers = [keras.layers.Conv2D(n, 3, padding="same") for n in (4, 3)]
    if activation: layers.append(keras.layers.Activation(activation))
    return keras.Sequential([keras.Input((8, 8, 3)), *layers])


for activation in None, "softmax":
    model = Distiller(conv_model(activation), conv_model(activation))
    loss = keras.losses.CategoricalCrossentropy(from_logits=not activation)
    model.compile("adam", student_loss_fn=loss)
    history = model.fit(x, y, sample_weight=w, verbose=0, epochs=3).history
    assert "float16" in str(model.student.outputs[0].dtype)
    assert all(np.isfinite(v).all() for v in history.values()), history
