"""Fill a cache on disk, print its bytes, and wait to be killed."""
import time

from dl_utils.data.loader import SegDataLoader
from dl_utils.data.synthetic import make_shapes_dataset

loader = SegDataLoader(make_shapes_dataset("shapes", n=6), 4, batch_size=2, cache="disk")
for _ in loader: pass
print(loader._source.cache.bytes, flush=True)
time.sleep(600)
