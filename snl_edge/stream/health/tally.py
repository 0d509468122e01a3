"""Counts and latencies of the running line; no counter may cost a verdict."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping

import numpy as np

from ..control.interface import Check
from ..pipeline.parts import Part
from ..records.record import Record

_log = logging.getLogger(__name__)
_LATEST = 1000
_RATE_SECONDS = 10


class Tally:
    """Counts verdicts. Any thread may call any method."""

    def __init__(self) -> None:
        self.verdicts: Counter[str] = Counter(good=0, reject=0, unknown=0, failsafe=0)
        self.reasons: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._latencies: deque[float] = deque(maxlen=_LATEST)
        self._scores: dict[str, deque[float]] = {}
        self._seconds: deque[tuple[int, int]] = deque([(int(time.monotonic()), 0)], maxlen=_RATE_SECONDS + 1)
        self._since = time.monotonic()

    def count(self, record: Record) -> None:
        """Takes one more verdict into account."""
        second = int(time.monotonic())
        with self._lock:
            self.verdicts[record.verdict] += 1
            if record.verdict == "failsafe":
                self.reasons[record.reason or ""] += 1
            self._latencies.append(record.latency_ms)
            if record.score is not None:
                self._scores.setdefault(record.product or "unknown", deque(maxlen=_LATEST)).append(record.score)
            last, count = self._seconds[-1]
            if last == second:
                self._seconds[-1] = (second, count + 1)
            else:
                self._seconds.append((second, 1))

    def rate(self) -> float:
        """Parts a second over the last ten whole seconds."""
        now = time.monotonic()
        with self._lock:
            counted = sum(count for second, count in self._seconds if int(now) - _RATE_SECONDS <= second < int(now))
        return counted / min(_RATE_SECONDS, max(1.0, now - self._since))

    def latency_ms(self, *quantiles: float) -> list[float]:
        """Quantiles of the latency from trigger to verdict over the last 1,000 parts; 0 before the first."""
        with self._lock:
            latest = list(self._latencies)
        return [float(value) for value in np.quantile(latest, quantiles)] if latest else [0.0] * len(quantiles)

    def score_quantiles(self, *quantiles: float) -> dict[str, list[float]]:
        """By product, quantiles of the score over its last 1,000 parts."""
        with self._lock:
            scores = {product: list(values) for product, values in self._scores.items()}
        return {product: [float(v) for v in np.quantile(values, quantiles)] for product, values in scores.items()}


class Counting:
    """Hands each verdict to all counters. A counter that fails costs neither the verdict nor the other counters.

    Any thread may call any method.

    Args:
        counters: by what they count, as the health page calls it.
    """

    def __init__(self, counters: Mapping[str, Callable[[Part, Record], None]]) -> None:
        self._counters = counters
        self._problems: dict[str, str] = {}

    def take(self, part: Part, record: Record) -> None:
        """Counts a verdict."""
        for name, count in self._counters.items():
            try:
                count(part, record)
            except Exception as error:
                if name not in self._problems:
                    _log.exception("counting %s", name)
                self._problems[name] = f"{type(error).__name__}: {error}"

    def checks(self) -> list[Check]:
        """A line on the health page for each counter that has failed: what it shows is wrong from then on."""
        return [
            Check(f"counting {name}", "failed", f"{problem}: its figures are wrong; restart the service")
            for name, problem in dict(self._problems).items()
        ]
