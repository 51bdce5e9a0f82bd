"""Annotations that the tools' own libraries wrote become the masks that these libraries decode.

`annotations/write.py` wrote them with pycocotools 2.0.11, labelme 6.3.1, supervision 0.31.2,
datumaro 1.13.12 and label-studio-sdk 2.1.2.
"""
import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dl_utils.data.annotations import _decode_counts, _fill_polygon, _fill_runs
from dl_utils.data.annotations import masks_from_annotations
from dl_utils.data.images import DataProblem, read_mask
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
        region = _fill_polygon(np.reshape(polygon, (-1, 2)), height, width)
        assert (region.paste(height, width) == expected).all()


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


# --- arguments ------------------------------------------------------------------------------------

def box(left, top, right, bottom): return [left, top, right, top, right, bottom, left, bottom]


def coco(*things, names=("road", "car"), images=("1.png", "2.png"), **more):
    "A COCO file of `(name of the class, segmentation)`, all in the first image"
    content = {
        "images": [
            {"id": i, "file_name": name} | ({"width": SIZES[name][0], "height": SIZES[name][1]}
                                            if name in SIZES else {})
            for i, name in enumerate(images)
        ],
        "categories": [{"id": 5 * i, "name": name} for i, name in enumerate(names)],
        "annotations": [
            {"id": i, "image_id": 0, "category_id": 5 * names.index(name), "segmentation": shape}
            for i, (name, shape) in enumerate(things)
        ],
    }
    Path("coco.json").write_text(json.dumps(content | more))
    return "coco.json"


CAR, ROAD = ("car", [box(10, 10, 20, 20)]), ("road", [box(0, 5, 96, 64)])


def values_of(path="new/out/1.png"):
    values, counts = np.unique(read_mask(path), return_counts=True)
    return dict(zip(values.tolist(), counts.tolist()))


@pytest.mark.parametrize("things", [(CAR, ROAD), (ROAD, CAR)])
@pytest.mark.parametrize("order", ["area", "file"])
def test_order_of_overlaps(work, things, order):
    masks_from_annotations(coco(*things), "images", "new", order=order)
    hidden = order == "file" and things[0] is CAR
    road = 96 * 59 - (0 if hidden else 100)
    assert values_of() == {0: 96 * 5, 1: road} | ({} if hidden else {2: 100})


@pytest.mark.parametrize("unlabelled, images, kinds", [
    ("listed", ["1.png", "2.png"], {"not annotated": 1}),
    ("all", ["1.png", "2.png", "a_3.png"], {}),
    ("skip", ["1.png"], {"no object": 1, "not annotated": 1}),
])
def test_unlabelled_images(work, unlabelled, images, kinds):
    Path("images/a").mkdir()
    shutil.copy("images/1.png", "images/a/3.png")
    report = masks_from_annotations(coco(CAR), "images", "new", unlabelled=unlabelled)
    assert sorted(os.listdir("new/inp")) == sorted(os.listdir("new/out")) == images
    assert report.left_out.kinds == kinds and report.n_images == len(images)
    check_and_load(report)


@pytest.mark.parametrize("link", [None, "hard", "symbolic"])
def test_images_are_copied_or_linked(work, link):
    masks_from_annotations(coco(CAR), "images", "new", link=link)
    source, image = Path("images/1.png"), Path("new/inp/1.png")
    assert image.read_bytes() == source.read_bytes()
    assert image.is_symlink() == (link == "symbolic")
    assert image.samefile(source) == (link is not None)
    assert check("new", num_classes=3) == []


def test_links_that_the_disk_refuses(work, monkeypatch):
    def refuse(*_): raise OSError("Invalid cross-device link")
    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(ValueError, match="link='hard'.*cross-device.*link=None copies"):
        masks_from_annotations(coco(CAR), "images", "new", link="hard")
    assert sorted(os.listdir()) == ["coco.json", "images"]


def test_no_background(work):
    whole = ("road", [box(0, 0, 96, 64)])
    options = dict(background=False, unlabelled="skip")
    report = masks_from_annotations(coco(whole, CAR), "images", "new", **options)
    assert report.class_names == ["road", "car"] and values_of() == {0: 96 * 64 - 100, 1: 100}
    check_and_load(report)
    with pytest.raises(DataProblem, match="480 pixels belong to no object"):
        masks_from_annotations(coco(ROAD), "images", "other", **options)
    assert not Path("other").exists() and not list(Path().glob("new-*"))


