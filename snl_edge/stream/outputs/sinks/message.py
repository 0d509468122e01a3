"""The message: a verdict as receivers get it, one JSON document. The one place where its form is defined."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ...records.record import Action, Entry, VerdictName

VERSION = 1
"""Grows when a field changes its meaning or goes. New fields may come without: receivers skip what they don't know."""


class Region(BaseModel):
    """A connected region of the map above the threshold; all but ``peak`` are shares (0 to 1) of the picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    x: float
    y: float
    width: float
    height: float
    area: float
    peak: float


class Message(BaseModel):
    """A verdict. The same ``message_id`` means the same verdict: a receiver keeps the first and drops the others."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="snl-edge verdict")

    version: Literal[1] = VERSION
    message_id: str = Field(description="Unique in the world; the same in every repetition.")
    run: int = Field(description="Number of the run; sequence numbers start again with each.")
    camera: str
    sequence: int = Field(description="Number of the trigger at this camera in this run, from 0, without gaps.")
    captured: datetime = Field(description="When the trigger fired, UTC.")
    decided: datetime = Field(description="When the verdict stood, UTC.")
    latency_ms: float = Field(description="From trigger to verdict, by a clock that never jumps.")
    verdict: VerdictName
    action: Action = Field(description="What the line was to do with the part.")
    shadow: bool = Field(description="Decided, but not acted upon.")
    reason: str | None = Field(
        description="Why it is failsafe, why a reject passes, or what recognition holds against the camera's product."
    )
    part: str | None = Field(description="The part's id, as it came with the trigger.")
    encoder: int | None
    file: str | None = Field(description="Name of the file that the picture came from, where the camera is a folder.")
    product: str | None
    recognised: str | None = Field(description="The learned product it looked most like, whatever the camera's own.")
    product_distance: float | None
    score: float | None = Field(
        description="On the scale of `threshold`, to be held against it. Null where nothing was judged."
    )
    threshold: float | None = Field(description="The one that applied. Null where none did.")
    threshold_version: int
    warning: str | None = Field(description="Standing warning under which it was judged.")
    regions: tuple[Region, ...]
    recipe: str = Field(
        description="Name in the bundle's manifest, the same in every copy; people choose by that of its folder."
    )
    engine: str = Field(description="SHA-256 of the engine or graph that ran.")
    image: str | None = Field(description="Path of the kept picture below the journal's folder.")
    heatmap: str | None
    order: str | None = Field(description="The order that was being made when the trigger fired.")
    lot: str | None
    operator: str | None = Field(description="Who worked at the line, as told; not checked.")
    fields: dict[str, str] = Field(description="What else the plant gave with the order.")


def message(entry: Entry) -> Message:
    """An entry of the journal as a message."""
    record = entry.record
    return Message(
        message_id=entry.message_id,
        run=entry.run,
        camera=record.camera,
        sequence=record.sequence,
        captured=datetime.fromtimestamp(record.captured, timezone.utc),
        decided=datetime.fromtimestamp(record.decided, timezone.utc),
        latency_ms=record.latency_ms,
        verdict=record.verdict,
        action=record.action,
        shadow=record.shadow,
        reason=record.reason,
        part=record.part,
        encoder=record.encoder,
        file=record.file,
        product=record.product,
        recognised=record.recognised,
        product_distance=record.product_distance,
        score=record.score,
        threshold=record.threshold,
        threshold_version=record.threshold_version,
        warning=record.warning,
        regions=tuple(
            Region(x=blob.x, y=blob.y, width=blob.width, height=blob.height, area=blob.area, peak=blob.peak)
            for blob in record.blobs
        ),
        recipe=record.recipe,
        engine=record.engine,
        image=record.image,
        heatmap=record.heatmap,
        order=record.order,
        lot=record.lot,
        operator=record.operator,
        fields=dict(record.fields),
    )


def encode(entry: Entry) -> bytes:
    """An entry as one line of JSON, UTF-8."""
    return message(entry).model_dump_json().encode()


def json_schema() -> dict[str, Any]:
    """JSON Schema of a message, for receivers that check what they get."""
    return Message.model_json_schema(mode="serialization")
