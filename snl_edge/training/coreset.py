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
    Each of the memory's ``finalists`` parts is chosen so from its own share of the candidates: the farthest patches are
    chosen first and tell by chance which rare ones are known, so several small choices are steadier than a large one.
    With fewer candidates than centres some are kept twice. The memory also learns which part each is of.
    Each of its descriptors gets candidates of its own.

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
    config, count = memory.config, memory.config.centres
    shown = np.asarray(products) if memory.products > 1 else np.zeros(len(products), int)
    shares = np.ones(len(shown)) if weights is None else np.asarray(weights)
    chosen: list[list[Tensor]] = [[] for _ in config.descriptors]
    owners: list[list[Tensor]] = [[] for _ in config.descriptors]
    choices = len(config.descriptors) * memory.products * config.finalists
    for product in range(memory.products):
        own = np.flatnonzero(shown == product)
        each = math.ceil(candidates / shares[own].sum())
        pools: list[list[Tensor]] = [[] for _ in config.descriptors]
        parts_shown: list[list[Tensor]] = [[] for _ in config.descriptors]
        for start in range(0, len(own), batch_size):
            batch = own[start : start + batch_size]
            seen = features(batch.tolist())
            for descriptor, pool, of in zip(config.descriptors, pools, parts_shown, strict=True):
                cells = patches(seen, descriptor).flatten(2).transpose(1, 2)  # [B, P, C]
                # An image that has fewer patches than it may give gives all: what others give is measured by that.
                counts = np.ceil(shares[batch] * min(each, cells.shape[1])).astype(int)
                for one, image, drawn_of in zip(cells, batch, counts, strict=True):
                    pool.append(one[torch.from_numpy(rng.permutation(len(one))[:drawn_of]).to(one.device)])
                    of.append(torch.full((len(pool[-1]),), groups[image]))
        for way, (drawn, of) in enumerate(zip(pools, parts_shown, strict=True)):
            pool, part_of = torch.cat(drawn), torch.cat(of)  # [candidates, C], [candidates]
            order = torch.from_numpy(rng.permutation(len(pool))) if config.finalists > 1 else torch.arange(len(pool))
            picked: list[Tensor] = []
            for part in range(config.finalists):
                # Fewer candidates than parts: a part without any takes the first.
                share = order[part :: config.finalists] if len(order) > part else order[:1]
                before = (product * len(pools) + way) * config.finalists + part
                wanted = count // config.finalists
                kept = farthest_points(
                    pool[share.to(pool.device)],
                    wanted,
                    seed + part,
                    lambda done, _, b=before, w=wanted: progress(b * w + done, choices * w),
                )
                picked.append(share[kept.cpu()])
            places = torch.cat(picked)
            chosen[way].append(pool[places.to(pool.device)])
            owners[way].append(part_of[places])
    memory.set_centres(
        torch.stack([torch.stack(own) for own in chosen]), torch.stack([torch.stack(own) for own in owners])
    )


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
