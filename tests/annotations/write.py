"""Write the files of this folder with the labelling tools' own libraries, and the masks that these
libraries decode from them; tests/test_annotations.py reads them.

Run in the folder with: pip install pycocotools==2.0.11 labelme==6.3.1 supervision==0.31.2
datumaro==1.13.12 label-studio-sdk==2.1.2. Of labelme only the parts without a window are used.
"""
import base64
import io
import json
import logging
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
from PIL import Image
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO

logging.disable()
SIZES = {"1.png": (96, 64), "2.png": (50, 70)}  # (width, height)
CLASSES = ["road", "car", "sun"]


def blob(rng, width, height, corners=8):
    "A polygon around a random point, which may leave the image"
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radius = rng.uniform(.1, .4, corners) * min(width, height)
    center = rng.uniform((0, 0), (width, height))
    points = center + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    return np.round(points * 4) / 4  # datumaro keeps 32 bits


def grid(width, height):
    y, x = np.mgrid[:height, :width]
    return x, y


def disc(width, height, x, y, radius):
    at = grid(width, height)
    return (at[0] - x) ** 2 + (at[1] - y) ** 2 <= radius**2


def save_mask(name, mask): Image.fromarray(np.uint8(mask)).save(name, optimize=True)


def compose(masks, values, size, by_area=True):
    "Larger masks first, then those of the same area in their order"
    canvas, order = np.zeros(size, "uint8"), list(range(len(masks)))
    if by_area: order.sort(key=lambda i: -int(masks[i].sum()))
    for i in order: canvas[masks[i] > 0] = values[i]
    return canvas


def write_polygons():
    "Random polygons, and the run lengths that pycocotools gives them"
    rng, cases = np.random.default_rng(0), []
    for i in range(150):
        height, width = (int(n) for n in rng.integers(1, 40, 2))
        polygon = rng.uniform(-10, 50, (rng.integers(3, 9), 2))
        polygon = np.round(polygon * 2) / 2 if i % 3 == 1 else np.round(polygon, i % 3)
        runs = coco_masks.merge(
            coco_masks.frPyObjects([polygon.ravel().tolist()], height, width)
        )
        cases.append([height, width, polygon.ravel().tolist(), runs["counts"].decode()])
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    Path("polygons.json").write_text(f"[{lines}]\n")


def write_coco():
    rng, things = np.random.default_rng(1), []
    categories = [{"id": 3 * i + 1, "name": name} for i, name in enumerate(CLASSES)]
    images = [
        {"id": 10 + i, "file_name": name, "width": w, "height": h}
        for i, (name, (w, h)) in enumerate(SIZES.items())
    ]
    for image in images:
        w, h = image["width"], image["height"]
        for i in range(6):
            segmentation = [blob(rng, w, h).ravel().tolist() for _ in range(1 + i % 2)]
            if i >= 4:
                x, y = rng.uniform((0, 0), (w, h))
                runs = coco_masks.encode(np.asfortranarray(disc(w, h, x, y, 9), dtype="uint8"))
                runs["counts"] = runs["counts"].decode()
                segmentation = runs
            if i == 5:
                flat = coco_masks.decode(segmentation).ravel(order="F")
                edges = np.flatnonzero(np.diff(np.r_[0, flat, 1 - flat[-1]]))
                counts = np.diff(np.r_[0, edges]).tolist()
                segmentation = {"size": segmentation["size"], "counts": counts}
            things.append({
                "id": len(things) + 1, "image_id": image["id"], "iscrowd": int(i == 5),
                "category_id": categories[i % 3]["id"], "segmentation": segmentation,
            })
    dataset = {"images": images, "categories": categories[::-1], "annotations": things}
    Path("coco.json").write_text(json.dumps(dataset))
    coco = COCO("coco.json")
    for image in images:
        mine = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        values = [categories.index(coco.cats[thing["category_id"]]) + 1 for thing in mine]
        masks = [coco.annToMask(thing) for thing in mine]
        size = image["height"], image["width"]
        save_mask(f"coco_{image['file_name']}", compose(masks, values, size))
        crowds = [m for m, thing in zip(masks, mine) if thing["iscrowd"]]
        single = [(m, v) for m, v, thing in zip(masks, values, mine) if not thing["iscrowd"]]
        mask = compose(*map(list, zip(*single)), size)
        mask[(np.sum(crowds, 0) > 0) & (np.sum([m for m, _ in single], 0) == 0)] = 255
        save_mask(f"coco_ignore_{image['file_name']}", mask)


