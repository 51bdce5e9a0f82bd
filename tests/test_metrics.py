"""Metrics and losses: exact counts, ids outside the classes, several ids to ignore."""
import pytest


@pytest.mark.parametrize("backend", ("tensorflow", "jax"))
def test_metrics_count_exactly(program, backend): program("metric_counts", KERAS_BACKEND=backend)


def test_metrics_count_exactly_on_keras_2(program): program("metric_counts", flavour="tf_keras")


@pytest.mark.parametrize("flavour", ("keras", "tf_keras"))
def test_losses_refuse_and_ignore_ids(program, flavour): program("loss_ids", flavour=flavour)


def test_losses_refuse_and_ignore_ids_on_jax(program): program("loss_ids", KERAS_BACKEND="jax")


def test_probe_notices_shifted_masks(program): program("mask_shift", flavour="keras")


@pytest.mark.parametrize("flavour", ("keras", "tf_keras"))
def test_nearest_pixel_has_half_pixel_centres(program, flavour):
    program("resize_nearest", flavour=flavour)


@pytest.mark.parametrize("flavour", ("keras", "tf_keras"))
def test_absent_classes(program, flavour): program("absent_classes", flavour=flavour)
