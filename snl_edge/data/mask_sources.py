"""What marks the defect in one image: mask images, or outlines that an annotation tool drew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snl_edge.errors import DataError

from .coco import CocoOutlines
from .labelme import LabelmeFile
from .masks import read_mask


@dataclass(frozen=True)
class MaskFiles:
    """One mask image, or several that mark one defect each: their union counts (MVTec LOCO AD)."""

    paths: tuple[Path, ...]

    @property
    def path(self) -> Path:
        """The first file, which stands for all of them in messages."""
        return self.paths[0]

    def read(self) -> NDArray[np.bool_]:
        """What any of the masks marks, ``bool [H, W]``.

        Raises:
            DataError: a file cannot be read, or their sizes differ.
        """
        masks = [read_mask(path) for path in self.paths]
        sizes = {mask.shape for mask in masks}
        if len(sizes) > 1:
            raise DataError(
                f"the {len(masks)} masks of one image differ in size, {self.path} among them",
                fix="save each in the size of its image",
            )
        return np.logical_or.reduce(masks)


MaskSource = MaskFiles | LabelmeFile | CocoOutlines
"""Each has ``path``, the file to name in messages, and ``read() -> bool [H, W]``."""