def test_background_in_the_annotations_is_class_0(work):
    hole = ("background", [box(12, 12, 14, 14)])
    file = coco(CAR, hole, names=("car", "background"))
    report = masks_from_annotations(file, "images", "new")
    assert report.class_names == ["background", "car"] and values_of()[1] == 96


def test_class_names_choose_and_order(work):
    report = masks_from_annotations(coco(CAR, ROAD), "images", "new", class_names=["car"])
    assert report.class_names == ["background", "car"] and values_of() == {0: 6044, 1: 100}
    assert [problem.what for problem in report.left_out] == ["has 1 objects of the class 'road'"]
    assert report.ignore_index is None
    assert "| 1 | car | 1 | 100 |" in str(report)


def test_images_in_folders_and_of_one_stem(work):
    Path("images/a").mkdir()
    shutil.copy("images/1.png", "images/a/1.png")
    Image.open("images/2.png").save("images/1.bmp")
    file = coco(CAR, images=("1.png", "1.bmp", "C:\\home\\a\\1.png"))
    report = masks_from_annotations(file, "images", "new")
    assert sorted(os.listdir("new/out")) == ["1.png", "1_bmp.png", "a_1.png"]
    check_and_load(report)


def test_turned_and_broken_images_are_left_out(work):
    exif = Image.Exif()
    exif[0x112] = 6
    Image.new("RGB", SIZES["1.png"]).save("images/1.png", exif=exif)
    data = Path("images/2.png").read_bytes()
    Path("images/2.png").write_bytes(data[:-50])
    shutil.copy("images/1.png", "images/3.png")
    report = masks_from_annotations(coco(images=("1.png", "2.png", "3.png")), "images", "new")
    assert report.left_out.kinds == {"size": 1, "broken": 1} and report.n_images == 1
    assert "an EXIF tag turns this one" in report.left_out[0].remedy


WRONG = [
    (dict(order="size"), "order='size': one of 'area'"),
    (dict(order="z_order"), "coco annotations have none, those of CVAT do"),
    (dict(crowd="no"), "crowd='no': one of 'ignore'"),
    (dict(unlabelled=True), "unlabelled=True: one of 'listed'"),
    (dict(link="soft"), "link='soft': one of None, 'hard', 'symbolic'"),
    (dict(background=0.5), "background=0.5: one of True, False"),
    (dict(format="voc"), "format='voc': one of 'coco'"),
    (dict(format="cvat"), "can't be read as cvat"),
    (dict(format="labelme"), "has no LabelMe JSON"),
    (dict(class_names=["car", "car"]), "a name occurs twice"),
    (dict(class_names=["cra"]), "no class 'cra'; they have .'car', 'road'"),
    (dict(class_names=[]), "no class is left to draw"),
    (dict(path="images"), "path='images' is there already"),
    (dict(images="nowhere"), "nowhere: no such folder"),
    (dict(images="empty"), "coco.json: names 2 images, such as 1.png; none is among the 0"),
    (dict(annotations="nowhere.json"), "nowhere.json: no such file or folder"),
]


@pytest.mark.parametrize("options, message", WRONG)
def test_wrong_arguments(work, options, message):
    Path("empty").mkdir()
    arguments = dict(annotations=coco(CAR), images="images", path="new") | options
    with pytest.raises(ValueError, match=message): masks_from_annotations(**arguments)
    assert sorted(os.listdir()) == ["coco.json", "empty", "images"]


def test_too_many_classes(work):
    file = coco(names=[str(i) for i in range(255)])
    with pytest.raises(ValueError, match="256 classes, where 255 fit.*choose with class_names"):
        masks_from_annotations(file, "images", "new")
    names = [str(i) for i in range(254)]
    report = masks_from_annotations(file, "images", "new", class_names=names)
    assert report.num_classes == 255
    assert len(read_palette("new/classes.json")[0]) == 255


# --- what each format may hold --------------------------------------------------------------------

