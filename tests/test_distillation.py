"""Distillation where a notebook can't show it: two replicas, half precision, JAX, another Keras."""

import pytest


both_flavours = pytest.mark.parametrize("flavour", ["keras", "tf_keras"])


@both_flavours
def test_distiller_on_two_replicas(program, flavour):
    assert program("distillation_on_two_replicas", flavour=flavour) == ""


@both_flavours
def test_distiller_in_half_precision(program, flavour):
    assert program("distillation_in_half_precision", flavour=flavour) == ""


def test_distiller_on_jax_without_tensorflow(program):
    assert program("distillation_on_jax", KERAS_BACKEND="jax") == ""


@both_flavours
def test_distiller_accepts_teachers_of_another_keras(program, flavour):
    assert program("distillation_from_another_keras", flavour=flavour) == ""


@both_flavours
def test_distiller_checks_models_without_a_graph(program, flavour):
    assert program("distillation_without_graph", flavour=flavour) == ""


@both_flavours
def test_distiller_with_callbacks_and_files(program, flavour):
    program("distillation_callbacks_and_files", flavour=flavour)
