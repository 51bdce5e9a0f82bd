"""A backbone of each kind of family builds in all three architectures, for any number of channels.

nbs/benchmarks/07_backbones.md tries all other backbones.
"""
import keras
import pytest

# VGG16: reversed channels; MobileNetV3: operators in its graph, preprocessing inside; ConvNeXt:
# first stride 4, Keras 2 builds it on the source of its input; InceptionV3: no padding, so its maps
# are not exact halves
FAMILIES = "VGG16", "MobileNetV3Small", "ConvNeXtTiny", "InceptionV3"

# preprocessing: BGR and means; constants inside; a layer that `weights='imagenet'` adds
QUICK = "VGG16", "ConvNeXtTiny", "EfficientNetB0"
QUICK_IN_KERAS_2 = "RegNetX002", "EfficientNetB0"
EACH_FAMILY = (
    *QUICK, "DenseNet121", "MobileNetV2", "ResNet50", "ResNet50V2", "InceptionV3",
    "InceptionResNetV2", "Xception", "MobileNet", "MobileNetV3Small", "NASNetMobile",
    "EfficientNetV2B0", "EfficientNetV2S",
)


@pytest.mark.parametrize(
    "flavour, names",
    [
        ("keras", FAMILIES),
        ("tf_keras", ["ConvNeXtTiny"]),
        pytest.param("tf_keras", FAMILIES, marks=pytest.mark.slow),
    ],
)
def test_each_kind_of_backbone_builds_in_all_architectures(program, flavour, names):
    """At a size that is no multiple of 32 the output has the input's size, with finite logits."""
    built = program("build_backbones", *names, flavour=flavour).splitlines()
    architectures = "unet", "deeplabv3plus", "fractal_unet"
    assert built == [f"{backbone} {name}" for backbone in names for name in architectures]


def imagenet(names): return [f"{name}=imagenet" for name in names]


@pytest.mark.parametrize("flavour, names", [("keras", QUICK), ("tf_keras", QUICK_IN_KERAS_2)])
def test_pretrained_weights_are_adapted_to_other_channels(program, flavour, names):
    """A grey image gives what it gives three times as RGB, and RGB twice what RGB gives."""
    adapted = program("other_channels", *imagenet(names), flavour=flavour)
    assert adapted.split() == list(names)


@pytest.mark.slow
@pytest.mark.parametrize("flavour, names", [
    ("keras", EACH_FAMILY),
    ("tf_keras", (*EACH_FAMILY, "RegNetX002", "RegNetY002", "ResNetRS50")),
])
def test_pretrained_weights_of_each_family_are_adapted(program, flavour, names):
    """As above; EfficientNetV2 of both sizes, because they preprocess differently."""
    adapted = program("other_channels", *imagenet(names), flavour=flavour)
    assert adapted.split() == list(names)


@pytest.mark.slow
@pytest.mark.parametrize("flavour", ["keras", "tf_keras"])
def test_all_constructors_are_adapted_to_other_channels(program, flavour):
    """All 71 of Keras 2, and those that Keras 3 has of them, with random weights."""
    names = program("other_channels", "names", flavour=flavour).split()
    for i in range(0, len(names), 6):  # which large models need for their memory
        assert program("other_channels", *names[i:i+6], flavour=flavour).split() == names[i:i+6]


@pytest.mark.parametrize("channels", [1, 5])
def test_models_for_other_channels_are_compressed_and_exported(program, channels):
    """Quantized, converted to TFLite, exported to ONNX, pruned."""
    done = program("compress_other_channels", channels, flavour="tf_keras")
    assert done == str(channels)


BOTTLENECKS = {
    "MobileNetV2": [16, 24, 32, 96, 320],
    "MobileNetV3Small": [16, 16, 24, 48, 96],
    "EfficientNetV2B0": [16, 32, 48, 112, 192],
}
NO_BOTTLENECKS = "MobileNet", "ResNet50V2", "Xception", "ConvNeXtTiny"


@pytest.mark.parametrize("name", [*BOTTLENECKS, *NO_BOTTLENECKS])
def test_bottlenecks_of_inverted_blocks(name):
    """Families without them have the same maps for both."""
    from dl_utils.keras_utils import backbone2encoder
    expanded, bottleneck = (
        [tensor.shape[-1] for tensor in backbone2encoder(
            name, return_outputs=True, weights=None, skips=skips)]
        for skips in ("expanded", "bottleneck")
    )
    assert bottleneck == BOTTLENECKS.get(name, expanded)


def example_backbone(channels, first=None):
    """A convolution that halves, behind `first`."""
    x = start = keras.Input((None, None, channels))
    if first: x = first(x)
    return keras.Model(start, keras.layers.Conv2D(4, 3, strides=2, padding="same")(x), name="mine")


@pytest.mark.parametrize("channels, message", [
    (0, "number of channels in input_shape=0"),
    (-1, "number of channels"),
    (2.5, "number of channels"),
    (None, "number of channels must be known"),
])
def test_impossible_numbers_of_channels(channels, message):
    from dl_utils.keras_utils import Deeplabv3Plus, UNet, backbone_with_preprop, make_fractal_unet
    for make in UNet, Deeplabv3Plus, make_fractal_unet, backbone_with_preprop:
        with pytest.raises(ValueError, match=message):
            make("MobileNetV2", input_shape=(64, 64, channels), weights=None)


def test_backbones_for_other_channels_than_the_image_has():
    from dl_utils.keras_utils import UNet
    with pytest.raises(ValueError, match=r"mine is built for 5 .* images have 4; .* 3 or 4 chan"):
        UNet(example_backbone(5), input_shape=(64, 64, 4))
    assert UNet(example_backbone(5), (64, 64, 5), filters=[4]).input_shape[-1] == 5
    mixing = example_backbone(3, keras.layers.Dense(3, name="mix"))
    with pytest.raises(ValueError, match=r"mix \(Dense\) takes the three channels"):
        UNet(mixing, input_shape=(64, 64, 4))
    # a channel that is repeated needs no other layers
    assert UNet(mixing, (64, 64, 1), filters=[4]).input_shape[-1] == 1


def test_nested_and_random_backbones_for_other_channels():
    """A nested backbone holds its preprocessing; with random weights the first kernel is new."""
    import numpy as np

    from dl_utils.keras_utils import backbone_with_preprop
    rgb = backbone_with_preprop("VGG16", input_shape=(32, 32, 3), weights=None)
    image = np.random.default_rng(0).random((1, 32, 32, 3), "float32")
    expected = np.asarray(rgb(image))
    options = dict(input_shape=(32, 32, 6), as_submodel=True)
    nested = backbone_with_preprop(rgb, **options)
    assert len(nested.layers) == 2
    difference = np.abs(np.asarray(nested(np.concatenate([image] * 2, axis=-1))) - expected).max()
    assert difference <= 1e-5 * max(1, np.abs(expected).max())
    kernel = backbone_with_preprop("VGG16", weights=None, **options).get_weights()[0]
    assert kernel.shape == (3, 3, 6, 64) and not np.allclose(kernel[:, :, :3], kernel[:, :, 3:])
