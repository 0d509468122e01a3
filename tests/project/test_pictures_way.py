"""The files that a picture passes from camera to verdict are those of the architecture page: lines are traced."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from contract_graph import framed
from lines import write_picture
from pictures_way import files_on_the_page, files_passed
from resealed import edit_manifest

from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.manifest import FrameSpec
from studies.small_bundle import PRODUCT, write_small_bundle

SIDE = 64


def test_the_page_names_eight_files_at_most() -> None:
    assert 1 <= len(files_on_the_page()) <= 8


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_small_bundle(tmp_path_factory.mktemp("bundles") / "small", SIDE)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_good_part(bundle: Bundle, tmp_path: Path, backend: str) -> None:
    source = {"type": "synthetic", "size": SIDE, "count": 1, "defective": 0, "pictures": 2}
    files = files_passed(tmp_path, bundle.path, "good", engine={"backend": backend}, camera={"source": source})
    assert files == files_on_the_page()


def test_a_part_of_which_everything_has_to_be_changed(bundle: Bundle, tmp_path: Path) -> None:
    """16 bits, an inspected region, a rotation, pixels that do not count, a product by name; a reject."""
    spotted = np.random.default_rng(0).integers(1900, 2000, (3 * SIDE, 2 * SIDE, 3)).astype(np.uint16)
    spotted[70:74, 40:44] = 4095
    write_picture(tmp_path / "parts", "spotted", spotted)
    twelve = write_small_bundle(tmp_path / "twelve", SIDE).path
    edit_manifest(twelve, lambda content: content["input"].update(bits=12))
    camera = {
        "region": {"x": 0, "y": SIDE // 2, "width": 2 * SIDE, "height": 2 * SIDE},
        "rotation": 90,
        "ignore": [{"x": 0, "y": 0, "width": 0.1, "height": 0.1}],
        "product": PRODUCT,
    }
    assert files_passed(tmp_path, twelve, "reject", camera=camera) == files_on_the_page()


def test_a_frame_that_the_graph_resizes(bundle: Bundle, tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).integers(100, 110, (100, 120, 3)).astype(np.uint8)
    write_picture(tmp_path / "parts", "frame", cv2.GaussianBlur(drawn, (0, 0), 3))
    takes = framed(bundle, tmp_path / "framed", FrameSpec(height=100, width=120, colours="bgr"))
    assert files_passed(tmp_path, takes.path, "good") == files_on_the_page()
