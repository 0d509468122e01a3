"""Corruption of what the student sees in training, so that it learns to restore the normal instead of to copy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from snl_edge.model.config import CorruptionConfig

CELL = 16
"""Side of the cells, in input pixels, that a corrupted region is made of: the stride of the coarsest level."""


def corrupt(
    maps: Sequence[Tensor], strides: Sequence[int], config: CorruptionConfig, rng: np.random.Generator
) -> list[Tensor]:
    """Corrupts a batch; the student must still reproduce the teacher's features of the images as they are.

    A reverse student sees teacher features, a forward student pixels; both are corrupted alike, at the same
    places of every map of an image:

    - **paste**: a region (a rectangle, or a blob of smooth noise) shows another image of the batch instead.
      In a mixed batch that is mostly another product, the very thing that cross-class interference lets pass.
    - **jitter**: Gaussian noise, as large as ``config.jitter`` times the root mean square of the place's own
      values (after the feature jittering of UniAD, arXiv 2206.03687, sec. 3.3).

    Not in SNL's abstract; our addition, and a row of the ablation.

    Args:
        maps: ``[B, C_l, h_l, w_l]`` each, of the same B images.
        strides: of each map, in input pixels.
        config: how much of it.
        rng: decides regions and donors; the noise comes from torch's global generator.

    Returns:
        new maps of the same shapes, in channels-last layout.
    """
    corrupted = list(maps)
    if config.paste:
        regions = _regions(maps[0].shape[0], _grid(maps[0], strides[0]), config.paste, rng).to(maps[0].device)
        donors = torch.from_numpy(rng.permutation(maps[0].shape[0])).to(maps[0].device)
        shift = rng.integers(0, _grid(maps[0], strides[0])).tolist()
        corrupted = [
            _pasted(one, regions, donors, shift, CELL // stride) for one, stride in zip(maps, strides, strict=True)
        ]
    if config.jitter:
        size = [one.square().mean(dim=1, keepdim=True).sqrt() for one in corrupted]
        corrupted = [one + config.jitter * s * torch.randn_like(one) for one, s in zip(corrupted, size, strict=True)]
    return [one.contiguous(memory_format=torch.channels_last) for one in corrupted]


def _grid(one: Tensor, stride: int) -> tuple[int, int]:
    return one.shape[2] * stride // CELL, one.shape[3] * stride // CELL


def _pasted(one: Tensor, regions: Tensor, donors: Tensor, shift: list[int], scale: int) -> Tensor:
    mask = regions.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    donor = torch.roll(one[donors], [scale * cells for cells in shift], (2, 3))
    return torch.where(mask, donor, one)


def _regions(batch: int, grid: tuple[int, int], share: float, rng: np.random.Generator) -> Tensor:
    """``bool [B, 1, rows, columns]``: a region in about ``share`` of the images, none in the others."""
    masks = torch.zeros(batch, 1, *grid, dtype=torch.bool)
    for index in range(batch):
        if rng.random() >= share:
            continue
        if rng.random() < 0.5:
            extent = [int(rng.integers(1, cells // 2 + 1)) for cells in grid]
            top, left = (int(rng.integers(0, cells - side + 1)) for cells, side in zip(grid, extent, strict=True))
            masks[index, 0, top : top + extent[0], left : left + extent[1]] = True
        else:
            noise = torch.from_numpy(rng.standard_normal((1, 1, 5, 5)).astype(np.float32))
            smooth = F.interpolate(noise, size=grid, mode="bicubic", align_corners=True)[0, 0]
            masks[index, 0] = smooth > torch.quantile(smooth, 1 - float(rng.uniform(0.05, 0.5)))
    return masks
