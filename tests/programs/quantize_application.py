"""`save NAME BLOCKS`: quantize, train, save and prune an application, with all of its blocks or
`fewer`; `load NAME BLOCKS`: load and convert it."""
import json
import sys
from pathlib import Path

import tf_keras
from fewer_blocks import repeat_less

from dl_utils.compression.compatibility import _prune_application, _quantize_application
from dl_utils.compression.compatibility import _reload_application

action, name, blocks = sys.argv[1:]
if blocks == "fewer": repeat_less(tf_keras)

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
