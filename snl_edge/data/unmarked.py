"""Defective test images that nothing marks: they count as whole images, and pixel figures say nothing of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from snl_edge.counted import counted

from .findings import Finding
from .folders import name_some
from .samples import Sample


def unmarked(test: Sequence[Sample], told: Collection[Path]) -> tuple[Finding, ...]:
    """What is to be said of the defective images of ``test`` without a mask; those in ``told`` are explained already.

    Who has labels for images alone is told once how many they are. Where others of the product have masks, one may
    have been forgotten or misnamed: that is a doubt.
    """
    bare = [sample for sample in test if not sample.is_good and sample.mask is None and sample.path not in told]
    partly = {sample.product for sample in test if sample.mask is not None}
    forgotten = [sample.path for sample in bare if sample.product in partly]
    count = len(bare) - len(forgotten)
    found: list[Finding] = []
    if forgotten:
        text = (
            f"{_without(len(forgotten))} while others of the product do: no pixel figures of "
            f"{'it' if len(forgotten) == 1 else 'them'}: {name_some(forgotten)}"
        )
        found.append(Finding("forgotten_masks", text, tuple(forgotten)))
    if count:
        text = f"{_without(count)}: no pixel figures of {'it' if count == 1 else 'them'}"
        paths = tuple(sample.path for sample in bare if sample.product not in partly)
        found.append(Finding("no_mask", text, paths, doubtful=False))
    return tuple(found)


def _without(count: int) -> str:
    have, whole = ("has", "a whole image") if count == 1 else ("have", "whole images")
    return f"{counted(count, 'defective image')} {have} no mask and count{'s' * (count == 1)} as {whole} only"
