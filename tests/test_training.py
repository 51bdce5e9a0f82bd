"""Metrics and callbacks against scikit-learn, on random input, on two replicas, and on JAX."""
import subprocess
import sys
from pathlib import Path

import notebooks
import pytest

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture
def program(tmp_path):
    """Run `tests/programs/NAME.py` in a temporary folder; it must succeed."""
    def run(name, *arguments, flavour=notebooks.DEFAULT, **env):
        command = [sys.executable, str(PROGRAMS / f"{name}.py"), *arguments]
        env = notebooks.clean_env(tmp_path, flavour, **env)
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, notebooks.NATIVE_LOG.sub("", done.stderr)
    return run


FLAVOURS = pytest.mark.parametrize("flavour", ["keras", "tf_keras"])


@FLAVOURS
def test_max_fscore_is_as_exact_as_scikit_learn(program, flavour):
    program("max_fscore_exact", flavour=flavour)


@FLAVOURS
def test_training_on_two_replicas(program, flavour):
    program("training_two_replicas", flavour=flavour)


def test_training_on_jax_without_tensorflow(program):
    program("training_on_jax", KERAS_BACKEND="jax")


def test_properties_of_max_fscore_and_backbone_shapes(program): program("properties")
