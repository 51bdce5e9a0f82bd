"""Annotations that the tools' own libraries wrote become the masks that these libraries decode.

`annotations/write.py` wrote them with pycocotools 2.0.11, labelme 6.3.1, supervision 0.31.2,
datumaro 1.13.12 and label-studio-sdk 2.1.2.
"""
import json
import os
import shutil
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dl_utils.data.annotations import _decode_counts, _fill_polygon, _fill_runs
from dl_utils.data.annotations import masks_from_annotations
from dl_utils.data.images import DataProblem, MissingFile, read_mask
from dl_utils.data.loader import SegDataLoader
from dl_utils.data.masks import read_palette
from dl_utils.data.validation import check

FILES = Path(__file__).parent / "annotations"
SIZES = {"1.png": (96, 64), "2.png": (50, 70)}
CLASSES = ["road", "car", "sun"]


@pytest.fixture
def work(tmp_path, monkeypatch):
    "A folder with the images that the files of `annotations` are about"
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    rng = np.random.default_rng(0)
    for name, (w, h) in SIZES.items():
        Image.fromarray(rng.integers(0, 256, (h, w, 3), "uint8")).save(f"images/{name}")
    return tmp_path


def differing(dataset, tool, near_edges=False):
    "How many pixels differ from the masks of a tool, of all; those at its edges aside"
    n = 0
    for name in SIZES:
        expected = np.asarray(Image.open(FILES / f"{tool}_{name}"))
        differs = read_mask(Path(dataset) / "out" / name) != expected
        if near_edges:
            around = np.ones((3, 3), "uint8")
            differs &= cv2.dilate(expected, around) == cv2.erode(expected, around)
        n += int(differs.sum())
    return n


def check_and_load(report):
    "The dataset has no problem, and the loader gives the classes that the report counted"
    options = dict(num_classes=report.num_classes, ignore_index=report.ignore_index)
    assert check(report.path, **options) == []
    loader = SegDataLoader(report.path, batch_size=1, class_names=report.class_names, **options)
    counts = sum(loader[i][1].sum((0, 1, 2)) for i in range(len(loader)))
    assert counts.tolist() == [report.pixels[name] for name in report.class_names]
    assert read_palette(report.path / "classes.json")[1] == tuple(report.class_names)


def test_polygons_have_the_pixels_of_pycocotools():
    for height, width, polygon, counts in json.loads((FILES / "polygons.json").read_text()):
        expected = _fill_runs(_decode_counts(counts), height, width)
        assert (_fill_polygon(np.reshape(polygon, (-1, 2)), height, width) == expected).all()


def test_polygons_equal_an_installed_pycocotools():
    masks = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(7)
    for i in range(2000):
        height, width = (int(n) for n in rng.integers(1, 80, 2))
        polygon = np.round(rng.uniform(-20, 100, (rng.integers(3, 12), 2)), i % 4)
        runs = masks.merge(masks.frPyObjects([polygon.ravel().tolist()], height, width))
        assert (_fill_polygon(polygon, height, width) == masks.decode(runs)).all()


@pytest.mark.parametrize("crowd, tool", [("keep", "coco"), ("ignore", "coco_ignore")])
def test_coco_equals_pycocotools(work, crowd, tool):
    report = masks_from_annotations(FILES / "coco.json", "images", "new", crowd=crowd)
    assert differing("new", tool) == 0
    assert report.format == "coco" and not report.left_out
    assert report.class_names == ["background", *CLASSES]
    assert report.objects.total() == (12 if crowd == "keep" else 10)
    assert report.ignore_index == (None if crowd == "keep" else 255)
    check_and_load(report)


# the tool, its annotations, arguments; it draws the pixels at the edges differently
TOOLS = [
    ("labelme", "labelme", dict(order="file"), True),
    ("yolo", "yolo/labels", dict(order="file"), True),
    ("cvat", "cvat.xml", dict(order="z_order"), False),
    ("label_studio", "label_studio.json", {}, False),
]


@pytest.mark.parametrize("tool, file, options, near_edges", TOOLS)
def test_tools_agree(work, tool, file, options, near_edges):
    report = masks_from_annotations(FILES / file, "images", "new", **options)
    assert differing("new", tool, near_edges) == 0
    assert report.format == tool and report.n_images == 2
    assert set(report.class_names[1:]) == set(CLASSES)
    check_and_load(report)
