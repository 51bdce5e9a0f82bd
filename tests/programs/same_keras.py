"""Print each name in which the Keras of this flavour and another module differ.

`tf.keras` lacks some long names of losses, and has its own AlphaDropout: we use none of them.
"""
import importlib
import sys

from dl_utils.keras_module import keras

PARTS = (
    "activations applications callbacks constraints initializers layers losses metrics models"
    " optimizers regularizers utils"
)
other = importlib.import_module(sys.argv[1])
for part in PARTS.split():
    names, ours = vars(getattr(other, part)), vars(getattr(keras, part))
    assert len(names) >= 5, part
    for name, thing in names.items():
        if not name[0].isalpha() or not callable(thing) or name == "AlphaDropout": continue
        if ours.get(name, thing) is not thing: print(part, name)
