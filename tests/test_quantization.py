"""Quantization of Keras Applications, of our models, in a process of Keras 3, of unusual graphs and
of custom layers."""

import pytest


# The smallest model of each family. These cover different rules: hard swish and
# squeeze-and-excitation, normalization and swish, batch normalization before convolutions,
# separable convolutions, grouped convolutions. `make test` takes two of them; MobileNetV3 is in
# `test_our_models_are_quantized`, too.
FAMILIES = ["EfficientNetB0", "ResNet50V2", "MobileNetV3Small", "Xception", "RegNetY002"]
OTHERS = ["MobileNet", "MobileNetV2", "EfficientNetV2B0", "ResNet50", "DenseNet121", "VGG16",
          "InceptionV3", "InceptionResNetV2", "ConvNeXtTiny", "RegNetX002", "ResNetRS50"]
CASES = [(name, "fewer") for name in FAMILIES[:2]]
WHOLE = [(name, "fewer") for name in [*FAMILIES[2:], "NASNetMobile"]]
WHOLE += [(name, "all") for name in FAMILIES + OTHERS]


@pytest.mark.parametrize(
    "name, blocks", [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in WHOLE)])
def test_applications_are_quantized_and_pruned(program, name, blocks):
    """Quantized, trained a step, saved, and pruned; loaded by another process, and converted to an
    8-bit file with the outputs of the model."""
    program("quantize_application", "save", name, blocks, flavour="tf_keras")
    program("quantize_application", "load", name, blocks, flavour="tf_keras")


@pytest.mark.parametrize("blocks", ["fewer", pytest.param("all", marks=pytest.mark.slow)])
def test_our_models_are_quantized(program, blocks):
    """In a process with KERAS_MODULE=keras, for which tfmot_utils chooses tf_keras."""
    program("quantize_our_models", blocks, flavour="keras")


def test_keras_3_model_is_quantized_in_a_keras_3_process(program):
    """A model of ours, built and compiled in Keras 3, is quantized, trained and converted there; a
    warning says what that means."""
    program("quantize_keras_3_model", flavour="keras")


def test_rules_keep_outputs_names_and_regularizers(program):
    """Also batch normalization in inference mode, and layers without an 8-bit form."""
    program("quantize_unusual_graphs", flavour="tf_keras")


def test_custom_layers_are_quantized(program):
    """Excluded layers of the user keep their weights and the arguments of their calls, and load
    from files; sizes and other whole numbers stay as they are."""
    program("quantize_custom_layers", flavour="tf_keras")
