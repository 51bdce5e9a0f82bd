"""Keras Applications with fewer blocks: the same kinds of layers, in half of the time.

A family repeats each kind of block up to eight times. What holds for a kind holds for its
repetitions, too. Xception, whose function has no such arguments, is cut behind its first block of
the middle. `make test-all` runs the families as they are, but for NASNetMobile, which takes ten
minutes.
"""
import importlib


def repeat_less(keras):
    """Make constructors of this Keras repeat a kind of block at most twice."""
    package = keras.Model.__module__.split(".")[0]

    def module(name): return importlib.import_module(f"{package}.src.applications.{name}")

    whole_block = module("mobilenet_v2")._inverted_res_block
    repeated = 4, 5, 7, 8, 9, 11, 12, 14, 15

    def without_repeats(x, block_id, **kwargs):
        return x if block_id in repeated else whole_block(x, block_id=block_id, **kwargs)
    module("mobilenet_v2")._inverted_res_block = without_repeats
    for kind, block in enumerate(module("efficientnet").DEFAULT_BLOCKS_ARGS):
        block["repeats"] = 2 if kind == 2 else 1
    version_2 = module("efficientnet_v2").DEFAULT_BLOCKS_ARGS["efficientnetv2-b0"]
    for kind, block in enumerate(version_2): block["num_repeat"] = 2 if kind in (1, 4) else 1
    if package == "keras": return  # the others are tried in tf_keras only

    module("regnet").MODEL_CONFIGS["y002"]["depths"] = [1, 1, 2, 2]
    whole_stack = module("resnet").stack2
    module("resnet").stack2 = lambda x, filters, blocks, **kwargs: whole_stack(
        x, filters, 2, **kwargs)
    whole_xception = keras.applications.Xception
    nasnet = module("nasnet").NASNet

    def xception(**options):
        whole = whole_xception(**options)
        return keras.Model(whole.input, whole.get_layer("block6_sepconv1_act").input, name="small")

    def nasnet_mobile(**options):
        return nasnet(penultimate_filters=1056, num_blocks=1, stem_block_filters=32,
                      skip_reduction=False, **options)
    keras.applications.Xception, keras.applications.NASNetMobile = xception, nasnet_mobile
