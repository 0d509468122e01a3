"""Training images that look like no other of their product: defective parts that slipped in among the good ones.

They are looked for before anything is learned, so nothing has to be unlearned: each image is judged by a memory of
patches of the other images, which by itself detects as well as the whole model does (docs/ablation.md). Defective parts
that look alike excuse each other, so what is found vouches for no other image, and its product is judged again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snl_edge.data.findings import Finding
from snl_edge.data.samples import Sample
from snl_edge.evaluation.threshold import LEAST_SPREAD
from snl_edge.model.anomaly_map import smooth_upsampling
from snl_edge.model.config import MemoryConfig, SnlConfig
from snl_edge.model.memory import Memory

from .memory import fill_memory

CENTRES, CANDIDATES = 2048, 30_000
"""Patches of each product that images are compared with, and those that they are chosen from."""
WIDEST = 256
"""Principal directions in which patches of a wide teacher are compared."""
LEAST_PARTS = 8
"""Different parts of a product, below which none can be told to stand out."""
UPPER = (0.75, 0.9)
"""Shares of parts whose scores tell how the upper tail of a product falls off."""
FENCE = 1.6
"""An image is suspicious beyond the higher of these scores and so many times their distance, on a logarithmic scale.

With a tail that falls off as an exponential, 2 % of good parts would lie there; most tails fall off faster. What is
left out of good parts is missing from the thresholds, too: a nearer fence names more defects and costs false rejects.
The fence and these shares were chosen on five of ten real products (docs/snl.md), together with the number of passes.
"""
LEAST_FENCE = 2.0
"""Spreads above the median at least, where the tail is shorter than below."""
PASSES = 2
"""Times that the scores' spread is measured, the later ones without what was suspicious before: defects widen it."""
ROUNDS = 3
"""Times that a product is judged at most, each but the first without what was suspicious before."""
NAMED = 4


