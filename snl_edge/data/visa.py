"""The layout of VisA (Zou et al., ECCV 2022) as published at github.com/amazon-science/spot-diff.

``<product>/Data/Images/{Normal,Anomaly}``, ``<product>/Data/Masks/Anomaly`` and the split of the one-class
setting in ``split_csv/1cls.csv``: columns object, split (train, test), label (normal, anomaly), image, mask;
paths are relative to the root. The types of defect are not told apart. Without its split file the folders say
what is good (`labelled`), and all good images train.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from snl_edge.counted import counted
from snl_edge.errors import DataError
from snl_edge.outside.csv_rows import csv_rows
from snl_edge.outside.files import read_text, reason

from .folders import name_some, subfolders
from .mask_sources import MaskFiles
from .samples import GOOD, Reading, Sample
from .tree import Tree

SPLIT = Path("split_csv") / "1cls.csv"
COLUMNS = ("object", "split", "label", "image", "mask")
DEFECT = "anomaly"


def open_visa(tree: Tree, asked: bool) -> Visa | None:
    """The products below the root; None when this is no such layout, or nobody asked and the split file is missing.

    Raises:
        DataError: the layout was asked for, and the split file is missing.
    """
    products = [folder.name for folder in subfolders(tree.root) if (folder / "Data" / "Images").is_dir()]
    if products and not (tree.root / SPLIT).is_file():
        if not asked:
            return None
        raise DataError(
            f"{tree.root / SPLIT} is missing",
            "it says which images train and which test",
            "copy split_csv from the VisA download, or leave out --layout: then all images under Normal train",
        )
    return Visa(tree.root, tuple(products)) if products else None


@dataclass(frozen=True)
class Visa:
    """A data set in this layout, with its split file."""

    root: Path
    products: tuple[str, ...]

    def read(self, products: Sequence[str]) -> Reading:
        """Training and test samples of ``products`` after the split file.

        Raises:
            DataError: the split file is unreadable, or names missing images.
        """
        split = self.root / SPLIT
        samples: dict[str, list[Sample]] = {"train": [], "test": []}
        for line, row in _rows(split):
            if row["object"] not in products:
                continue
            good = row["label"] == "normal"
            faulty = row["split"] not in samples or row["label"] not in {"normal", DEFECT} or not row["image"]
            if faulty or (row["split"] == "train" and not good):
                raise DataError(
                    f"{split}, line {line} cannot be used: {','.join(row.values())}",
                    "expected train or test, normal or anomaly, an image, and no anomaly in train",
                    "take the split file of the original download",
                )
            path, mask = self.root / row["image"], self.root / row["mask"]
            marked = not good and bool(row["mask"]) and mask.exists()
            source = MaskFiles((mask,)) if marked else None
            samples[row["split"]].append(Sample(path, row["object"], GOOD if good else DEFECT, source))
        _require_listed([*samples["train"], *samples["test"]], split)
        return Reading(tuple(samples["train"]), tuple(samples["test"]))


def _require_listed(samples: Sequence[Sample], split: Path) -> None:
    missing = [sample.path for sample in samples if not sample.path.exists()]
    if missing:
        raise DataError(
            f"{counted(len(missing), 'image')} named by {split} {'is' if len(missing) == 1 else 'are'} missing",
            name_some(missing),
            "copy the whole download, or choose complete products with --products",
        )


def _rows(split: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        rows = csv_rows(read_text(split))
        header = next(rows, (1, []))[1]
        missing = sorted(set(COLUMNS) - set(header))
        if missing:
            raise DataError(f"{split} has no column {', '.join(missing)}", fix="take the original split file")
        return [(line, _named(header, cells)) for line, cells in rows if cells]
    except OSError as error:
        raise DataError(f"cannot read {split}", reason(error), "check path and permissions") from error
    except ValueError as error:
        raise DataError(f"{split} is not a readable CSV file", str(error), "take the original split file") from error


def _named(header: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    row = dict(zip(header, cells, strict=False))
    return {column: row.get(column, "").strip() for column in COLUMNS}
