"""Metrics and callbacks against scikit-learn, on random input, on two replicas, and on JAX."""

import pytest


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
