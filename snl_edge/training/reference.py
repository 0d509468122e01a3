"""Reference images: a few held-out good parts kept with the run, so that every later graph can be compared on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snl_edge.data.samples import Sample
from snl_edge.errors import CheckpointError
from snl_edge.image import fit_to_input, read_image, save_png
from snl_edge.image_files import list_images

FOLDER = "reference"
MOST = 16


def save_reference(samples: Sequence[Sample], size: tuple[int, int], target: Path) -> None:
    """Writes one held-out image per product (up to 16 in all), fitted to the model's input, as PNG below ``target``."""
    folder = target / FOLDER
    first = {sample.product: sample for sample in reversed(samples)}
    for product in sorted(first)[:MOST]:
        image = fit_to_input(first[product].read(), size)
        save_png(folder / f"{product}.png", image)


def load_reference(run: Path) -> NDArray[np.uint8]:
    """The reference images of a run as ``uint8 [N, H, W, 3]``.

    Raises:
        CheckpointError: there are none.
    """
    folder = run / FOLDER
    images = [read_image(path) for path in list_images(folder)] if folder.is_dir() else []
    if not images:
        raise CheckpointError(f"{folder} holds no images", fix="copy the whole run folder, or train again")
    return np.stack(images)
