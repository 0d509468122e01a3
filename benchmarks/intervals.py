"""How sure a median over rounds is, and a ratio of two: bootstrap intervals.

After Efron, "Bootstrap methods" (Ann. Stat. 7(1), 1979). Rounds, not calls, are drawn: calls of one round share
its weather.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

DRAWS = 4000
CONFIDENCE = 95
ENOUGH_ROUNDS = 5
"""With fewer an interval would promise more than it knows."""


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """The median over rounds of ``ours / theirs``, both measured in the same round, and its interval."""
    ratios = np.array([own / peer for own, peer in zip(ours, theirs, strict=True)])
    rng = np.random.default_rng(0)
    drawn = np.median(rng.choice(ratios, (DRAWS, len(ratios))), axis=1)
    return _with_interval(float(np.median(ratios)), drawn, len(ratios)) | {"rounds": [round(r, 4) for r in ratios]}


def unpaired_ratio(after: Sequence[float], before: Sequence[float]) -> dict[str, Any]:
    """The ratio of the medians over rounds of two separate runs, and its interval."""
    rng = np.random.default_rng(0)
    drawn = [np.median(rng.choice(np.asarray(values), (DRAWS, len(values))), axis=1) for values in (after, before)]
    ratio = float(np.median(after) / np.median(before))
    return _with_interval(ratio, drawn[0] / drawn[1], min(len(after), len(before)))


def _with_interval(ratio: float, drawn: Any, rounds: int) -> dict[str, Any]:
    interval = None
    if rounds >= ENOUGH_ROUNDS:
        low, high = np.percentile(drawn, [(100 - CONFIDENCE) / 2, (100 + CONFIDENCE) / 2])
        interval = [round(float(low), 4), round(float(high), 4)]
    return {"ratio": round(ratio, 4), "interval": interval}
