"""`save NAME`: quantize, train, save and prune an application; `load NAME`: load and convert it."""
import json
import sys
from pathlib import Path

import tf_keras

from dl_utils.compression.compatibility import _prune_application, _quantize_application
from dl_utils.compression.compatibility import _reload_application

action, name = sys.argv[1:]
if name == "NASNetMobile":
    # one cell where the constructor puts four: the same layers, but three times as fast
    from tf_keras.src.applications.nasnet import NASNet

    def small_nasnet(**options):
        return NASNet(penultimate_filters=1056, num_blocks=1, stem_block_filters=32,
                      skip_reduction=False, **options)
    tf_keras.applications.NASNetMobile = small_nasnet

if action == "save":
    row = _quantize_application(name)
    assert row["from_float"] < .05, row
    pruned = _prune_application(name)
    assert pruned["missed"] <= .5 and pruned["equal"] and pruned["kernels"] > 12, pruned
    Path("row.json").write_text(json.dumps(row))
else:
    row = json.loads(Path("row.json").read_text()) | _reload_application(name)
    assert row["keras"] == row["h5"] == 0, row
    assert row["int8"] == 1 and row["from_quantized"] < .05 and row["ratio"] < .33, row
    # LayerNormalization has no 8-bit form
    assert not row["float_operators"] or name == "ConvNeXtTiny", row
