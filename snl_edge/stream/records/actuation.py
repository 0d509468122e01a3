"""What actuators were to do for a part, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["done", "late", "failed", "unknown", "open"]
"""``unknown``: the process ended before it was known; ``open``: not known yet, which only an intent is."""

_NAMED = 4
"""Runs that are named one by one."""


@dataclass(frozen=True)
class Actuation:
    """What became of one part's reject (or hold) at one actuator."""

    run: int
    camera: str
    sequence: int
    actuator: str
    outcome: Outcome
    time: float
    """Seconds since 1970 when that was known; of an open one, when its verdict stood."""
    late_ms: float | None
    """From the due time to the moment the output had moved; None where it did not move."""
    detail: str = ""
    """Why it was late, failed or is unknown."""
    acknowledged: float | None = None
    """Seconds since 1970 when somebody acknowledged an unknown one; who it was is in the audit."""


@dataclass(frozen=True)
class Unaccounted:
    """Rejects without a known outcome that nobody has acknowledged."""

    rejects: int
    runs: tuple[int, ...]
    last: int
    """Id of the newest of their outcomes: an acknowledgement covers what its giver saw, and nothing later."""

    def __str__(self) -> str:
        named = ", ".join(map(str, self.runs))
        many = f"{len(self.runs)} runs up to {self.runs[-1]}" if len(self.runs) > _NAMED else f"runs {named}"
        of = f"run {named}" if len(self.runs) == 1 else many
        return f"{self.rejects} {'reject' if self.rejects == 1 else 'rejects'} of {of}"
