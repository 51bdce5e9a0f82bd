"""Every notebook runs from top to bottom in a kernel of its own: its cells are the tests."""
import os
import shutil

import notebooks
import pytest

FLAGS = os.environ.get("FLAGS", "").split() + ["gpu"] * bool(shutil.which("nvidia-smi"))
CASES = [
    pytest.param(name, flavour, marks=pytest.mark.slow if slow else ())
    for name, flavour, slow in notebooks.cases()
]


@pytest.mark.parametrize("name, flavour", CASES)
def test_notebook(name, flavour):
    failure = None
    try: notebooks.execute(notebooks.by_name(name), flavour, flags=FLAGS, short="slow" not in FLAGS)
    except notebooks.CellFailed as error: failure = str(error)
    if failure: pytest.fail(failure, pytrace=False)
