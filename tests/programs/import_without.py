"""Import the loader as if a package were not installed."""
import sys

sys.modules[sys.argv[1]] = None
import dl_utils.data.loader  # noqa: E402, F401
