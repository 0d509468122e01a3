"""What masks say of themselves: one that cannot be used, and whole sets that mark the background instead of defects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from snl_edge.counted import counted

from .findings import Finding
from .folders import name_some
from .mask_sources import MaskFiles
from .masks import mask_values, require_few_marks
from .samples import Sample

MOST = 0.5
"""Share of the image beyond which a mask is more likely the background's."""
BORDER = 0.9
"""Share of the outermost pixels that a mask of the background marks at least, whatever the defect touches."""


@dataclass(frozen=True)
class MaskFigures:
    """One mask in numbers."""

    sample: Sample
    size: tuple[int, int]
    """``(height, width)``."""
    share: float
    """Of the pixels, marked."""
    border: float
    """Of the outermost pixels, marked."""
    values: int = 1
    """How many values mark pixels; counted only where the mask marks more than ``MOST`` of the image."""
    commonest: float = 1.0
    """Share of the pixels that the commonest of them marks."""

    @property
    def marks_background(self) -> bool:
        """Whether it looks like a mask of everything but the defect."""
        return self.share > MOST and self.border >= BORDER


def measure_mask(sample: Sample) -> MaskFigures | None:
    """Reads the mask of ``sample``, if it has one.

    Raises:
        DataError: it cannot be read.
    """
    if sample.mask is None:
        return None
    mask = sample.mask.read()
    require_few_marks(mask, f"mask {sample.mask.path}")
    share = float(mask.mean())
    border = float(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean())
    if share <= MOST or not isinstance(sample.mask, MaskFiles):
        return MaskFigures(sample, mask.shape, share, border)
    values, commonest = mask_values(sample.mask.path)
    return MaskFigures(sample, mask.shape, share, border, values, commonest / mask.size)


def mask_fault(figures: MaskFigures, image: tuple[int, int] | None) -> str | None:
    """Why one mask cannot be used; ``image`` is its image's ``(height, width)``, None if that is not readable."""
    assert figures.sample.mask is not None
    source, (height, width) = figures.sample.mask.path, figures.size
    if image is not None and figures.size != image:
        return f"mask {source} is {width}x{height}, its image {figures.sample.path} {image[1]}x{image[0]} pixels"
    if figures.share == 0 and not figures.sample.is_good:
        return f"mask {source} marks no pixel"
    return None


def set_faults(masks: Sequence[MaskFigures]) -> list[Finding]:
    """Products most of whose masks mark the background: inverted, or with a value of its own for it."""
    found: list[Finding] = []
    for product in sorted({figures.sample.product for figures in masks}):
        own = [figures for figures in masks if figures.sample.product == product and figures.share > 0]
        turned = [figures for figures in own if figures.marks_background]
        if 2 * len(turned) <= len(own):
            continue
        numbered = [figures for figures in turned if figures.values > 1 and figures.commonest > MOST]
        kind, what, fix = (
            ("background_value", "give the background a value of its own, not 0", "make the background black (0)")
            if 2 * len(numbered) > len(turned)
            else ("inverted_masks", "mark the background instead of the defect", "invert them: white on the defect")
        )
        text = f"{len(turned)} of {len(own)} masks of {product} {what}: {fix}"
        found.append(Finding(kind, text, tuple(f.sample.path for f in turned)))
    return found


def mask_doubts(masks: Sequence[MaskFigures]) -> list[Finding]:
    """Masks that can be used and should be looked at."""
    found: list[Finding] = []
    if large := [figures for figures in masks if figures.share > MOST]:
        names = name_some([figures.sample.path for figures in large])
        text = f"{counted(len(large), 'mask')} of more than half of the image: {names}; inverted?"
        found.append(Finding("large_masks", text, tuple(figures.sample.path for figures in large)))
    if good := [figures for figures in masks if figures.sample.is_good and figures.share > 0]:
        names = name_some([figures.sample.path for figures in good])
        text = f"{counted(len(good), 'good image')} with a mask that marks a defect: {names}; are they defective?"
        found.append(Finding("masked_good", text, tuple(figures.sample.path for figures in good)))
    return found
