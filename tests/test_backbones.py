"""A backbone of each kind of family builds in all three architectures.

nbs/benchmarks/07_backbones.md tries all other backbones.
"""
import pytest

# VGG16: reversed channels; MobileNetV3: operators in its graph, preprocessing inside; ConvNeXt:
# first stride 4, Keras 2 builds it on the source of its input; InceptionV3: no padding, so its maps
# are not exact halves
FAMILIES = "VGG16", "MobileNetV3Small", "ConvNeXtTiny", "InceptionV3"


@pytest.mark.parametrize("flavour", ["keras", "tf_keras"])
def test_each_kind_of_backbone_builds_in_all_architectures(program, flavour):
    """At a size that is no multiple of 32 the output has the input's size, with finite logits."""
    built = program("build_backbones", *FAMILIES, flavour=flavour).splitlines()
    architectures = "unet", "deeplabv3plus", "fractal_unet"
    assert built == [f"{backbone} {name}" for backbone in FAMILIES for name in architectures]
