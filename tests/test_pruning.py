"""Pruning of our models, of stock models, on two replicas; pruned, quantized and compressed models
whose training is interrupted and resumed."""
import subprocess
import sys
from pathlib import Path

import notebooks
import pytest

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture
def program(tmp_path):
    """Run `tests/programs/NAME.py` in a fresh process, in a temporary folder, and return what it
    printed. It has to succeed unless `check` is False."""
    def run(name, *args, flavour="tf_keras", check=True):
        command = [sys.executable, str(PROGRAMS / f"{name}.py"), *args]
        env = notebooks.clean_env(tmp_path, flavour)
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        printed = done.stdout + notebooks.NATIVE_LOG.sub("", done.stderr)
        assert not check or done.returncode == 0, printed
        return printed
    return run


def test_our_models_are_pruned(program):
    """Models of Keras 3 become as sparse as asked, in a step, and keep their outputs unpruned."""
    program("prune_our_models", flavour="keras")


def test_stock_models_are_unpruned(program):
    """Models that tensorflow-model-optimization alone has pruned."""
    program("prune_stock_model")


def test_two_replicas_count_a_step_once(program):
    """Weights on two replicas are those of a training on one."""
    program("prune_on_two_replicas")


def test_interrupted_training_is_resumed(program, tmp_path):
    """Stopped by SIGTERM within an epoch and resumed, masks, steps and ranges of pruned and of
    quantized models equal, to the digit, those of an uninterrupted training."""
    for kind in "pruning", "quantization":
        printed = program("resume_compressed_training", "stop", kind, check=False)
        assert "after 3 of 6 epochs" in printed, printed
        assert not (tmp_path / f"{kind}_resumed.npz").exists()
    program("resume_compressed_training", "resume", "pruning", "quantization")


def test_interrupted_compression_is_resumed(program, tmp_path):
    """Stopped by SIGTERM within its second recipe and resumed, `compress` gives the table of an
    uninterrupted run."""
    printed = program("resume_compression", "stop", check=False)
    assert "after 3 of 4 epochs" in printed, printed
    names = {path.name for path in (tmp_path / "resumed").glob("*.json")}
    assert names == {"made_of.json", "float.json", "pruned-50.json"}, names
    program("resume_compression", "resume")
