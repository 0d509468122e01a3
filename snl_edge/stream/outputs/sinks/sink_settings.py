"""What all sinks have in common in the configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SinkSettings(BaseModel):
    """Settings of every sink."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """Name of its cursor in the journal, unique on this line; if not given, its type. A new name is a new sink."""
    verdicts: Literal["all", "not_good"] = "all"
    """Deliver every verdict, or all but ``good``."""
    backfill: bool = False
    """When the sink is new to a journal: also deliver what the journal already holds."""
    batch: int = Field(default=100, ge=1, le=1000)
    """Most verdicts handed over at a time."""
    timeout_s: float = Field(default=5.0, gt=0, le=60)
    """For connecting, and for the receiver's confirmation."""
    retry_first_s: float = Field(default=0.5, gt=0, le=60)
    """Pause after the first failure; it doubles with each further one, with jitter."""
    retry_most_s: float = Field(default=30.0, gt=0, le=600)
    """Longest pause between two tries."""
    alarm_after_s: float = Field(default=60.0, ge=0)
    """How long a receiver may be away before the health page shows the sink as failed instead of a warning; and how far
    it may be behind with what it takes before there is a warning."""
