"""Distillation where a notebook can't show it: two replicas, half precision, JAX, another Keras."""
import subprocess
import sys
from pathlib import Path

import notebooks
import pytest

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture
def program(tmp_path):
    """Run a program of `tests/programs` in a fresh process, in a temporary folder; its assertions
    must hold. Gives its output."""
    def run(name, flavour="keras", **env):
        done = subprocess.run(
            [sys.executable, PROGRAMS / name], cwd=tmp_path, capture_output=True, text=True,
            env=notebooks.clean_env(tmp_path, flavour, **env))
        assert done.returncode == 0, notebooks.NATIVE_LOG.sub("", done.stderr)
        return done.stdout.strip()
    return run


both_flavours = pytest.mark.parametrize("flavour", ["keras", "tf_keras"])


@both_flavours
def test_distiller_on_two_replicas(program, flavour):
    assert program("distillation_on_two_replicas.py", flavour) == ""


@both_flavours
def test_distiller_in_half_precision(program, flavour):
    assert program("distillation_in_half_precision.py", flavour) == ""


def test_distiller_on_jax_without_tensorflow(program):
    assert program("distillation_on_jax.py", KERAS_BACKEND="jax") == ""


@both_flavours
def test_distiller_accepts_teachers_of_another_keras(program, flavour):
    assert program("distillation_from_another_keras.py", flavour) == ""


@both_flavours
def test_distiller_checks_models_without_a_graph(program, flavour):
    assert program("distillation_without_graph.py", flavour) == ""


@both_flavours
def test_distiller_with_callbacks_and_files(program, flavour):
    program("distillation_callbacks_and_files.py", flavour)
