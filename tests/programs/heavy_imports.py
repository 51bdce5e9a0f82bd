"""Importing dl_utils imports none of the large packages."""
import sys

import dl_utils  # noqa: F401

HEAVY = {"tensorflow", "keras", "tf_keras", "numpy", "matplotlib", "albumentations", "cv2"}
loaded = {name.split(".")[0] for name in sys.modules} & HEAVY
assert not loaded, loaded
