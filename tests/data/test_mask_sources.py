"""Where masks and outlines are found, and what they mark."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from labelled_folders import make, said

from snl_edge.data.coco import CocoOutlines
from snl_edge.data.labelme import LabelmeFile
from snl_edge.data.layouts import open_dataset
from snl_edge.data.mask_sources import MaskFiles, MaskSource
from snl_edge.errors import DataError


def masks(root: Path) -> dict[str, MaskSource | None]:
    return {s.path.stem: s.mask for s in open_dataset(root).test if not s.is_good}


def save(path: Path, pixels: np.ndarray) -> Path:
    cv2.imwrite(str(path), pixels)
    return path


def box(source: MaskSource | None) -> tuple[int, int, int, int]:
    """First and last marked column, first and last marked row."""
    assert source is not None
    rows, columns = np.nonzero(source.read())
    return columns.min(), columns.max(), rows.min(), rows.max()


@pytest.mark.parametrize(
    ("file", "image"),
    [
        ("ground_truth/crack/0_mask.png", "0"),
        ("ground_truth/crack/0_mask.jpg", "0"),
        ("ground_truth/crack/0_GT.bmp", "0"),
        ("ground_truth/crack/0_label.tif", "0"),
        ("ground_truth/crack/0-mask.png", "0"),
        ("ground_truth/crack/0.bmp", "0"),
        ("ground_truth/Crack/0.png", "0"),
        ("ground_truth/test/crack/0.png", "0"),
        ("ground_truth/0_mask.png", "0"),
        ("masks/crack/0.png", "0"),
        ("test/crack/masks/0.png", "0"),
        ("test/crack/0_mask.png", "0"),
        ("ground_truth/crack/PART_7_mask.png", "PART_7"),
        ("ground_truth/crack/PART_7/a.png", "PART_7"),
    ],
)
def test_masks_are_found_by_many_names(tmp_path: Path, file: str, image: str) -> None:
    make(tmp_path, "train/good/0.png", f"test/crack/{image}.png", "test/crack/other.png", file)
    assert masks(tmp_path) == {image: MaskFiles((tmp_path / file,)), "other": None}


def test_several_masks_of_one_image_unite(tmp_path: Path) -> None:
    make(tmp_path, "train/good/0.png", "test/crack/0.png", "ground_truth/crack/0_mask_{1,2}.png")
    for number in (1, 2):
        drawn = np.zeros((8, 9), np.uint8)
        drawn[number, 3 * number] = 255
        save(tmp_path / f"ground_truth/crack/0_mask_{number}.png", drawn)
    assert box(masks(tmp_path)["0"]) == (3, 6, 1, 2)
    save(tmp_path / "ground_truth/crack/0_mask_2.png", np.full((4, 9), 255, np.uint8))
    with pytest.raises(DataError, match="the 2 masks of one image differ in size"):
        box(masks(tmp_path)["0"])


def test_a_mask_that_fits_two_images_marks_neither(tmp_path: Path) -> None:
    make(tmp_path, "train/good/0.png", "test/{crack,dent}/0.png", "ground_truth/{0_mask,9_mask}.png")
    assert masks(tmp_path) == {"0": None}
    told = said(open_dataset(tmp_path))
    assert told["shared_masks"].startswith("2 defective images share their mask")
    assert not told.keys() & {"no_mask", "forgotten_masks"}  # said once, with its reason
    assert "9_mask.png" in told["unused_masks"]


def labelme(path: Path, *shapes: dict, size: tuple[int, int] = (30, 40)) -> Path:
    content = {"shapes": list(shapes), "imageHeight": size[0], "imageWidth": size[1], "imageData": None}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_outlines_of_labelme(tmp_path: Path) -> None:
    make(tmp_path, "good/0.png", "bad/{1,2}.png")
    polygon = {"shape_type": "polygon", "points": [[10, 5], [20, 5], [20, 15], [10, 15]]}
    labelme(tmp_path / "bad" / "1.json", polygon)
    labelme(tmp_path / "annotations" / "bad" / "2.json", {"shape_type": "circle", "points": [[20, 15], [23, 15]]})
    found = masks(tmp_path)
    assert found == {
        "1": LabelmeFile(tmp_path / "bad" / "1.json"),
        "2": LabelmeFile(tmp_path / "annotations/bad/2.json"),
    }
    assert box(found["1"]) == (10, 20, 5, 15)  # the last pixel is touched by the edge alone
    assert box(found["2"]) == (17, 22, 12, 17)
    brush = cv2.imencode(".png", np.full((2, 3), 255, np.uint8))[1].tobytes()
    painted = {"shape_type": "mask", "points": [[4, 6], [6, 7]], "mask": base64.b64encode(brush).decode()}
    corners = {"shape_type": "rectangle", "points": [[20, 25], [30, 12]]}
    assert box(LabelmeFile(labelme(tmp_path / "a.json", painted))) == (4, 6, 6, 7)
    assert box(LabelmeFile(labelme(tmp_path / "b.json", corners, painted))) == (4, 30, 6, 25)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "holds no outlines as Labelme writes them"),
        ("[]", "holds no outlines"),
        ('{"shapes": [], "imageHeight": null, "imageWidth": 4}', "holds no outlines"),
        (
            '{"shapes": [{"shape_type": "line", "points": [[0, 0], [3, 3]]}], "imageHeight": 4, "imageWidth": 4}',
            "a line of 2 points has no area",
        ),
        (
            '{"shapes": [{"shape_type": "mask", "points": [[0, 0]], "mask": "?"}], "imageHeight": 4, "imageWidth": 4}',
            "its mask is no base64",
        ),
        (
            '{"shapes": [{"points": [[0, 0], [4, 0], [0, 4]]}, {"points": [[0, 0], [2, 2], [3, 3], [1, 1]]}], '
            '"imageHeight": 4, "imageWidth": 4}',
            r"0\.json holds no outlines.*shape 2: .*its corners lie on one line, and so it has no area",
        ),
        (
            '{"shapes": [{"shape_type": "rectangle", "points": [[1, 1], [1, 1]]}], "imageHeight": 4, "imageWidth": 4}',
            "shape 1: .*it has 1 different corners, and so no area",
        ),
        (
            '{"shapes": [{"shape_type": "circle", "points": [[1, 1], [1, 1]]}], "imageHeight": 4, "imageWidth": 4}',
            "shape 1: .*it has no radius, and so no area",
        ),
    ],
)
def test_a_file_that_is_no_outline(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "0.json").write_text(content)
    with pytest.raises(DataError, match=words):
        LabelmeFile(tmp_path / "0.json").read()


def coco(path: Path, images: dict[str, list]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "images": [{"id": i, "file_name": name, "height": 30, "width": 40} for i, name in enumerate(images)],
        "annotations": [
            {"image_id": i, "segmentation": segment} for i, own in enumerate(images.values()) for segment in own
        ],
        "categories": [],
    }
    path.write_text(json.dumps(content))


SQUARE = [[10, 5, 20, 5, 20, 15, 10, 15]]


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("annotations/instances_default.json", "{}.png"),
        ("bad/_annotations.coco.json", "{}.png"),
        ("all.json", "bad\\{}.png"),
    ],
)
def test_outlines_of_coco(tmp_path: Path, file: str, names: str) -> None:
    make(tmp_path / "nut", "good/0.png", "bad/{1,2,3,4}.png")
    runs = {"counts": [30 * 7 + 2, 3, 30 * 33 - 5], "size": [30, 40]}
    images = {
        names.format(1): [SQUARE],
        names.format(2): [runs],
        names.format(3): [SQUARE, []],
        names.format(9): [SQUARE],
    }
    coco(tmp_path / "nut" / file, images)
    for root in (tmp_path, tmp_path / "nut"):
        found = masks(root)
        assert [isinstance(found[stem], CocoOutlines) for stem in "1234"] == [True, True, False, False]
        assert box(found["1"]) == (10, 20, 5, 15)
        assert box(found["2"]) == (7, 7, 2, 4)
        assert "2 defective images have no mask" in said(open_dataset(root))["forgotten_masks"]


def test_packed_runs_of_coco_are_those_of_pycocotools() -> None:
    # What pycocotools 2.0 packs a mask of 30 x 20 into, rows 4 to 9 of columns 5 to 8 marked.
    packed = CocoOutlines(Path("a.json"), 0, (30, 20), ({"counts": r"j46h000000V:", "size": [30, 20]},))
    assert box(packed) == (5, 8, 4, 9)
    assert packed.read().sum() == 24


@pytest.mark.parametrize(
    "segment", [{"counts": [1, 2], "size": [30, 20]}, {"counts": "o", "size": [30, 20]}, [[1, 2, 3]]]
)
def test_outlines_that_are_none_of_coco(segment: object) -> None:
    with pytest.raises(DataError, match=r"a\.json holds an outline of image 0 that is none of COCO's"):
        CocoOutlines(Path("a.json"), 0, (30, 20), (segment,)).read()


@pytest.mark.parametrize(
    ("segment", "words"),
    [
        ([[1, 1, 9, 1, 9, 9], [1, 1, 5, 5, 9, 9]], "polygon 2 of the image: its corners lie on one line"),
        ([[1, 1, 9, 9, 1, 1, 9, 9]], "polygon 1 of the image: it has 2 different corners"),
        ([[]], "polygon 1 of the image: it has 0 different corners"),
        ([[1, 1, float("nan"), 1, 9, 9]], "polygon 1 of the image: a corner of it lies beyond any picture"),
        ({"counts": [600], "size": [30, 20]}, "annotation 2 of the image: its runs mark no pixel"),
    ],
)
def test_outlines_of_coco_without_an_area_are_named(segment: object, words: str) -> None:
    with pytest.raises(DataError, match=rf"a\.json holds an outline of image 7 .*{words}"):
        CocoOutlines(Path("a.json"), 7, (30, 20), (SQUARE, segment)).read()
    bow = [[1, 1, 9, 9, 9, 1, 1, 9]]  # crosses itself: its signed area is 0, and it marks something all the same
    assert CocoOutlines(Path("a.json"), 7, (30, 20), (bow,)).read().any()


def test_annotations_that_cannot_be_read_are_said_and_do_not_stop_training(tmp_path: Path) -> None:
    make(tmp_path, "good/0.png", "bad/1.png")
    (tmp_path / "coco.json").write_text(
        '{"images": [{"id": 0}], "annotations": [{"image_id": 0, "segmentation": [[1]]}]}'
    )
    (tmp_path / "cut.json").write_text("{")
    dataset = open_dataset(tmp_path)
    assert len(dataset.train) == 1
    assert "coco.json looks like COCO's annotations" in said(dataset)["annotations"]
    assert "cut.json is not a readable JSON file" in said(dataset)["annotations"]


def test_one_name_in_two_folders_gets_no_outline_of_coco(tmp_path: Path) -> None:
    make(tmp_path, "good/0.png", "bad/{a,b}/1.png")
    coco(tmp_path / "coco.json", {"1.png": [SQUARE]})
    assert masks(tmp_path) == {"1": None}
    coco(tmp_path / "coco.json", {"a/1.png": [SQUARE], "b/1.png": [SQUARE]})
    assert all(sample.mask for sample in open_dataset(tmp_path).test)
