"""What a data set is made of, whatever its layout on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

GOOD = "good"


@dataclass(frozen=True)
class Sample:
    """One image file: its product, ``"good"`` or its type of defect, and the mask that marks the defect."""

    path: Path
    product: str
    defect: str
    mask: Path | None = None

    @property
    def is_good(self) -> bool:
        """Whether the part is free of defects."""
        return self.defect == GOOD


@dataclass(frozen=True)
class Dataset:
    """Good images to train on and, where the layout has them, good and defective images to test on."""

    root: Path
    layout: str
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]

    @property
    def products(self) -> tuple[str, ...]:
        """The names of the products, sorted."""
        return tuple(sorted({sample.product for sample in self.train}))
