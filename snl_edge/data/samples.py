"""What a data set is made of, whatever its layout on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snl_edge.image import read_image

from .findings import Finding
from .mask_sources import MaskSource

GOOD = "good"


@dataclass(frozen=True)
class Sample:
    """One image file: its product, ``"good"`` or its type of defect, and what marks the defect in it.

    A defective image may have no mask: then ``mask`` is None as it is of a good one, and ``is_good`` tells them apart.
    """

    path: Path
    product: str
    defect: str
    mask: MaskSource | None = None
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
class Reading:
    """What a layout gives: training and test samples, and what was left out or taken for granted."""

    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    findings: tuple[Finding, ...] = ()
    loose_masks: tuple[Path, ...] = ()
    """Files that are taken for masks and mark no sample."""


@dataclass(frozen=True)
class Dataset:
    """Good images to train on and, where the layout has them, good and defective images to test on."""

    root: Path
    """The folder, or the table that lists the images."""
    layout: str
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    findings: tuple[Finding, ...] = ()
    """What reading the layout left out or took for granted."""
    loose_masks: tuple[Path, ...] = ()
    """Files that are taken for masks and mark no sample: looked at by `check` alone."""

    def with_bits(self, bits: int | None) -> Dataset:
        """The same images, read as pictures of so many bits; nothing changes for None."""
        if bits is None:
            return self
        train, test = (tuple(replace(sample, bits=bits) for sample in own) for own in (self.train, self.test))
        return replace(self, train=train, test=test)

    @property
    def products(self) -> tuple[str, ...]:
        """The names of the products, sorted."""
        return tuple(sorted({sample.product for sample in self.train + self.test}))
