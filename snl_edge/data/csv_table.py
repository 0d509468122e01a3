"""A table of images, for what folders cannot say: one line each, in a CSV file (or TSV, or CSV with semicolons).

Columns, in any order: ``path``; ``label``: a word for good (`labels`), a word for defective, or a type of defect;
``product`` (the table's folder if there is no such column); ``split``: train or test (good images train and defective
ones test if there is none, or it is empty); ``mask``: mask images separated by ``|``, or a Labelme file. Paths are
relative to the table's folder.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from snl_edge.errors import DataError
from snl_edge.image import IMAGE_SUFFIXES
from snl_edge.image_files import is_kept_heatmap
from snl_edge.outside.csv_rows import csv_rows
from snl_edge.outside.files import read_text, reason

from .folders import NAMED, name_some
from .labelme import LabelmeFile
from .labels import LABELS, SPLITS, Role, is_unclear, roles_of
from .mask_sources import MaskFiles, MaskSource
from .notes import Notes
from .product_folders import product_name
from .samples import GOOD, Reading, Sample

SUFFIXES = frozenset({".csv", ".tsv"})
COLUMNS = ("path", "label", "product", "split", "mask")
TEXTS = {
    "product_name": "the table has no column product: all images are of {names}",
    "missing_masks": "{count:defective image} {count:names|name} a mask that is missing and "
    "{count:counts as a whole image|count as whole images} only: {files}",
    "no_good_test": "no good test image of {names}, so false rejects cannot be measured: give some the split test",
}


@dataclass(frozen=True)
class _Row:
    line: int
    path: str
    label: str
    product: str
    split: str
    mask: str
    surplus: str = ""
    """Why its cells do not fit the columns."""


def open_table(path: Path, products: Sequence[str] | None = None) -> Table:
    """Reads the lines of ``path``, and checks what each says.

    Args:
        path: of the table.
        products: whose images must be there; all if not given.

    Raises:
        DataError: it is no table, or lines of it cannot be used; the message names the first few, whatever is wrong
            with each.
    """
    rows, named = _rows(path)
    if not rows:
        raise DataError(f"{path} lists no image", fix="add a line for each image (docs/data.md)")
    faults: list[str] = []
    lines: dict[str, int] = {}
    for row in rows:
        if fault := _fault_of(row):
            faults.append(f"line {row.line}: {fault}")
        elif (first := lines.setdefault(os.path.normpath(path.parent / row.path), row.line)) != row.line:
            faults.append(f"line {row.line}: {row.path} is on line {first} already")
        elif (products is None or row.product in products) and not (path.parent / row.path).exists():
            faults.append(f"line {row.line}: {path.parent / row.path} is missing")
    if faults:
        more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise DataError(
            f"{path} cannot be used",
            "; ".join(faults[:NAMED]) + more,
            "correct the table, whose paths are relative to its own folder (docs/data.md)",
        )
    return Table(path, rows, named)


@dataclass(frozen=True)
class Table:
    """A table whose lines can all be used."""

    path: Path
    rows: tuple[_Row, ...]
    names_products: bool

    @property
    def products(self) -> tuple[str, ...]:
        """All products, sorted."""
        return tuple(sorted({row.product for row in self.rows}))

    def read(self, products: Sequence[str]) -> Reading:
        """Training and test samples of ``products``."""
        notes = Notes()
        train: list[Sample] = []
        test: list[Sample] = []
        for row in self.rows:
            if row.product in products:
                sample = self._sample(row, notes)
                tests = Role.TEST in roles_of(row.split) or Role.VALIDATION in roles_of(row.split)
                (test if tests or not sample.is_good else train).append(sample)
        if not self.names_products:
            notes.name("product_name", *self.products)
        counts = Counter((sample.product, sample.is_good) for sample in test)
        notes.name("no_good_test", *(p for p in products if counts[p, False] and not counts[p, True]))
        return Reading(tuple(train), tuple(test), notes.findings(TEXTS))

    def _sample(self, row: _Row, notes: Notes) -> Sample:
        path = self.path.parent / row.path
        if roles_of(row.label) == {Role.GOOD}:
            return Sample(path, row.product, GOOD)
        masks = [self.path.parent / name for name in _names(row.mask)]
        source: MaskSource | None = None
        if not all(mask.exists() for mask in masks):
            notes.add("missing_masks", [path])
        elif masks:
            source = LabelmeFile(masks[0]) if masks[0].suffix.lower() == ".json" else MaskFiles(tuple(masks))
        return Sample(path, row.product, row.label, source)


def _fault_of(row: _Row) -> str:
    """Why a line cannot be used; empty if it can."""
    roles, split = roles_of(row.label), roles_of(row.split)
    masks = {Path(name).suffix.lower() for name in _names(row.mask)}
    outlines = masks == {".json"} and len(_names(row.mask)) == 1
    if row.surplus:
        return row.surplus  # what its cells mean is anybody's guess
    faults = {
        "no path": not row.path,
        "no product": not row.product,
        f"{row.path} is none of {', '.join(sorted(IMAGE_SUFFIXES))}": Path(row.path).suffix.lower()
        not in IMAGE_SUFFIXES,
        f"{row.path} is a heatmap that a line kept beside a picture: list the picture": is_kept_heatmap(Path(row.path)),
        f"label {row.label or 'missing'}: write good, bad or the type of defect": is_unclear(row.label)
        or len(roles) > 1
        or bool(roles - LABELS),
        f"split {row.split}: write train or test, or leave it empty": bool(row.split)
        and not (len(split) == 1 and split <= SPLITS),
        f"{row.path} is {row.label} and in train: nothing can be learned from it": Role.TRAIN in split
        and roles != {Role.GOOD},
        f"{row.path} is {row.label} and has a mask": bool(row.mask) and roles == {Role.GOOD},
        f"mask {row.mask}: name images, or one JSON file of Labelme": bool(masks - IMAGE_SUFFIXES) and not outlines,
    }
    return next((fault for fault, found in faults.items() if found), "")


def _names(cell: str) -> list[str]:
    return [name.strip() for name in cell.split("|") if name.strip()]


def _rows(path: Path) -> tuple[tuple[_Row, ...], bool]:
    """The lines, and whether the table has a column of products."""
    try:
        text = read_text(path)
        rows = csv_rows(text, _delimiter(text))
        header = [name.strip().casefold() for name in next(rows, (1, []))[1]]
        return tuple(_read(path, header, rows)), "product" in header
    except OSError as error:
        raise DataError(f"cannot read {path}", reason(error), "check path and permissions") from error
    except ValueError as error:
        raise DataError(f"{path} is not a readable table", str(error), "save it as CSV in UTF-8") from error


def _read(path: Path, header: Sequence[str], rows: Iterator[tuple[int, list[str]]]) -> Iterator[_Row]:
    missing = [name for name in ("path", "label") if name not in header]
    odd = [name for name in header if name not in COLUMNS or header.count(name) > 1]
    if missing or odd:
        what = f"no column {name_some(missing)}" if missing else f"a column {odd[0] or 'without a name'} too many"
        raise DataError(
            f"{path} has {what}",
            f"a table has the columns {', '.join(COLUMNS)}, the last three if needed",
            "name the columns in the first line",
        )
    folder = product_name(path.parent)
    for line, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        own = row.get("product", "") if "product" in header else folder
        many = f"{len(cells)} cells for {len(header)} columns: quote commas" if len(cells) > len(header) else ""
        path_told, label, split, mask = (row.get(name, "") for name in ("path", "label", "split", "mask"))
        yield _Row(line, path_told, label, own, split, mask, many)


def _delimiter(text: str) -> str:
    first = text.partition("\n")[0]
    return max(",;\t", key=first.count)
