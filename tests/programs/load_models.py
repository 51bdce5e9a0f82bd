"""Load what save_models.py saved, in safe mode: equal predictions, once the layers are imported."""
import numpy as np

from dl_utils.keras_module import keras

try: keras.models.load_model("unet-False.keras", compile=False)
except Exception: pass
else: raise AssertionError("loaded without the import that README and tutorial ask for")

import dl_utils.layers  # noqa: E402, F401

expected = dict(np.load("expected.npz"))
x = expected.pop("x")
assert len(expected) == 9
for name, predicted in expected.items():
    for suffix in ".keras", ".h5":
        model = keras.models.load_model(name + suffix, compile=False)
        assert np.abs(model.predict(x, verbose=0) - predicted).max() <= 1e-6, name + suffix
assert (np.asarray(model(x, training=True)) == np.asarray(model(x, training=False))).all()