def write_labelme():
    for name in ("PyQt5", "PyQt5.QtCore", "PyQt5.QtGui", "PyQt5.QtWidgets", "onnxruntime",
                 "skimage", "skimage.measure"):
        try: __import__(name)
        except ImportError: sys.modules[name] = MagicMock()
    import labelme
    rng = np.random.default_rng(2)
    Path("labelme").mkdir(exist_ok=True)
    for name, (w, h) in SIZES.items():
        painted = disc(13, 11, 6, 5, 5)
        mask = labelme.utils.img_arr_to_b64(painted.astype("uint8"))
        shapes = [
            ("road", "polygon", blob(rng, w, h), None),
            ("car", "rectangle", np.round(rng.uniform(5, 40, (2, 2)), 1), None),
            ("sun", "circle", np.array([[30.5, 20], [38, 25]]), None),
            ("car", "oriented_rectangle", np.array([[5, 5], [20, 10], [17, 19], [2, 14]]), None),
            ("sun", "mask", np.array([[20, 30], [32, 40]]), mask),
            ("car", "polygon", blob(rng, w, h, 4), None),
        ]
        shapes = [
            {"label": label, "points": points.tolist(), "group_id": None, "description": "",
             "shape_type": kind, "flags": {}, "mask": mask}
            for label, kind, points, mask in shapes
        ]
        file = f"labelme/{Path(name).stem}.json"
        pixels = io.BytesIO()
        Image.new("RGB", (w, h)).save(pixels, "PNG")
        labelme.LabelFile().save(
            file, shapes, name, h, w, image_data=pixels.getvalue())
        assert base64.b64decode(json.loads(Path(file).read_text())["imageData"])
        values = {label: i for i, label in enumerate(["background", *sorted(CLASSES)])}
        loaded = labelme.LabelFile(file).shapes
        save_mask(f"labelme_{name}", labelme.utils.shapes_to_label((h, w), loaded, values)[0])


def write_yolo():
    import supervision as sv
    rng, labels = np.random.default_rng(3), {}
    Path("yolo/images").mkdir(parents=True, exist_ok=True)
    for name, (w, h) in SIZES.items():
        Image.new("RGB", (w, h)).save(f"yolo/images/{name}")
        masks = [disc(w, h, *rng.uniform((10, 10), (w - 10, h - 10)), r) for r in (18, 12, 8)]
        masks = np.array(masks)
        boxes = sv.mask_to_xyxy(masks).astype(float)
        labels[f"yolo/images/{name}"] = sv.Detections(boxes, masks, class_id=np.arange(3))
    dataset = sv.DetectionDataset(CLASSES, list(labels), labels)
    dataset.as_yolo(annotations_directory_path="yolo/labels", data_yaml_path="yolo/data.yaml")
    decoded = sv.DetectionDataset.from_yolo(
        "yolo/images", "yolo/labels", "yolo/data.yaml", force_masks=True)
    for path, _, detections in decoded:
        values = (detections.class_id + 1).tolist()
        w, h = SIZES[Path(path).name]
        mask = compose(list(detections.mask), values, (h, w), by_area=False)
        save_mask(f"yolo_{Path(path).name}", mask)
        Path(path).unlink()
    Path("yolo/images").rmdir()


