"""The record of one part: what was decided, why, when, by which engine, of which order. The journal keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, NamedTuple

from ...runtime.verdict import Blob

VerdictName = Literal["good", "reject", "unknown", "failsafe"]
Action = Literal["pass", "reject", "hold"]
FOREIGN = ("mismatch", "unlearned", "region")
"""Reasons by which recognition stops a part of a camera that always sees one product."""


@dataclass(frozen=True)
class Order:
    """What is being made: carried by records of parts that are triggered from then on. All of it is plain text."""

    order: str | None = None
    """The order's number."""
    lot: str | None = None
    operator: str | None = None
    """Who works at the line, as told; nobody checks it."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Whatever else, by name."""

    def __bool__(self) -> bool:
        return self != NO_ORDER

    def __str__(self) -> str:
        own = (("order", self.order), ("lot", self.lot), ("operator", self.operator))
        named = [f"{name} {value}" for name, value in own if value is not None]
        return ", ".join([*named, *(f"{name} {value}" for name, value in self.fields.items())]) or "no order"

    def plain(self) -> dict[str, object]:
        """As JSON has it."""
        return asdict(self)


NO_ORDER = Order()


class PictureFile(NamedTuple):
    """The file that a part's picture was read from: a file that was written to since is another one."""

    name: str
    """Without its folder."""
    size: int
    """In bytes."""
    mtime_ns: int
    """When it was last written to, nanoseconds since 1970."""


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
    (``unconfirmed``), or what recognition holds against the camera's product (``mismatch``: taken for another one;
    ``unlearned``: like none that was learned; ``region``: a defect may be hidden); None otherwise."""
    part: str | None = None
    """The part's id, as it came with the trigger."""
    encoder: int | None = None
    """Encoder count at the trigger."""
    product: str | None = None
    product_distance: float | None = None
    score: float | None = None
    threshold: float | None = None
    """That applied. Score, threshold and peaks are on the score scale; None where nothing was judged, and
    where the part is so far from every product that no threshold applies."""
    blobs: tuple[Blob, ...] = ()
    engine: str = ""
    """SHA-256 of the engine or graph that ran."""
    recipe: str = ""
    """Name in the bundle's manifest; a copy of the bundle in another folder keeps it."""
    threshold_version: int = 0
    """Grows with every change of a threshold."""
    shadow: bool = False
    """Decided, but not acted upon: in shadow mode, or of a watched folder's file that was there before the line."""
    image: str | None = None
    """Path of the part's picture below the journal's folder; None if none was kept."""
    heatmap: str | None = None
    recognised: str | None = None
    """The learned product that it looked most like, whatever the camera's product; None where nothing was judged."""
    warning: str | None = None
    """Under which standing warning it was judged: ``threshold`` (far from that of training), ``not compared`` (the
    camera's product was taken on trust), or both; None under none."""
    file: str | None = None
    """Name of the file that the picture came from, where the camera is a folder."""
    file_size: int | None = None
    file_mtime_ns: int | None = None
    """As in `PictureFile`."""
    picture_age_ms: float | None = None
    """Since its picture was received, when the verdict stood; None where it had none, or the picture was fetched for it
    (a file)."""
    order: str | None = None
    lot: str | None = None
    operator: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    """What was being made at its trigger, as in `Order`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as the journal holds it."""

    id: int
    """Position in the journal: grows by one a record, never used twice."""
    run: int
    record: Record
    message_id: str
    """Unique in the world: receivers that may get a message twice tell by it."""


REASONS = {
    "paused": "the line was paused",
    "deadline": "no verdict in time",
    "dropped": "pushed out of the queue: parts came faster than they are judged",
    "camera": "no picture from the camera",
    "corrupt": "the picture was damaged",
    "black": "the picture was black",
    "blurred": "the picture was blurred, or the lens covered",
    "frozen": "the picture did not change",
    "size": "the picture had another size",
    "engine": "the engine failed",
    "journal": "the journal could not be written",
    "shutdown": "the line was stopping",
    "unconfirmed": "above the threshold, but passed: the rules ask for more",
    "mismatch": "taken for another product than the camera's",
    "unlearned": "like no product that was learned",
    "region": "a defect may be hidden",
}
"""Why a part has the verdict it has, in words. A reason that is not here is shown as the journal has it."""
