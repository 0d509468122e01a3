"""How far the student usually is from the teacher at places like each centre of the memory.

A screw's thread is always hard to restore, so the student's distance there says little of the part. What good parts
show at such places is subtracted from it (``anomaly_map.surprise``). No part of the paper; a row of the ablation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from snl_edge.data.loader import ImageStore
from snl_edge.model.snl import Snl


@torch.no_grad()
def fit_expected(
    model: Snl,
    samples: ImageStore,
    groups: NDArray[np.intp],
    batch_size: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Sets what the memory of ``model`` expects, if it was made for it.

    Each place of each image counts for the centre nearest to it, among those of other parts.

    Args:
        model: in evaluation mode, its memory filled.
        samples: good images that were trained on.
        groups: number of the part that each shows, as the memory knows it.
        batch_size: images at a time.
        progress: called with images done and wanted.
    """
    memory = model.memory
    if memory is None or memory.expected is None:
        return
    names = sorted({sample.product for sample in samples.samples})
    numbers = np.array([names.index(sample.product) for sample in samples.samples])
    device = memory.kept.device
    sums, counts = (torch.zeros(len(memory.expected), width, device=device) for width in (3, 1))
    for indices, images in samples.batches(batch_size):
        here = slice(indices.start, indices.stop)
        pixels = model.teacher.normalise(torch.from_numpy(images).to(device))
        features = model.teacher(pixels)
        product, left_out = (torch.from_numpy(of[here]).to(device, torch.int32) for of in (numbers, groups))
        rows, known = memory.nearest(features, product, left_out)
        grid = features[1].shape[2:]
        apart = [_on_grid(distance, grid).flatten(1) for distance in model.student_distances(pixels, features)]
        places = torch.stack(apart, dim=2)  # [B, P, 3]
        sums.index_add_(0, rows[known], places[known])
        counts.index_add_(0, rows[known], torch.ones_like(places[known][:, :1]))
        progress(indices.stop, len(samples))
    memory.set_expected(sums, counts.squeeze(1))


def _on_grid(distance: Tensor, grid: torch.Size) -> Tensor:
    """Distances ``[B, h, w]`` on a grid twice as coarse, the same, or half as coarse."""
    if distance.shape[1] >= grid[0]:
        return F.adaptive_avg_pool2d(distance, (grid[0], grid[1]))
    return F.interpolate(distance.unsqueeze(1), size=grid, mode="bilinear", align_corners=False).squeeze(1)
