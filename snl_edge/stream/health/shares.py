"""How many of the last parts could not be judged, came late, or were of another product: one light for all of it."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterator
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from ..control.interface import Check
from ..records.record import FOREIGN, Record
from ..settings import Settings, Share

NAME = "parts"
Kind = Literal["dropped", "late", "failsafe", "mismatch", "unknown"]
_FEWEST = 100
"""Fewer parts count as so many: the first fail-safe part of a run is no share of one half."""
_WANTED = ("paused", "shutdown")
"""Reasons for which parts are not judged because somebody wants it so."""
_SAYS: dict[Kind, str] = {
    "dropped": "were dropped: the engine is slower than parts come",
    "late": "had no verdict by their deadline",
    "failsafe": "got the fail-safe verdict",
    "mismatch": "are not the camera's product: wrong parts, or another recipe",
    "unknown": "are of no learned product: wrong parts, or another recipe",
}


class ShareLimits(Settings):
    """From which share of the parts on the light is yellow, and red."""

    warning: Share
    """Yellow from this share on."""
    failed: Share
    """Red from this share on."""

    @model_validator(mode="after")
    def _in_order(self) -> ShareLimits:
        if not 0 < self.warning <= self.failed:
            raise ValueError("warning must be above 0 and not above failed")
        return self


_USUAL = ShareLimits(warning=0.01, failed=0.05)


class SharesSettings(Settings):
    """When too many of a camera's last parts were not judged as they should be. null for a limit: not looked at."""

    window: int = Field(default=500, ge=_FEWEST, le=100_000)
    """The last so many parts of each camera are looked at."""
    failsafe: ShareLimits = _USUAL
    """Parts with the fail-safe verdict, for whatever reason but a pause and the end of the run."""
    dropped: ShareLimits = _USUAL
    """Of these, those pushed out of the queue."""
    late: ShareLimits = _USUAL
    """Of these, those without a verdict at their deadline."""
    mismatch: ShareLimits | None = _USUAL
    """Parts that are not the camera's ``product``."""
    unknown: ShareLimits | None = ShareLimits(warning=0.02, failed=0.1)
    """Parts of no learned product, where the camera has no ``product``."""


class _Excess(NamedTuple):
    """One share beyond a limit; the largest comes first."""

    failed: bool
    of_limit: float
    text: str


class Shares:
    """Counts the last parts of each camera. Any thread may call any method."""

    def __init__(self, settings: SharesSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._windows: dict[str, deque[tuple[Kind | None, str]]] = {}

    def take(self, record: Record) -> None:
        """Takes one more verdict into account."""
        if record.reason in _WANTED:
            return
        with self._lock:
            window = self._windows.setdefault(record.camera, deque(maxlen=self._settings.window))
            window.append((_kind(record), record.reason or ""))

    def check(self) -> Check:
        """Its line on the health page: the worst share, and how many others there are."""
        with self._lock:
            windows = {camera: list(window) for camera, window in self._windows.items()}
        found = sorted(
            (excess for camera, window in windows.items() for excess in self._excesses(camera, window)),
            key=lambda excess: (not excess.failed, -excess.of_limit),
        )
        if not found:
            return Check(NAME, "ok", f"the last {self._settings.window} of each camera were judged as they should be")
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        return Check(NAME, "failed" if found[0].failed else "warning", found[0].text + more)

    def _excesses(self, camera: str, window: list[tuple[Kind | None, str]]) -> Iterator[_Excess]:
        counts = Counter(kind for kind, _ in window if kind)
        reasons = Counter(reason for kind, reason in window if kind in ("dropped", "late", "failsafe"))
        for kind, says in _SAYS.items():
            count = reasons.total() if kind == "failsafe" else counts[kind]
            limits: ShareLimits | None = getattr(self._settings, kind)
            share = count / max(len(window), _FEWEST)
            if limits is None or not count or share < limits.warning:
                continue
            if kind == "failsafe":
                (most, _), *_ = reasons.most_common(1)
                says = f"{says}, most for {most!r}"  # noqa: PLW2901
            text = f"{count} of the last {len(window)} parts of camera {camera} {says}"
            yield _Excess(share >= limits.failed, share / limits.warning, text)


def _kind(record: Record) -> Kind | None:
    if record.verdict == "failsafe":
        return "dropped" if record.reason == "dropped" else "late" if record.reason == "deadline" else "failsafe"
    if record.reason in FOREIGN:
        return "mismatch"
    return "unknown" if record.verdict == "unknown" else None
