"""Metrics and losses: exact counts, ids outside the classes, several ids to ignore."""
import pytest


@pytest.mark.parametrize("backend", ("tensorflow", "jax"))
def test_metrics_count_exactly(program, backend): program("metric_counts", KERAS_BACKEND=backend)


def test_metrics_count_exactly_on_keras_2(program): program("metric_counts", flavour="tf_keras")
