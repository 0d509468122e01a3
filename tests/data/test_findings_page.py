from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from snl_edge.data.findings import Finding
from snl_edge.data.findings_page import SHOWN, write_findings
from snl_edge.errors import OutputError


def save(path: Path, pixels: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), pixels)
    return path


def test_a_page_shows_every_finding_with_its_pictures_and_needs_no_other_file(tmp_path: Path) -> None:
    wide = save(tmp_path / "wide.png", np.full((3, 900, 3), 90, np.uint8))
    many = tuple(save(tmp_path / f"{n}.png", np.full((30, 40, 3), n, np.uint8)) for n in range(SHOWN + 3))
    (tmp_path / "broken.png").write_text("no picture")
    page = write_findings(
        [Finding("sizes", "two sizes", (wide,)), Finding("sizes", "and more", many)],
        tmp_path / "page" / "index.html",
        title="parts",
        refused=[Finding("damaged", "one is broken", (tmp_path / "broken.png",))],
        provenance={"command": "snl-edge check parts"},
    ).read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 1 + SHOWN
    assert "and 3 more" in page
    assert page.count("<h3>sizes</h3>") == 1
    assert page.index("one is broken") < page.index("two sizes")
    assert "cannot be shown: it is no PNG, JPEG" in page
    assert "snl-edge check parts" in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)


def test_nothing_that_a_file_is_named_becomes_markup(tmp_path: Path) -> None:
    path = save(tmp_path / "<img src=x onerror=alert(1)>&.png", np.zeros((4, 4), np.uint8))
    page = write_findings(
        [Finding("<b>kind", "<script>alert(1)</script>", (path,))], tmp_path / "index.html", title="<i>parts</i>"
    ).read_text(encoding="utf-8")
    assert not re.search("<script|<i>|<b>|<img src=x", page)
    assert "&lt;script&gt;" in page


def test_an_empty_page_says_so_and_an_unwritable_one_is_refused(tmp_path: Path) -> None:
    page = write_findings([], tmp_path / "index.html", title="parts", summary="12 products").read_text("utf-8")
    assert "Nothing was found doubtful" in page
    assert "12 products" in page
    with pytest.raises(OutputError, match="cannot write"):
        write_findings([], tmp_path / "index.html" / "page.html", title="parts")