def screen(
    features: Callable[[Sequence[int]], list[Tensor]],
    channels: list[int],
    products: NDArray[np.intp],
    groups: NDArray[np.intp],
    config: SnlConfig,
    batch_size: int,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    counting: Callable[[Tensor], Tensor | None] = lambda products: None,
    good: NDArray[np.bool_] | None = None,
    defective: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """How far each image stands out of its product, as :func:`standing_out` measures it: suspicious above 1, ``[N]``.

    A part that was suspicious in one round stays so: without its like, a rare good part may widen the spread in which
    others are measured.

    Args:
        features: teacher features ``[B, C_l, h_l, w_l]`` of the images at these indices.
        channels: of the teacher's levels.
        products: number of each image's product, from 0.
        groups: number of the part that each image shows; its other images do not vouch for it.
        config: size and smoothing of the anomaly map.
        batch_size: images at a time.
        seed: of the choice of patches.
        progress: called with images judged and wanted, as far as is known.
        counting: of numbers of products ``int32 [B]``, which pixels of their maps count
            (:meth:`snl_edge.model.anomaly_map.AnomalyMap.counting`).
        good: images that vouch for others however they look, ``bool [N]``.
        defective: images that vouch for none, ``bool [N]``.
    """
    none = np.zeros(len(products), bool)
    good, vouching = none if good is None else good, ~(none if defective is None else defective)
    standing, own, before = np.full(len(products), np.nan), np.arange(len(products)), 0
    for _ in range(ROUNDS):
        numbers, renumbered = np.unique(products[own], return_inverse=True)
        shown = torch.from_numpy(numbers)
        scores = _strangeness(
            lambda indices, own=own: features(own[indices].tolist()),
            channels,
            renumbered,
            groups[own],
            config,
            batch_size,
            seed,
            lambda done, total, before=before: progress(before + done, before + total),
            lambda products, shown=shown: counting(shown[products.long().cpu()].to(products)),
            np.flatnonzero(vouching[own]),
        )
        before += len(own)
        standing[own] = np.fmax(standing[own], standing_out(scores, renumbered, groups[own]))
        found = vouching & (standing > 1) & ~good
        vouching &= ~found
        own = np.flatnonzero(np.isin(products, products[found]))
        if not len(own):
            break
    return standing


@torch.no_grad()
def _strangeness(
    features: Callable[[Sequence[int]], list[Tensor]],
    channels: list[int],
    products: NDArray[np.intp],
    groups: NDArray[np.intp],
    config: SnlConfig,
    batch_size: int,
    seed: int,
    progress: Callable[[int, int], None],
    counting: Callable[[Tensor], Tensor | None],
    vouching: NDArray[np.intp],
) -> NDArray[np.float64]:
    """How far the strangest place of each image is from everything that the *other* parts of its product show, ``[N]``.

    Compared with the images ``vouching`` alone; the other arguments are those of :func:`screen`.
    """
    wide = channels[1] + channels[2]
    own = MemoryConfig(centres=CENTRES, candidates=CANDIDATES, dimensions=WIDEST if wide > WIDEST else None)
    count, first = len(products), features([0])[1]
    device = first.device
    memory = Memory(channels, own, int(products.max()) + 1).to(device)
    fill_memory(
        memory,
        lambda indices: features(vouching[indices].tolist()),
        products[vouching].tolist(),
        groups[vouching].tolist(),
        own.candidates,
        batch_size,
        seed,
    )
    rows, columns = (
        smooth_upsampling(*sides, config.anomaly_map.sigma).to(device)
        for sides in ((first.shape[2], config.height), (first.shape[3], config.width))
    )
    scores = np.empty(count)
    for start in range(0, count, batch_size):
        indices = range(start, min(start + batch_size, count))
        shown = torch.from_numpy(products[start : indices.stop]).to(device, torch.int32)
        left_out = torch.from_numpy(groups[start : indices.stop]).to(device, torch.int32)
        distances = memory(features(indices), shown, left_out)  # [B, h, w]
        maps, counted = rows @ distances @ columns.T, counting(shown)
        maps = maps if counted is None else maps * counted
        scores[start : indices.stop] = maps.flatten(1).amax(dim=1).cpu().numpy()
        progress(indices.stop, count)
    return scores


def standing_out(
    scores: NDArray[np.float64], products: Sequence[str] | NDArray[np.intp], groups: NDArray[np.intp]
) -> NDArray[np.float64]:
    """How far each image of ``scores`` ``[N]`` stands out of its product: 0 at the median, suspicious above 1.

    On a logarithmic scale, by quantiles of the product's parts, of which each counts once: a fence as Tukey's (1977),
    but by the upper tail alone, since that of good parts differs from product to product and is longer than the lower
    one. NaN for products of fewer than ``LEAST_PARTS`` parts.
    """
    names, out = np.asarray(products), np.full(len(scores), np.nan)
    for product in np.unique(names):
        own = np.flatnonzero(names == product)
        parts = np.array([np.median(scores[own[groups[own] == number]]) for number in np.unique(groups[own])])
        if len(parts) < LEAST_PARTS:
            continue
        kept = logarithms = np.log(parts)
        middle = reach = 0.0
        for _ in range(PASSES):
            middle, reach = _middle_and_reach(kept)
            kept = logarithms[logarithms <= middle + reach]
        out[own] = (np.log(scores[own]) - middle) / reach
    return out


def _middle_and_reach(logarithms: NDArray[np.float64]) -> tuple[float, float]:
    """The median of a product's scores, and how far above it they are still its own."""
    middle = float(np.median(logarithms))
    deviation = float(np.median(np.abs(logarithms - middle))) / NormalDist().inv_cdf(0.75)
    lower, upper = np.quantile(logarithms, UPPER).tolist()
    fence = upper + FENCE * (upper - lower) - middle
    return middle, max(fence, LEAST_FENCE * max(deviation, LEAST_SPREAD))


def contamination_findings(
    samples: Sequence[Sample], standing: NDArray[np.float64], suspicious: NDArray[np.bool_], *, trusted: bool
) -> list[Finding]:
    """One line for each product with suspicious images, and one for all products too small to be judged."""
    findings: list[Finding] = []
    products = np.array([sample.product for sample in samples])
    few: list[str] = []
    for product in np.unique(products).tolist():
        own = np.flatnonzero(products == product)
        worst = [int(i) for i in own[np.argsort(-standing[own], kind="stable")] if suspicious[i]]
        if np.isnan(standing[own]).all():
            few.append(product)
        if not worst:
            continue
        names = ", ".join(samples[i].path.name for i in worst[:NAMED])
        more = f" and {len(worst) - NAMED} more" if len(worst) > NAMED else ""
        done = "learned as good, as --trust says" if trusted else "left out"
        findings.append(
            Finding(
                "suspicious",
                f"{product}: {len(worst)} of {len(own)} training images look unlike all others, as defective parts "
                f"would, and were {done}: {names}{more}",
                tuple(samples[i].path for i in worst),
            )
        )
    if few:
        findings.append(
            Finding(
                "few_parts",
                ", ".join(few[:NAMED])
                + (f" and {len(few) - NAMED} more products" if len(few) > NAMED else "")
                + f": fewer than {LEAST_PARTS} different parts: whether a defective one is among them cannot be told",
            )
        )
    return findings
