"""Print the ids of two worker processes; then end, or wait for a signal if argv says so."""
import signal
import sys
import time

from dl_utils.data.loader import SegDataLoader
from dl_utils.data.synthetic import make_shapes_dataset

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
path = make_shapes_dataset("shapes", n=6)
loader = SegDataLoader(path, 4, batch_size=2, workers=2, processes=True)
for _ in loader: pass
print(*(worker.process.pid for worker in loader._prefetcher._executor.pool.workers), flush=True)
while sys.argv[1] != "ends": time.sleep(.1)