OTHER_FILES = [
    ("a.json", "{]", "can't be read as JSON"),
    ("a.json", "[1, 2]", "no annotations of a known format"),
    ("a.json", '{"a": 1}', "no annotations of a known format"),
    ("a.json", '[{"image": "1.png", "label": []}]', "no annotations of a known format"),  # JSON-MIN
    ("a.json", '{"images": [], "annotations": []}', "no class is left to draw"),
    ("a.json", '{"images": [{"id": 1}], "annotations": []}', "can't be read as coco .KeyError"),
    ("a.json", '{"images": 7, "annotations": []}', "can't be read as coco .TypeError"),
    ("a.json", '{"shapes": [{}]}', "can't be read as labelme .KeyError"),
    ("a.xml", "<annotations>", "can't be read as XML"),
    ("a.xml", "<annotation/>", "no annotations of a known format"),  # Pascal VOC's
    ("a.xml", "<annotations><track/></annotations>", "tracks of a video"),
    ("a.xml", '<annotations><image name="1.png"><polygon label="a"/></image></annotations>',
     "can't be read as cvat .KeyError: 'points'"),
    ("a.xml", '<annotations><image name="1.png"><box label="a" xtl="x"/></image></annotations>',
     "can't be read as cvat .ValueError"),
    ("a.yaml", "names: [car]", "has no folder 'labels' beside"),
    ("a.yaml", "names: [car", "can't be read as YAML"),
    ("a.yaml", "nc: 3", "no annotations of a known format"),
]


@pytest.mark.parametrize("name, text, message", OTHER_FILES)
def test_other_files(work, name, text, message):
    Path(name).write_text(text)
    with pytest.raises(ValueError, match=message): masks_from_annotations(name, "images", "new")
    assert not Path("new").exists()


BAD_COCO = [
    ([[1, 2, 3]], "broken"),
    ([[1, 2, 3, 4]], "degenerate"),
    ([[1, 2, 3, "x", 5, 6]], "broken"),
    ([[1, 2, 3, float("nan"), 5, 6]], "broken"),
    ([[1, 2, 3, 1e30, 5, 6]], "broken"),
    ([[1, 1, 50, 1, 90, 1]], "degenerate"),
    ([box(200, 5, 250, 50)], "outside"),
    ([box(-20, 5, -3, 50)], "outside"),
    ([], "no outline"),
    (None, "no outline"),
    ({"counts": [5]}, "no outline"),
    ({"size": [64, 96], "counts": [5, 6]}, "broken"),
    ({"size": [64, 96], "counts": [6145, -1]}, "broken"),
    ({"size": [64, 96], "counts": ["x"]}, "broken"),
    ({"size": [64, 96], "counts": "PPYo0"}, "broken"),
    ({"size": [64, 96], "counts": [6144]}, "degenerate"),
    ({"size": [96, 64], "counts": [6144]}, "size"),
]


@pytest.mark.parametrize("segmentation, kind", BAD_COCO)
def test_coco_objects_without_pixels(work, segmentation, kind):
    report = masks_from_annotations(coco(("car", segmentation), ROAD), "images", "new")
    assert report.left_out.kinds == {kind: 1} and report.objects == {"road": 1}
    assert report.left_out[0].what.startswith("object 0, 'car', ")


def test_coco_objects_of_unknown_images_and_categories(work):
    file = coco(CAR)
    content = json.loads(Path(file).read_text())
    thing = content["annotations"][0]
    content["annotations"] += [thing | {"image_id": 99}, thing | {"category_id": 99}]
    Path(file).write_text(json.dumps(content))
    report = masks_from_annotations(file, "images", "new")
    assert report.left_out.kinds == {"no image": 1, "class": 1} and report.objects == {"car": 1}


def test_labelme_shapes_without_pixels(work):
    shapes = [
        {"label": "car", "shape_type": kind, "points": points, "mask": mask}
        for kind, points, mask in [
            ("line", [[1, 1], [9, 9]], None),
            ("point", [[1, 1]], None),
            ("points", [[1, 1]], None),
            ("linestrip", [[1, 1], [9, 9]], None),
            ("polygon", [[1, 1], [9, 9]], None),
            ("mask", [[1, 1], [9, 9]], None),
            ("mask", [[1, 1], [9, 9]], "bm8gaW1hZ2U="),
            (None, [[1, 1], [9, 1], [9, 9]], None),
        ]
    ]
    Path("1.json").write_text(json.dumps({"shapes": shapes}))  # the image has its name
    report = masks_from_annotations("1.json", "images", "new", class_names=["car", "bus"])
    kinds = {"no area": 4, "degenerate": 1, "broken": 2, "not annotated": 1}
    assert report.left_out.kinds == kinds and report.objects == {"car": 1}
    assert report.class_names == ["background", "car", "bus"]


