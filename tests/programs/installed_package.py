"""Train and predict with the installed wheel; `make dist` runs this in a clean environment."""
import importlib.metadata
from pathlib import Path

import numpy as np

distribution = importlib.metadata.distribution("dl-utils-keras")
tops = {path.parts[0] for path in distribution.files}
assert tops == {"dl_utils", f"dl_utils_keras-{distribution.version}.dist-info"}, tops

import dl_utils  # noqa: E402
from dl_utils.keras_utils import SegDataLoader, UNet, make_shapes_dataset  # noqa: E402

assert Path(dl_utils.__file__).parent == Path(distribution.locate_file("dl_utils"))

make_shapes_dataset("shapes", n=4, size=(64, 64))
train = SegDataLoader("shapes", num_classes=4, batch_size=2, shuffle=True)
model = UNet("MobileNetV2", input_shape=(64, 64, 3), out_filters=4, weights=None)
model.compile("adam", "categorical_crossentropy")
loss, = model.fit(train, epochs=1, verbose=0).history["loss"]
images, _ = train[0]
probabilities = model.predict(images, verbose=0)
assert probabilities.shape == (2, 64, 64, 4) and np.isfinite(loss)
assert abs(probabilities.sum(-1) - 1).max() < 1e-5
print(f"{distribution.name} {distribution.version} trains and predicts: loss {loss:.2f}")
