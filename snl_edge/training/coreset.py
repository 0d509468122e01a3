"""Choosing what the memory keeps: patches of good training images that lie as far apart as possible."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from snl_edge.model.memory_bank import MemoryBank, patches

PROJECTION = 48
"""Dimensions in which distances between candidates are compared while choosing; centres keep all of theirs."""


@torch.no_grad()
def fill_memory(
    memory: MemoryBank,
    features: Callable[[Sequence[int]], list[Tensor]],
    products: Sequence[int],
    groups: Sequence[int],
    candidates: int,
    batch_size: int,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    weights: Sequence[float] | None = None,
) -> None:
    """Fills ``memory`` with K patches of every product's training images; a shared one with K of all of them.

    About ``candidates`` patches are drawn for each K, of every image as its weight says; then the one farthest from all
    that are kept is kept next (k-centre greedy, as PatchCore, arXiv 2106.08265, sec. 3.2, in a random projection).
    With fewer candidates than centres some are kept twice. The memory also learns which part each is of.

    Args:
        memory: to be filled.
        features: teacher features ``[B, C_l, h_l, w_l]`` of the images at these indices.
        products: number of each training image's product.
        groups: number of the part that each shows: images of one part vouch for each other, so all of them are left
            out together.
        candidates: patches to choose from.
        batch_size: images at a time.
        seed: of draw and projection.
        progress: called with centres chosen and wanted.
        weights: how many patches each image gives, relative to the others; equally many if not given.
    """
    rng = np.random.default_rng(seed)
    parts, count = memory.owners.shape
    shown = np.asarray(products) if parts > 1 else np.zeros(len(products), int)
    shares = np.ones(len(shown)) if weights is None else np.asarray(weights)
    chosen: list[Tensor] = []
    owners: list[Tensor] = []
    for part in range(parts):
        own = np.flatnonzero(shown == part)
        each = math.ceil(candidates / shares[own].sum())
        drawn: list[Tensor] = []
        for start in range(0, len(own), batch_size):
            x = patches(features(own[start : start + batch_size].tolist()))  # [B, C, h, w]
            cells = x.flatten(2).transpose(1, 2)  # [B, P, C]
            # An image that has fewer patches than it may give gives all: what others give is measured by that.
            counts = np.ceil(shares[own[start : start + batch_size]] * min(each, cells.shape[1])).astype(int)
            drawn += [
                one[torch.from_numpy(rng.permutation(len(one))[:drawn_of]).to(one.device)]
                for one, drawn_of in zip(cells, counts, strict=True)
            ]
        pool = torch.cat(drawn)  # [candidates, C]
        before = part * count
        kept = farthest_points(pool, count, seed, lambda done, _, b=before: progress(b + done, parts * count))
        chosen.append(pool[kept])
        parts_shown = torch.from_numpy(np.asarray(groups)[own]).repeat_interleave(
            torch.tensor([len(one) for one in drawn])
        )
        owners.append(parts_shown[kept.cpu()])
    memory.set_centres(torch.stack(chosen), torch.stack(owners))


def farthest_points(
    points: Tensor, count: int, seed: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> Tensor:
    """Indices ``int64 [count]`` of ``points`` ``[N, C]``, each the farthest from all before it (k-centre greedy).

    For tens of thousands of patches, on the model's device: in a random projection, in the points' own precision, from
    the first point on. The few images that INT8's ranges are measured on are chosen exactly
    (``calibration.images.spread_out``): other picks, on which ranges rest byte for byte.
    """
    generator = torch.Generator().manual_seed(seed)
    projection = torch.randn(points.shape[1], PROJECTION, generator=generator).to(points) / PROJECTION**0.5
    projected = points @ projection
    squares = projected.square().sum(dim=1)
    distances = torch.full_like(squares, torch.inf)
    chosen = torch.zeros(count, dtype=torch.int64, device=points.device)
    for index in range(1, count):
        last = chosen[index - 1]
        distances = torch.minimum(distances, squares + squares[last] - 2 * (projected @ projected[last]))
        chosen[index] = distances.argmax()
        if index % 256 == 0:
            progress(index, count)
    return chosen
