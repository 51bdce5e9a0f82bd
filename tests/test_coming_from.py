"""Calls as the earlier single-file modules took them work, or their errors name the new form."""

import pytest


@pytest.mark.parametrize("flavour", ["keras", "tf_keras"])
def test_calls_of_keras_utils(program, flavour): program("coming_from_keras_utils", flavour=flavour)


def test_calls_of_tfmot_utils(program): program("coming_from_tfmot_utils", flavour="tf_keras")
