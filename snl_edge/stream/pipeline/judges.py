"""Who judges the parts of each camera: a `Judge` by its product, its ignored pixels and the thresholds in force."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from ...runtime.tuning import standing_doubts
from ...runtime.verdict import Judge
from .parts import Part
from .recipe import InForce


class Judges:
    """The judge of each camera, made again when a threshold or the recipe changes. Any thread may ask.

    Args:
        products: by camera, what it always sees.
        uncompared: cameras whose product is not held against what is recognised.
    """

    def __init__(self, products: Mapping[str, str | None], uncompared: Collection[str] = ()) -> None:
        self._products = products
        self._uncompared = frozenset(uncompared)
        self._ignored: dict[tuple[str, tuple[int, int]], NDArray[np.bool_] | None] = {}
        self._judges: dict[str, tuple[InForce, Judge]] = {}

    def ignore(self, camera: str, size: tuple[int, int], ignored: NDArray[np.bool_] | None) -> None:
        """Sets which pixels ``bool [H, W]`` of a camera's maps of this size do not count; needed before the first."""
        self._ignored[camera, size] = ignored

    def of(self, part: Part) -> Judge:
        """By what was in force when the part's picture was inspected."""
        assert part.recipe is not None
        assert part.in_force is not None
        known = self._judges.get(part.camera)
        if known is None or known[0] is not part.in_force:
            manifest = part.in_force.bundle.manifest
            judge = Judge(
                manifest,
                part.recipe.precision,
                self._products[part.camera],
                compare=part.camera not in self._uncompared,
                ignored=self._ignored[part.camera, part.recipe.size],
                odd=standing_doubts(manifest),
            )
            known = self._judges[part.camera] = part.in_force, judge
        return known[1]
