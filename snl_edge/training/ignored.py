"""What a run's products ignore: put into its model, changed when it is finished, and drawn for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from snl_edge.data.samples import Dataset
from snl_edge.errors import CheckpointError, ConfigError
from snl_edge.image import read_image, save_png
from snl_edge.progress import console
from snl_edge.runtime.overlay import draw_ignored

from .checkpoint import Checkpoint, read_checkpoint, verify_checkpoint
from .reference import FOLDER as REFERENCE
from .run_folder import remove_outdated
from .switch import staging, switch
from .thresholds import refitted

FOLDER, PICTURES = "ignored", "ignored-pictures"
"""Of masks in a run folder, which `--ignore` takes again, and of pictures that show what its products ignore."""


def stack_regions(ignored: Mapping[str, NDArray[np.bool_]], products: Sequence[str], size: tuple[int, int]) -> Tensor:
    """Ignored pixels ``bool [H, W]`` by product as ``bool [K, H, W]``, in the order of ``products``.

    Raises:
        ConfigError: a product is none of these.
    """
    if unknown := sorted(set(ignored) - set(products)):
        raise ConfigError(
            f"regions are ignored of {unknown[0]!r}, which is not trained on",
            f"the products are {', '.join(products)}",
            "name the product as its folder is named, or leave its regions out",
        )
    nothing = np.zeros(size, bool)
    return torch.from_numpy(np.stack([ignored.get(product, nothing) for product in products]))


def regions_of(run: Path) -> dict[str, NDArray[np.bool_]]:
    """The ignored pixels ``bool [H, W]`` of the model's input, of each product of ``run`` that has any.

    Raises:
        CheckpointError: the run cannot be read.
    """
    checkpoint = verify_checkpoint(run)
    if not checkpoint.ignored:
        return {}
    with safe_open(run / checkpoint.weights, framework="np") as file:
        keep, row_of = (file.get_tensor(f"anomaly_map.{name}") for name in ("keep", "row_of"))
    return {product: ~keep[row_of[checkpoint.products.index(product)]] for product in checkpoint.ignored}


def change_regions(
    run: Path, dataset: Dataset, product: str, region: NDArray[np.bool_] | None
) -> tuple[Checkpoint, list[Path]]:
    """Sets what ``product`` ignores in the finished ``run`` (None: nothing), and its thresholds again.

    Args:
        run: the run folder.
        dataset: the data set it was trained on.
        product: one of its products.
        region: ``bool [H, W]`` of the model's input.

    Returns:
        the run's new checkpoint, and the bundles in its folder that are refused from now on.

    Raises:
        CheckpointError: the run cannot be read.
        ConfigError: it has no such product.
        DataError: as :func:`snl_edge.training.thresholds.refitted`.
    """
    regions, checkpoint = regions_of(run), read_checkpoint(run)
    if product not in checkpoint.products:
        raise ConfigError(
            f"unknown product {product!r}", f"{run} knows {', '.join(checkpoint.products)}", "give one of these"
        )
    if region is None:
        regions.pop(product, None)
    else:
        regions[product] = region
    with staging(run) as stage:
        draw_regions(stage, regions, run / REFERENCE)
        changed = refitted(run, dataset, stack_regions(regions, checkpoint.products, checkpoint.model.size))
        switch(changed, stage, run, (FOLDER, PICTURES))
    return changed, remove_outdated(run)


def warn_of_forgotten_regions(
    earlier: Sequence[Path | None], products: Sequence[str], ignored: Mapping[str, NDArray[np.bool_]]
) -> None:
    """Says where a run in ``earlier`` ignores regions of one of ``products`` that the new one does not."""
    for run in earlier:
        if run is None:
            continue
        try:
            before = read_checkpoint(run).ignored
        except CheckpointError:
            continue  # none yet, or one that is replaced because it cannot be read
        if lost := [product for product in products if product in before and product not in ignored]:
            console.print(
                f"the run in {run} ignores regions of {', '.join(lost)}; this training does not: "
                f"give them with --ignore {run / FOLDER}",
                style="bold",
            )


def draw_regions(target: Path, regions: Mapping[str, NDArray[np.bool_]], references: Path) -> None:
    """Writes what products ignore below ``target``: as masks, and as pictures over those in ``references``, if any."""
    for product, region in regions.items():
        reference = references / f"{product}.png"
        picture = read_image(reference) if reference.is_file() else np.full((*region.shape, 3), 255, np.uint8)
        save_png(target / FOLDER / f"{product}.png", region.astype(np.uint8) * 255)
        save_png(target / PICTURES / f"{product}.png", draw_ignored(picture, region))
