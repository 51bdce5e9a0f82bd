"""Every notebook runs from top to bottom in a kernel of its own, in its flavours. Their cells are the tests."""
import os

import notebooks
import pytest

FLAGS = os.environ.get("FLAGS", "").split()


@pytest.mark.parametrize("name, flavour", notebooks.cases(benchmarks="slow" in FLAGS))
def test_notebook(name, flavour):
    failure = None
    try: notebooks.execute(notebooks.by_name(name), flavour, flags=FLAGS)
    except notebooks.CellFailed as error: failure = str(error)
    if failure: pytest.fail(failure, pytrace=False)
