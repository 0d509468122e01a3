"""Where a part is: from its trigger to the moment when it stands before the actuator, like a shift register."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Literal

from ...records.record import Record
from .actuator_settings import ActuatorSettings, Encoder, Time

REMEMBERED = 2048
"""Positions remembered per camera, for verdicts that come after the part has moved on."""
WRAP = 1 << 32
"""Encoder counters of 32 bit begin again at 0."""


@dataclass(frozen=True, slots=True)
class ActuatedPart:
    """A part that an actuator is to move for."""

    run: int
    record: Record
    captured: float
    """When its trigger fired, seconds of ``time.monotonic``."""


@dataclass(frozen=True, slots=True)
class Position:
    """What was known of the line at one moment: mostly a trigger, else a reading of the encoder."""

    at: float
    """Seconds of ``time.monotonic``."""
    sequence: int | None = None
    encoder: int | None = None


@dataclass(frozen=True, slots=True)
class Missed:
    """A part for which there is no right moment."""

    outcome: Literal["late", "failed"]
    why: str


class Travel:
    """Due times of parts, by time, by parts or by encoder. Not thread-safe: the actuator holds its lock."""

    def __init__(self, settings: ActuatorSettings) -> None:
        self._travel = settings.travel
        self._past: defaultdict[str, deque[Position]] = defaultdict(lambda: deque(maxlen=REMEMBERED))
        self._waiting: defaultdict[str, list[ActuatedPart]] = defaultdict(list)

    def place(self, part: ActuatedPart) -> float | Missed | None:
        """When the part is due, seconds of ``time.monotonic``; None if that is yet to be seen: `moved` will tell."""
        if isinstance(self._travel, Time):
            return part.captured + self._travel.delay_ms / 1e3
        if isinstance(self._travel, Encoder) and part.record.encoder is None:
            return Missed("failed", "its trigger came without an encoder count")
        camera = part.record.camera
        arrival = next((position for position in self._past[camera] if self._reached(part, position)), None)
        if arrival is None:
            self._waiting[camera].append(part)
            return None
        return self._due(part, arrival)

    def moved(self, camera: str, position: Position) -> list[tuple[ActuatedPart, float | Missed]]:
        """Takes a camera's new position and returns the waiting parts that have arrived, with what `place` says."""
        if isinstance(self._travel, Time):
            return []
        self._past[camera].append(position)
        waiting = self._waiting[camera]
        arrived = [part for part in waiting if self._reached(part, position)]
        if arrived:
            self._waiting[camera] = [part for part in waiting if not self._reached(part, position)]
        return [(part, self._due(part, position)) for part in arrived]

    @property
    def waiting(self) -> int:
        """Parts that have not arrived so far."""
        return sum(map(len, self._waiting.values()))

    def abandon(self) -> list[ActuatedPart]:
        """Forgets the parts that still wait, and returns them."""
        waiting = [part for parts in self._waiting.values() for part in parts]
        self._waiting.clear()
        return waiting

    def _due(self, part: ActuatedPart, arrival: Position) -> float | Missed:
        assert not isinstance(self._travel, Time)
        if isinstance(self._travel, Encoder):
            beyond = self._beyond(part, arrival)
            if beyond > self._travel.tolerance_counts:
                return Missed("late", f"first seen {beyond} counts beyond the actuator")
        return arrival.at + self._travel.delay_ms / 1e3

    def _reached(self, part: ActuatedPart, position: Position) -> bool:
        if isinstance(self._travel, Encoder):
            return position.encoder is not None and self._beyond(part, position) < WRAP // 2
        assert not isinstance(self._travel, Time)
        return position.sequence is not None and position.sequence >= part.record.sequence + self._travel.parts

    def _beyond(self, part: ActuatedPart, position: Position) -> int:
        assert isinstance(self._travel, Encoder)
        assert part.record.encoder is not None
        assert position.encoder is not None
        return (position.encoder - part.record.encoder - self._travel.counts) % WRAP
