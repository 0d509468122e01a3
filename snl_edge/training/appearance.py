"""What a product's good parts look like, in figures that a line can compare with: its reference against drift."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch

from snl_edge.data.loader import ImageStore
from snl_edge.image import brightness, focus
from snl_edge.model.snl import Snl
from snl_edge.runtime.manifest import ProductReference, Spread

Figures = dict[str, dict[str, list[float]]]
"""By product, then by feature: a value for each image."""


@torch.no_grad()
def measure_appearance(
    model: Snl, held_out: ImageStore, batch_size: int, progress: Callable[[int, int], None]
) -> Figures:
    """Raw score, product distance, brightness and focus of good images not trained on.

    Args:
        model: in evaluation mode, its recognition learned.
        held_out: the images.
        batch_size: images at a time.
        progress: called with images done and wanted.
    """
    device = next(model.parameters()).device
    figures: Figures = defaultdict(lambda: defaultdict(list))
    for indices, images in held_out.batches(batch_size):
        _, scores, _, distances = model(torch.from_numpy(images).to(device))
        for index, image, score, distance in zip(indices, images, scores.tolist(), distances.tolist(), strict=True):
            own = figures[held_out.samples[index].product]
            own["score"].append(score)
            own["product_distance"].append(distance)
            own["brightness"].append(brightness(image))
            own["focus"].append(focus(image))
        progress(indices.stop, len(held_out))
    return figures


def reference_of(figures: Figures, gain: float) -> dict[str, ProductReference]:
    """How each product's figures spread; scores by ``gain`` from raw scores to those on the score scale."""
    return {
        product: ProductReference.model_validate(
            {
                "images": len(own["score"]),
                "features": {
                    name: Spread(mean=float(np.mean(values)), std=float(np.std(values)))
                    for name, values in {**own, "score": [score * gain for score in own["score"]]}.items()
                },
            }
        )
        for product, own in sorted(figures.items())
    }
