"""The browser of samples where its notebook can't test it: under other versions of ipywidgets, and
with unusual samples."""
import subprocess
import sys

import pytest


@pytest.mark.parametrize("requirement", ["==7.7.1", ">=7.7,<8"])
def test_browse_on_ipywidgets_7(program, tmp_path, requirement):
    """7.7.1 is the version of Colab; its further dependencies come with ipywidgets 8."""
    folder = tmp_path / "seven"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--no-deps", "--no-compile", "--no-cache-dir", "--target", folder]
    packages = [f"ipywidgets{requirement}", "ipython_genutils"]
    subprocess.run([*pip, *packages], check=True, capture_output=True)
    version = program("browse_widget", folder, cold=True)
    assert version == "7.7.1" if "==" in requirement else version.startswith("7.")


def test_browse_on_ipywidgets_8(program):
    assert int(program("browse_widget", cold=True).split(".")[0]) >= 8


def test_browse_accepts_unusual_samples(program):
    assert program("browse_inputs", cold=True) == "[(330, 220), (230, 322), (324, 324)]"
