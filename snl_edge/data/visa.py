"""The layout of VisA (Zou et al., ECCV 2022) as published at github.com/amazon-science/spot-diff.

``<product>/Data/Images/{Normal,Anomaly}``, ``<product>/Data/Masks/Anomaly`` and the split of the one-class
setting in ``split_csv/1cls.csv``: columns object, split (train, test), label (normal, anomaly), image, mask;
paths are relative to the root. The types of defect are not told apart.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from snl_edge.errors import DataError

from .folders import name_some, subfolders
from .samples import GOOD, Sample

SPLIT = Path("split_csv") / "1cls.csv"
COLUMNS = ("object", "split", "label", "image", "mask")
DEFECT = "anomaly"


def find_products(root: Path) -> dict[str, Path]:
    """The products below ``root``; empty when this is no such layout."""
    return {folder.name: folder for folder in subfolders(root) if (folder / "Data" / "Images").is_dir()}


def read(root: Path, products: Mapping[str, Path]) -> tuple[list[Sample], list[Sample]]:
    """Training and test samples of ``products`` after the split file.

    Raises:
        DataError: the split file is missing or unreadable, or names missing files, or leaves out a product.
    """
    samples: dict[str, list[Sample]] = {"train": [], "test": []}
    for line, row in _rows(root / SPLIT):
        if row["object"] not in products:
            continue
        good = row["label"] == "normal"
        faulty = row["split"] not in samples or row["label"] not in {"normal", DEFECT} or not row["image"]
        if faulty or (row["split"] == "train" and not good):
            raise DataError(
                f"{root / SPLIT}, line {line} cannot be used: {','.join(row.values())}",
                "expected train or test, normal or anomaly, an image, and no anomaly in train",
                "take the split file of the original download",
            )
        if not good and not row["mask"]:
            raise DataError(
                f"{root / SPLIT}, line {line} names no mask for {row['image']}", fix="add it, or remove the line"
            )
        mask = None if good else root / row["mask"]
        samples[row["split"]].append(Sample(root / row["image"], row["object"], GOOD if good else DEFECT, mask))
    _require_complete(root, products, samples["train"], samples["test"])
    return samples["train"], samples["test"]


def _rows(split: Path) -> list[tuple[int, dict[str, str]]]:
    if not split.is_file():
        raise DataError(
            f"{split} is missing",
            "it says which images train and which test",
            "copy split_csv from the VisA download, or give the folder that has it",
        )
    try:
        with split.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            missing = sorted(set(COLUMNS) - set(reader.fieldnames or ()))
            if missing:
                raise DataError(f"{split} has no column {', '.join(missing)}", fix="take the original split file")
            return [(reader.line_num, {column: row[column].strip() for column in COLUMNS}) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{split} is no readable CSV file", str(error), "take the original split file") from error


def _require_complete(root: Path, products: Mapping[str, Path], train: list[Sample], test: list[Sample]) -> None:
    idle = sorted(set(products) - {sample.product for sample in train})
    if idle:
        raise DataError(
            f"{root / SPLIT} gives no training images of {', '.join(idle)}",
            fix="add them to the split file, or choose other products with --products",
        )
    files = [path for sample in train + test for path in (sample.path, sample.mask) if path is not None]
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} files named by {root / SPLIT} are missing",
            name_some(missing),
            "copy the whole download, or choose complete products with --products",
        )
