"""Metrics and losses: exact counts, ids outside the classes, several ids to ignore."""
import pytest


@pytest.mark.parametrize("flavour", ("keras", "tf_keras"))
def test_metrics_count_exactly(program, flavour):
    program("metric_counts", 25_000_000, flavour=flavour)


def test_metrics_count_exactly_on_jax(program):
    program("metric_counts", 1_000_000, KERAS_BACKEND="jax")


@pytest.mark.parametrize("flavour", ("keras", "tf_keras"))
def test_losses_refuse_and_ignore_ids(program, flavour): program("loss_ids", flavour=flavour)


def test_losses_refuse_and_ignore_ids_on_jax(program): program("loss_ids", KERAS_BACKEND="jax")


def test_probe_notices_shifted_masks(program): program("mask_shift", flavour="keras")


@pytest.mark.parametrize("flavour", ("keras", "tf_keras"))
def test_nearest_pixel_has_half_pixel_centres(program, flavour):
    program("resize_nearest", flavour=flavour)


@pytest.mark.parametrize("flavour", ("keras", "tf_keras"))
def test_absent_classes(program, flavour): program("absent_classes", flavour=flavour)
