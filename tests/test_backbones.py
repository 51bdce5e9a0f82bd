"""A backbone of each kind of family builds in all three architectures.

nbs/benchmarks/07_backbones.md tries all other backbones.
"""
import pytest

# VGG16: reversed channels; MobileNetV3: operators in its graph, preprocessing inside; ConvNeXt:
# first stride 4, Keras 2 builds it on the source of its input; InceptionV3: no padding, so its maps
# are not exact halves
FAMILIES = "VGG16", "MobileNetV3Small", "ConvNeXtTiny", "InceptionV3"


@pytest.mark.parametrize("flavour", ["keras", "tf_keras"])
def test_each_kind_of_backbone_builds_in_all_architectures(python, flavour):
    """At a size that is no multiple of 32 the output has the input's size, with finite logits."""
    built = python(f"""
        import numpy as np
        from dl_utils.keras_utils import Deeplabv3Plus, keras, make_fractal_unet, UNet
        shape = 100, 130, 3
        image = np.random.default_rng(0).random((1, *shape), 'float32')
        for backbone in {FAMILIES}:
            for make in UNet, Deeplabv3Plus, make_fractal_unet:
                model = make(backbone, shape, out_filters=3, activation=None, weights=None)
                logits = np.asarray(model(image))
                assert model.output_shape == (None, *shape), (backbone, model.name)
                assert logits.shape == (1, *shape), (backbone, model.name)
                assert np.isfinite(logits).all(), (backbone, model.name)
                print(backbone, model.name)
            keras.backend.clear_session()
        """, flavour).splitlines()
    architectures = "unet", "deeplabv3plus", "fractal_unet"
    assert built == [f"{backbone} {name}" for backbone in FAMILIES for name in architectures]
