"""The journal as the line's file describes it: where it lies, which pictures it keeps, for how long."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ..records.record import VerdictName
from ..settings import Milliseconds, Settings


class PictureSettings(Settings):
    """Which pictures are kept, and how long."""

    of: tuple[VerdictName, ...] = ("reject", "unknown", "failsafe")
    """Verdicts whose pictures and heatmaps are kept."""
    good_every: int | None = Field(default=None, ge=1)
    """Keep each n-th good part's picture, too."""
    format: Literal["png", "jpeg"] = "png"
    """``png`` keeps what was judged, bit by bit; ``jpeg`` takes far less space and time, but judged again it may give
    another verdict. Heatmaps are JPEG."""
    jpeg_quality: int | None = Field(default=None, ge=50, le=100)
    """With ``format: jpeg``; higher shows more and takes more space. 92 if not given."""
    keep_days: float = Field(default=90, gt=0, le=36_500)
    """Older ones are removed; their verdicts stay."""
    keep_gib: float = Field(default=20, gt=0)
    """When all pictures together take more, the oldest are removed."""
    min_free_gib: float = Field(default=1, ge=0)
    """With less space on the disk, no picture is written and the oldest are removed: verdicts need the space."""

    @model_validator(mode="after")
    def _quality_of_jpeg(self) -> PictureSettings:
        if self.jpeg_quality is not None and self.format != "jpeg":
            raise ValueError("jpeg_quality needs format: jpeg; pictures are kept as PNG, without loss")
        return self


class JournalSettings(Settings):
    """Where verdicts are kept, and what happens when they cannot be."""

    folder: Path = Path("journal")
    """On a local disk; a network share would not survive a power cut in one piece."""
    keep_days: float | None = Field(default=730, gt=0)
    """Older verdicts are removed, once every sink has delivered them; null: never."""
    pictures: PictureSettings = PictureSettings()
    """Which pictures are kept, and how long."""
    patience_ms: Milliseconds = 100.0
    """When the disk takes longer than this, actuators act without waiting for it."""
    backlog: int = Field(default=10_000, ge=100)
    """So many verdicts wait in memory while the disk refuses; beyond, every part gets the fail-safe verdict."""
    ballast_mib: int = Field(default=16, ge=1)
    """Space held back in a file, and given to the journal when the disk is full."""

    @model_validator(mode="after")
    def _pictures_go_first(self) -> JournalSettings:
        if self.keep_days is not None and self.keep_days < self.pictures.keep_days:
            raise ValueError("keep_days must not be less than pictures.keep_days: a picture needs its record")
        return self
