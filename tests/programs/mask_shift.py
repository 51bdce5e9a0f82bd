"""The loader's probe notices masks that are moved against images, and nothing else."""
import time

import albumentations as A
import cv2
import numpy as np

from dl_utils.data.augmentation import _find_transform_problems, _SeededTransforms

EXACT = dict(mask_interpolation=cv2.INTER_NEAREST_EXACT)
random = np.random.default_rng(0)


def shifts(transform, seed=0, size=64):
    "Whether the probe finds a shift"
    image = random.integers(0, 256, (size, size, 3), "uint8")
    mask = random.integers(0, 3, (size, size)).astype("uint8")
    transforms = _SeededTransforms(A.Compose([transform]))
    return "shift" in _find_transform_problems(transforms, image, mask, None, seed)


def rng_brightness(image, mask, rng): return dict(image=image // 2, mask=mask)


moved = [
    A.Resize(24, 24), A.Resize(40, 40), A.Resize(100, 100), A.LongestMaxSize(40),
    A.RandomScale((-.5, -.4), p=1), A.RandomResizedCrop((40, 40)),
    A.Compose([A.Resize(24, 24), A.HorizontalFlip(p=1), A.RandomBrightnessContrast(p=1)]),
]
for transform in moved: assert shifts(transform), transform

kept = [
    A.Resize(24, 24, **EXACT), A.Resize(32, 32, **EXACT), A.Resize(16, 16, **EXACT),
    A.Resize(48, 48, **EXACT), A.Resize(96, 96, **EXACT), A.Resize(100, 100, **EXACT),
    A.LongestMaxSize(40, **EXACT),
    A.RandomScale((-.5, 1), p=1, **EXACT), A.RandomResizedCrop((40, 40), **EXACT),
    A.RandomCrop(40, 40), A.HorizontalFlip(), A.VerticalFlip(), A.RandomRotate90(), A.Transpose(),
    A.Rotate(p=1), A.Affine(scale=(.5, 2), rotate=(-40, 40), p=1), A.Perspective(p=1),
    A.ElasticTransform(p=1), A.GridDistortion(p=1), A.OpticalDistortion(p=1),
    A.PadIfNeeded(100, 100), A.GaussianBlur(p=1), A.GaussNoise(p=1), A.ToGray(p=1),
    A.RandomBrightnessContrast(.4, .4, p=1), A.HueSaturationValue(p=1), A.CLAHE(p=1),
    A.Compose([A.RandomCrop(16, 16), A.HorizontalFlip(), A.RandomBrightnessContrast(p=1)]),
    A.Compose([A.RandomCrop(40, 30), A.Rotate(p=1), A.RandomBrightnessContrast(.5, .5, p=1)]),
    A.CoarseDropout(p=1), A.RandomGamma(p=1), A.ColorJitter(p=1), A.Resize(128, 128),
]
for transform in kept:
    found = [seed for seed in range(40) if shifts(transform, seed)]
    assert not found, (transform, found)

start = time.perf_counter()
for seed in range(10): shifts(A.Resize(24, 24, **EXACT), seed)
print(f"{(time.perf_counter() - start) * 100:.1f} ms")
