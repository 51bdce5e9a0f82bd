"""Pruning of our models, of stock models, on two replicas; pruned, quantized and compressed models
whose training is interrupted and resumed."""

import pytest


@pytest.mark.parametrize("blocks", ["fewer", pytest.param("all", marks=pytest.mark.slow)])
def test_our_models_are_pruned(program, blocks):
    """Models of Keras 3 become as sparse as asked, in a step, and keep their outputs unpruned."""
    program("prune_our_models", blocks, flavour="keras")


def test_stock_models_are_unpruned(program):
    """Models that tensorflow-model-optimization alone has pruned."""
    program("prune_stock_model", flavour="tf_keras")


def test_two_replicas_count_a_step_once(program):
    """Weights on two replicas are those of a training on one."""
    program("prune_on_two_replicas", flavour="tf_keras")


def test_interrupted_training_is_resumed(program, tmp_path):
    """Stopped by SIGTERM within an epoch and resumed, masks, steps and ranges of pruned and of
    quantized models equal, to the digit, those of an uninterrupted training."""
    for kind in "pruning", "quantization":
        stopped = program(
            "resume_compressed_training", "stop", kind, flavour="tf_keras", check=False
        )
        printed = stopped.printed + stopped.errors
        assert "after 3 of 6 epochs" in printed, printed
        assert not (tmp_path / f"{kind}_resumed.npz").exists()
    program("resume_compressed_training", "resume", "pruning", "quantization", flavour="tf_keras")


def test_interrupted_compression_is_resumed(program, tmp_path):
    """Stopped by SIGTERM within its second recipe and resumed, `compress` gives the table of an
    uninterrupted run."""
    stopped = program("resume_compression", "stop", flavour="tf_keras", check=False)
    printed = stopped.printed + stopped.errors
    assert "after 3 of 4 epochs" in printed, printed
    names = {path.name for path in (tmp_path / "resumed").glob("*.json")}
    assert names == {"made_of.json", "float.json", "pruned-50.json"}, names
    program("resume_compression", "resume", flavour="tf_keras")
