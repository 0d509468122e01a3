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
from snl_edge.model.anomaly_map import smooth_upsampling
from snl_edge.model.config import MemoryConfig, SnlConfig
from snl_edge.model.memory_bank import MemoryBank
from snl_edge.scoring.threshold import LEAST_SPREAD

from .coreset import fill_memory

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
ROUNDS = 2
"""Times that a product is judged at most. A third round named one more of 48 planted defects, and more good parts."""
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

    A part that was suspicious in the first round stays so: without its like, rare good parts widen the spread in which
    it is measured.

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
    good, silent = none if good is None else good, none if defective is None else defective
    wide = channels[1] + channels[2]
    own = MemoryConfig(centres=CENTRES, candidates=CANDIDATES, dimensions=WIDEST if wide > WIDEST else None)
    memory = MemoryBank(channels, own, int(products.max()) + 1).to(features([0])[1].device)
    fill_memory(memory, features, products.tolist(), groups.tolist(), own.candidates, batch_size, seed)
    standing, judged, before = np.full(len(products), np.nan), np.arange(len(products)), 0
    found = silent
    for _ in range(ROUNDS):
        memory.forget(products[found].tolist(), groups[found].tolist())
        scores = _strangeness(
            memory, features, judged, products, groups, config, batch_size, progress, counting, before
        )
        before += len(judged)
        standing[judged] = np.fmax(standing[judged], standing_out(scores, products[judged], groups[judged]))
        found = (standing > 1) & ~good & ~silent
        silent = silent | found
        judged = np.flatnonzero(np.isin(products, products[found]))
        if not len(judged):
            break
    return standing


@torch.no_grad()
def _strangeness(
    memory: MemoryBank,
    features: Callable[[Sequence[int]], list[Tensor]],
    images: NDArray[np.intp],
    products: NDArray[np.intp],
    groups: NDArray[np.intp],
    config: SnlConfig,
    batch_size: int,
    progress: Callable[[int, int], None],
    counting: Callable[[Tensor], Tensor | None],
    before: int,
) -> NDArray[np.float64]:
    """How far the strangest place of each of ``images`` is from what the *other* parts of its product show.

    ``progress`` counts the images judged ``before``, too.
    """
    first = features([0])[1]
    device = first.device
    rows, columns = (
        smooth_upsampling(*sides, config.anomaly_map.sigma).to(device)
        for sides in ((first.shape[2], config.height), (first.shape[3], config.width))
    )
    scores = np.empty(len(images))
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        shown = torch.from_numpy(products[batch]).to(device, torch.int32)
        left_out = torch.from_numpy(groups[batch]).to(device, torch.int32)
        (distances,) = memory(features(batch.tolist()), shown, left_out).distances  # [B, h, w]
        maps, counted = rows @ distances @ columns.T, counting(shown)
        maps = maps if counted is None else maps * counted
        scores[start : start + len(batch)] = maps.flatten(1).amax(dim=1).cpu().numpy()
        progress(before + start + len(batch), before + len(images))
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
    """One line for each product with suspicious images."""
    findings: list[Finding] = []
    products = np.array([sample.product for sample in samples])
    for product in np.unique(products).tolist():
        own = np.flatnonzero(products == product)
        worst = [int(i) for i in own[np.argsort(-standing[own], kind="stable")] if suspicious[i]]
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
    return findings


def few_parts_findings(samples: Sequence[Sample], standing: NDArray[np.float64]) -> list[Finding]:
    """One line for all products that are too small to be judged."""
    products = np.array([sample.product for sample in samples])
    few = [product for product in np.unique(products).tolist() if np.isnan(standing[products == product]).all()]
    if not few:
        return []
    more = f" and {len(few) - NAMED} more products" if len(few) > NAMED else ""
    text = f": fewer than {LEAST_PARTS} different parts: whether a defective one is among them cannot be told"
    return [Finding("few_parts", ", ".join(few[:NAMED]) + more + text)]
