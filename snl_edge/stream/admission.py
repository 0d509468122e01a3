"""A recipe loaded for one line: it must know what the cameras see and take what they inspect."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .config import LineConfig
from .judging import Judge
from .prepare import check_region, ignored_pixels
from .recipe import Recipe


class Admitted(NamedTuple):
    """A recipe that the line can run, judging nothing yet."""

    recipe: Recipe
    ignored: Mapping[str, NDArray[np.bool_] | None]
    """By camera, which pixels ``bool [H, W]`` of its maps do not count; None if all do."""

    def tell(self, judge: Judge) -> None:
        """Hands the judge what it needs before the recipe's first part."""
        for camera, ignored in self.ignored.items():
            judge.ignore(camera, self.recipe.size, ignored)


def admitted(config: LineConfig, bundle: Path) -> Admitted:
    """Loads a bundle, with room for what may wait and for the picture that each camera is preparing.

    Raises:
        SnlEdgeError: it cannot be loaded, does not know a product which a camera is said to see, or does not take the
            region that it inspects.
    """
    recipe = Recipe(bundle, config.engine, config.queue.size + len(config.cameras))
    try:
        ignored: dict[str, NDArray[np.bool_] | None] = {}
        for camera in config.cameras:
            recipe.bundle.manifest.threshold_for(camera.product)
            check_region(camera.name, camera.region, camera.rotation, recipe.takes)
            ignored[camera.name] = ignored_pixels(camera.ignore_mask, camera.ignore, recipe.size)
    except BaseException:
        recipe.close()
        raise
    return Admitted(recipe, ignored)
