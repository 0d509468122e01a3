"""Ignored regions that are drawn too tightly: what happens inside them decides beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from snl_edge.data.findings import Finding
from snl_edge.data.loader import ImageStore
from snl_edge.model.snl import Snl

TEXT = "ignored region of "
"""How the text of such a finding begins."""
BESIDE = 1 / 8
"""Of the shorter side of the picture: so far outside a change within still shows clearly (docs/workstation.md)."""
MOST_IMAGES, LEAST_IMAGES = 32, 5
"""Of a product, that are looked at, and below which nothing is said."""


@torch.no_grad()
def tight_region_findings(
    model: Snl, stores: Sequence[ImageStore], products: Sequence[str], batch_size: int
) -> list[Finding]:
    """A finding for each product whose good images are mostly at their worst beside its ignored region.

    More than half of them, and twice as often as places beside it are many.

    Args:
        model: in evaluation mode, with its regions.
        stores: good images that it was not trained on.
        products: in the model's order.
        batch_size: images at a time.
    """
    keep, row_of = model.anomaly_map.keep, model.anomaly_map.row_of
    if keep is None or row_of is None:
        return []
    findings: list[Finding] = []
    for index, product in enumerate(products):
        counting = keep[row_of[index]].cpu().numpy()
        if counting.all():
            continue
        reach = max(1, round(BESIDE * min(counting.shape)))
        away = cv2.distanceTransform(counting.astype(np.uint8), cv2.DIST_L2, 5)
        beside = counting & (away <= reach)
        worst: dict[Path, bool] = {}
        for store in stores:
            own = [i for i, sample in enumerate(store.samples) if sample.product == product][:MOST_IMAGES]
            for start in range(0, len(own), batch_size):
                chosen = own[start : start + batch_size]
                maps, *_ = model(torch.from_numpy(store.batch(chosen)).to(keep.device))
                places = maps.flatten(1).argmax(dim=1).tolist()
                worst |= {store.samples[i].path: bool(beside.flat[at]) for i, at in zip(chosen, places, strict=True)}
        shown = [path for path, near in worst.items() if near]
        share = len(shown) / max(1, len(worst))
        if len(worst) >= LEAST_IMAGES and share > max(0.5, 2 * float(beside.sum() / counting.sum())):
            findings.append(
                Finding(
                    "tight_region",
                    f"{TEXT}{product}: {len(shown)} of {len(worst)} good images are at their worst beside it, so what "
                    "happens inside sets the threshold; draw it larger",
                    tuple(shown),
                )
            )
    return findings
