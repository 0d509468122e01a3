"""Latencies: calls measured one after the other, their percentiles, and how sure a ratio of two runs is.

Intervals are bootstrap intervals after Efron, "Bootstrap methods" (Ann. Stat. 7(1), 1979). Rounds are resampled, not
calls: calls of one round are not independent, as whatever else the machine did then slowed all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Call = Callable[[int], float]
"""Runs one batch of that size, of frames not seen in the last call; returns the seconds it took."""
PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p99_9": 99.9}
CURVE = (0, 1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 92.5, 95, 97, 98, 99, 99.5, 99.9, 100)
"""Percentiles kept for drawing the distribution."""


def timed(run: Callable[[int], object]) -> Call:
    """A call measured by the host's clock."""

    def call(batch: int) -> float:
        started = time.perf_counter()
        run(batch)
        return time.perf_counter() - started

    return call


def alternate(calls: Mapping[str, Call], batch: int, seconds: float, least: int = 5) -> dict[str, list[float]]:
    """Seconds of each call, made in turn for about ``seconds`` a way, and at least ``least`` times each.

    In turn, so that a slow moment of the machine slows all ways alike and their ratios stay valid.
    """
    taken: dict[str, list[float]] = {way: [] for way in calls}
    stop = time.perf_counter() + seconds * len(calls)
    done = 0
    while done < least or time.perf_counter() < stop:
        for way, call in calls.items():
            taken[way].append(call(batch))
        done += 1
    return taken


def summarise_latency(rounds: Sequence[Sequence[float]], budget_ms: float | None) -> dict[str, Any]:
    """Figures of one way to run one batch, in milliseconds, from the seconds of every call of every round.

    A percentile that so few calls cannot show is None: p99 takes 100 calls, p99.9 takes 1,000. Jitter is the mean
    difference between a call and the one before it, as a line sees it. ``rounds`` keeps the median of every round,
    from which comparisons are made.
    """
    calls = 1e3 * np.concatenate([np.asarray(taken) for taken in rounds])
    jitter = [np.abs(np.diff(taken)).mean() for taken in rounds if len(taken) > 1]
    figures: dict[str, Any] = {
        "calls": len(calls),
        "mean": _ms(calls.mean()),
        "lowest": _ms(calls.min()),
        "highest": _ms(calls.max()),
        **{
            name: _ms(np.percentile(calls, share))
            if round(len(calls) * (100 - share)) >= 100 or name == "p50"
            else None
            for name, share in PERCENTILES.items()
        },
        "jitter": _ms(1e3 * float(np.mean(jitter))) if jitter else None,
        "rounds": [_ms(1e3 * float(np.median(taken))) for taken in rounds],
        "curve": [[share, _ms(value)] for share, value in zip(CURVE, np.percentile(calls, CURVE), strict=True)],
    }
    if budget_ms is not None:
        figures["budget_ms"] = budget_ms
        figures["missed"] = int((calls > budget_ms).sum())
    return figures


def _ms(value: float) -> float:
    return round(float(value), 4)


DRAWS = 4000
CONFIDENCE = 95
ENOUGH_ROUNDS = 5
"""With fewer rounds no interval is given: it would be too narrow."""


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
