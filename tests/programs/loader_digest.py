"""JSON in argv, a list of options of SegDataLoader: print a digest of three epochs for each."""
import hashlib
import json
import sys

import albumentations as A

from dl_utils.data.loader import SegDataLoader
from dl_utils.data.synthetic import make_shapes_dataset

path = make_shapes_dataset("shapes", n=12, size=(48, 48))
noise = A.OneOf([A.GaussNoise(p=1), A.Rotate(p=1)])
transforms = A.Compose([A.RandomCrop(32, 32), A.D4(), A.RandomBrightnessContrast(p=1), noise])
for options in json.loads(sys.argv[1]):
    loader = SegDataLoader(path, 4, transforms, batch_size=5, shuffle=True, seed=3, **options)
    digest = hashlib.sha1()
    for _ in range(3):
        for batch in loader:
            for part in batch: digest.update(part.tobytes())
    print(digest.hexdigest())
