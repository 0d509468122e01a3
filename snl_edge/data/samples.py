"""What a data set is made of, whatever its layout on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snl_edge.image import read_image

GOOD = "good"


@dataclass(frozen=True)
class Sample:
    """One image file: its product, ``"good"`` or its type of defect, and the mask that marks the defect."""

    path: Path
    product: str
    defect: str
    mask: Path | None = None
    bits: int | None = None
    """How many bits the camera filled of a 16-bit file; None where nobody said, which reads all 16."""

    def read(self) -> NDArray[np.uint8]:
        """The image as ``uint8 [H, W, 3]`` RGB, by its ``bits``.

        Raises:
            DataError: see `read_image`.
        """
        return read_image(self.path, self.bits)

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

    def with_bits(self, bits: int | None) -> Dataset:
        """The same images, read as pictures of so many bits; nothing changes for None."""
        if bits is None:
            return self
        train, test = (tuple(replace(sample, bits=bits) for sample in own) for own in (self.train, self.test))
        return replace(self, train=train, test=test)

    @property
    def products(self) -> tuple[str, ...]:
        """The names of the products, sorted."""
        return tuple(sorted({sample.product for sample in self.train}))
