"""The record of one part: what was decided, why, when, by which engine. It is what the journal keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

VerdictName = Literal["good", "reject", "unknown", "failsafe"]
Action = Literal["pass", "reject", "hold"]


@dataclass(frozen=True, slots=True)
class Blob:
    """One connected region of the anomaly map above the threshold.

    Positions are shares (0 to 1) of the inspected region's width and height, so they hold for any resolution.
    """

    x: float
    """Left edge."""
    y: float
    """Upper edge."""
    width: float
    height: float
    area: float
    """Share of the region that the blob covers."""
    peak: float
    """Largest value of the map in it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One triggered part. Every part has exactly one, also where there was no picture or no time."""

    camera: str
    sequence: int
    """Number of the trigger at this camera since the start of the run, from 0, without gaps."""
    captured: float
    """Seconds since 1970 when the trigger fired (wall clock, UTC)."""
    decided: float
    """Seconds since 1970 when the verdict stood."""
    latency_ms: float
    """From trigger to verdict on the monotonic clock: right even when the wall clock jumps."""
    verdict: VerdictName
    action: Action
    """What the line is to do with the part."""
    reason: str | None = None
    """Why the verdict is ``failsafe`` (deadline, dropped, camera, engine, frozen, black, …), a reject passes
    (``unconfirmed``), or a part of a named product is ``unknown`` (``region``); None otherwise."""
    part: str | None = None
    """The part's id, as it came with the trigger."""
    encoder: int | None = None
    """Encoder count at the trigger."""
    product: str | None = None
    product_distance: float | None = None
    score: float | None = None
    threshold: float | None = None
    """That applied. Score, threshold and peaks are on the calibrated scale; None where nothing was judged, and where the
    part is so far from every product that no threshold applies."""
    blobs: tuple[Blob, ...] = ()
    engine: str = ""
    """SHA-256 of the engine or graph that ran."""
    recipe: str = ""
    """Name of the bundle."""
    threshold_version: int = 0
    """Grows with every change of a threshold."""
    shadow: bool = False
    """Decided, but not acted upon."""
    image: str | None = None
    """Path of the part's picture below the journal's folder; None if none was kept."""
    heatmap: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as the journal holds it."""

    id: int
    """Position in the journal: grows by one a record, never used twice."""
    run: int
    record: Record
    message_id: str
    """Unique in the world: receivers that may get a message twice tell by it."""
