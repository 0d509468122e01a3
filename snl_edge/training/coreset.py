"""Choosing what the memory keeps: patches of good training images that lie as far apart as possible."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snl_edge.model.config import Descriptor
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
    each_part = count // config.finalists
    wanted, before = len(config.descriptors) * memory.products * count, 0
    for product in range(memory.products):
        own = np.flatnonzero(shown == product)
        most = math.ceil(candidates / shares[own].sum())
        pools = _candidates(config.descriptors, features, own, most, shares[own], batch_size, rng)
        for way, drawn in enumerate(pools):
            pool = torch.cat(drawn)  # [candidates, C]
            part_of = np.repeat(np.asarray(groups)[own], [len(one) for one in drawn])
            order = torch.from_numpy(rng.permutation(len(pool))) if config.finalists > 1 else torch.arange(len(pool))
            picked: list[Tensor] = []
            for part in range(config.finalists):
                # Fewer candidates than parts: a part without any takes the first.
                share = order[part :: config.finalists] if len(order) > part else order[:1]
                report = lambda done, _, start=before: progress(start + done, wanted)  # noqa: E731
                kept = farthest_points(pool[share.to(pool.device)], each_part, seed + part, report)
                picked.append(share[kept.cpu()])
                before += each_part
            places = torch.cat(picked)
            chosen[way].append(pool[places.to(pool.device)])
            owners[way].append(torch.from_numpy(part_of)[places])
    memory.set_centres(
        torch.stack([torch.stack(own) for own in chosen]), torch.stack([torch.stack(own) for own in owners])
    )


def _candidates(
    descriptors: Sequence[Descriptor],
    features: Callable[[Sequence[int]], list[Tensor]],
    images: NDArray[np.intp],
    most: int,
    shares: NDArray[np.float64],
    batch_size: int,
    rng: np.random.Generator,
) -> list[list[Tensor]]:
    """For each descriptor some patches ``[n, C]`` of each of ``images``, drawn at random: ``shares`` of ``most``."""
    pools: list[list[Tensor]] = [[] for _ in descriptors]
    for start in range(0, len(images), batch_size):
        seen = features(images[start : start + batch_size].tolist())
        for descriptor, pool in zip(descriptors, pools, strict=True):
            cells = patches(seen, descriptor).flatten(2).transpose(1, 2)  # [B, P, C]
            # An image that has fewer patches than it may give gives all: what others give is measured by that.
            given = np.ceil(shares[start : start + batch_size] * min(most, cells.shape[1])).astype(int)
            pool += [
                one[torch.from_numpy(rng.permutation(len(one))[:number]).to(one.device)]
                for one, number in zip(cells, given, strict=True)
            ]
    return pools


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