def write_cvat():
    import datumaro as dm
    from datumaro.util import mask_tools
    rng, items = np.random.default_rng(4), []
    for i, (name, (w, h)) in enumerate(SIZES.items()):
        things = [
            dm.Polygon(blob(rng, w, h).ravel(), label=0, z_order=2),
            dm.Bbox(10.25, 12.5, 30.5, 20, label=1, z_order=1),
            dm.Mask(disc(w, h, 25, 40, 11), label=2, z_order=3),
            dm.Polygon(blob(rng, w, h, 5).ravel(), label=1, z_order=0),
            dm.PolyLine([1, 1, 20, 20], label=0),
            dm.Points([5, 5], label=1),
        ]
        image = dm.Image.from_numpy(np.zeros((h, w, 3), "uint8"))
        items.append(dm.DatasetItem(
            id=Path(name).stem, subset="default", media=image, annotations=things,
            attributes={"frame": i}))
    dataset = dm.Dataset.from_iterable(items, categories=CLASSES)
    dataset.export("cvat_export", "cvat", save_media=True, image_ext=".png")
    decoded = dm.Dataset.import_from("cvat_export", "cvat")
    for item in decoded:
        w, h = SIZES[f"{item.id}.png"]
        masks, values = [], []
        for thing in sorted(item.annotations, key=lambda thing: thing.z_order):
            if isinstance(thing, dm.Mask): mask = thing.image
            elif isinstance(thing, (dm.Polygon, dm.Bbox)):
                corners = thing.as_polygon()
                mask = mask_tools.rles_to_mask([corners], w, h)
            else: continue
            masks.append(np.asarray(mask))
            values.append(thing.label + 1)
        save_mask(f"cvat_{item.id}.png", compose(masks, values, (h, w), by_area=False))
    Path("cvat.xml").write_text(next(Path("cvat_export").rglob("*.xml")).read_text())
    for path in sorted(Path("cvat_export").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    Path("cvat_export").rmdir()


def write_label_studio():
    from label_studio_sdk.converter.brush import decode_rle, image2annotation
    from label_studio_sdk.converter.imports.coco import convert_coco_to_ls
    rng = np.random.default_rng(5)
    coco = {"images": [], "annotations": [],
            "categories": [{"id": i, "name": name} for i, name in enumerate(sorted(CLASSES))]}
    for i, (name, (w, h)) in enumerate(SIZES.items()):
        coco["images"].append({"id": i, "file_name": name, "width": w, "height": h})
        for category in range(3):
            coco["annotations"].append({
                "id": 3 * i + category, "image_id": i, "category_id": category,
                "segmentation": [blob(rng, w, h).ravel().tolist()]})
        coco["annotations"].append({"id": 90 + i, "image_id": i, "category_id": 1,
                                    "segmentation": [], "bbox": [5.5, 8, 20, 12.25]})
    Path("source.json").write_text(json.dumps(coco))
    convert_coco_to_ls("source.json", "label_studio.json", image_root_url="/data/upload/7/")
    tasks = json.loads(Path("label_studio.json").read_text())
    for i, (task, (name, (w, h))) in enumerate(zip(tasks, SIZES.items())):
        save_mask("brush.png", 255 * disc(w, h, 30, 35, 13))
        brush = image2annotation("brush.png", "sun", "brush", "image")["result"]
        task["annotations"][0]["result"] += brush
        masks, values = [], []
        for thing in [thing for thing in coco["annotations"] if thing["image_id"] == i]:
            shape = thing["segmentation"] or np.array([thing["bbox"]])
            masks.append(coco_masks.decode(coco_masks.merge(coco_masks.frPyObjects(shape, h, w))))
            values.append(thing["category_id"] + 1)
        masks.append(decode_rle(brush[0]["value"]["rle"]).reshape(h, w, 4)[..., 3] > 0)
        values.append(3)
        save_mask(f"label_studio_{name}", compose(masks, values, (h, w)))
        task["data"]["image"] = f"/data/upload/7/0a1b2c3d-{name}"  # as the server names uploads
    Path("label_studio.json").write_text(json.dumps(tasks))
    for file in "brush.png", "source.json", "label_studio.label_config.xml":
        Path(file).unlink(missing_ok=True)


if __name__ == "__main__":
    for write in (write_polygons, write_coco, write_labelme, write_yolo, write_cvat,
                  write_label_studio):
        write()
