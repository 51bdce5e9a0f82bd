"""A model that tensorflow-model-optimization alone has pruned is trained and unpruned."""
import numpy as np
import tensorflow_model_optimization as tfmot

from dl_utils.tfmot_utils import get_pruning_callbacks, keras, sparsity_report, unprune

stock, layers = tfmot.sparsity.keras, keras.layers
model = keras.Sequential([
    keras.Input((8, 8, 3)),
    layers.Conv2D(4, 3, name="conv"),
    layers.Flatten(),
    layers.Dense(2, name="dense"),
])
pruned = stock.prune_low_magnitude(model, stock.ConstantSparsity(.5, begin_step=1))
pruned.compile("sgd", "mse")
images = np.random.default_rng(0).random((8, 8, 8, 3), "float32")
pruned.fit(images, np.zeros((8, 2)), verbose=0, callbacks=get_pruning_callbacks())
plain = unprune(pruned)
assert np.array_equal(plain(images), stock.strip_pruning(pruned)(images))
assert sparsity_report(pruned).sparsity == sparsity_report(plain).sparsity == .5
assert [layer.name for layer in plain.layers] == ["conv", "flatten", "dense"]