@pytest.mark.parametrize("table", ["data.yaml", "names", "classes.txt", "argument"])
def test_yolo_names(work, table):
    Path("set/labels").mkdir(parents=True)
    Path("set/labels/1.txt").write_text("1 .5 .5 .5 .5\n0 0 0 .1 0 .1 .1\n0 x\n1 5 9 9 9 5 5\n")
    Path("set/labels/2.txt").write_text("")
    shutil.move("images", "set/images")
    options = {}
    if table == "data.yaml": Path("set/data.yaml").write_text("names: {1: car, 0: road}")
    if table == "names": Path("set/data.yaml").write_text("names: [road, car]")
    if table == "classes.txt": Path("set/labels/classes.txt").write_text("road\ncar\n")
    if table == "argument": options["class_names"] = ["road", "car"]
    annotations = "set/data.yaml" if table in ("data.yaml", "names") else "set/labels"
    report = masks_from_annotations(annotations, "set/images", "new", **options)
    assert sorted(report.class_names) == ["background", "car", "road"]
    assert report.objects == {"car": 1, "road": 1} and report.pixels["car"] == 48 * 32
    assert report.left_out.kinds == {"broken": 2}
    check_and_load(report)


def test_yolo_without_names(work):
    Path("labels").mkdir()
    Path("labels/1.txt").write_text("0 .5 .5 .5 .5")
    with pytest.raises(DataProblem, match="has no data.yaml with the names.*pass class_names="):
        masks_from_annotations("labels", "images", "new")


def test_cvat_shapes(work):
    Path("a.xml").write_text("""<annotations><image id="0" name="1.png" width="96" height="64">
      <box label="car" xtl="10" ytl="10" xbr="30" ybr="20" rotation="90"/>
      <ellipse label="road" cx="60" cy="30" rx="20" ry="10"/>
      <mask label="road" rle="1, 3" left="94" top="0" width="2" height="2"/>
      <mask label="road" rle="0, 4" left="96" top="0" width="2" height="2"/>
      <mask label="road" rle="1, 4" left="0" top="0" width="2" height="2"/>
      <polyline label="road" points="1,1;5,5"/> <cuboid label="road"/> <tag label="car"/>
    </image></annotations>""")
    report = masks_from_annotations("a.xml", "images", "new")
    mask = read_mask("new/out/1.png")
    assert (mask[5:25, 15:25] == 1).all() and report.pixels["car"] == 200
    assert abs(report.pixels["road"] - 3 - np.pi * 200) < 8
    assert mask[:2, 94:].tolist() == [[0, 2], [2, 2]]
    kinds = {"not annotated": 1, "outside": 1, "broken": 1, "no area": 2}
    assert report.left_out.kinds == kinds


def region(kind="polygonlabels", labels=("car",), more=(), **value):
    size = dict(original_width=96, original_height=64, image_rotation=0)
    return dict(id="r", type=kind, value=value | {kind: list(labels)}) | size | dict(more)


def test_label_studio_regions(work):
    triangle = [[0, 0], [50, 0], [50, 50]]
    regions = [
        region(points=triangle),
        region(points=triangle, closed=False),
        region(points=triangle, labels=["car", "road"]),
        region(points=triangle, more={"image_rotation": 90}),
        region("keypointlabels", x=1, y=1, width=1),
        region("brushlabels", rle=[0, 0, 0, 1, 0, 0, 0]),
        region("brushlabels", rle=["x"]),
        region("rectanglelabels", x=50, height=3),
        region("ellipselabels", ["road"], x=75, y=50, radiusX=10, radiusY=10, rotation=45),
        {"id": "s", "type": "choices", "value": {"choices": ["good"]}},
        {"type": "relation", "from_id": "r", "to_id": "r"},
    ]
    tasks = [
        {"data": {"image": "s3://bucket/a%20b/1.png?X-Amz=1", "text": "a"}, "annotations": [
            {"result": []}, {"result": regions, "ground_truth": True},
            {"result": regions, "was_cancelled": True}]},
        {"data": {"image": "/data/local-files/?d=x/2.png"}, "annotations": []},
    ]
    Path("a.json").write_text(json.dumps(tasks))
    report = masks_from_annotations("a.json", "images", "new")
    assert report.objects == {"car": 2, "road": 1} and report.n_images == 1
    assert report.left_out.kinds == {
        "several": 2, "not annotated": 1, "no area": 2, "rotated": 1, "size": 1, "broken": 2}
    assert abs(report.pixels["road"] - np.pi * 9.6 * 6.4) < 8


def test_images_of_several_tasks_count_once(work):
    tasks = [{"data": {"image": "1.png"}, "annotations": [
        {"result": [region(points=[[0, 0], [50, 0], [50, 50]])]}]}] * 2
    Path("a.json").write_text(json.dumps(tasks))
    report = masks_from_annotations("a.json", "images", "new")
    assert report.left_out.kinds == {"duplicate": 1, "not annotated": 1}
