"""What all actuators have in common in the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Time(BaseModel):
    """The part is at the actuator a fixed time after its trigger: a belt of constant speed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    by: Literal["time"]
    delay_ms: float = Field(ge=0)
    """From its trigger to the actuator."""


class Parts(BaseModel):
    """The part is at the actuator when so many further parts of its camera have been triggered: an indexed line."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    by: Literal["parts"]
    parts: int = Field(ge=1, le=1000)
    """How many parts further."""
    delay_ms: float = Field(default=0.0, ge=0)
    """From that trigger on."""


class Encoder(BaseModel):
    """The part is at the actuator when the encoder has counted so much further: a belt of any speed, that may stop."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    by: Literal["encoder"]
    counts: int = Field(ge=1)
    """From its trigger to the actuator."""
    tolerance_counts: int = Field(ge=0)
    """If the first count that is seen from there on is further by more than that, the part has gone by: it is late."""
    delay_ms: float = Field(default=0.0, ge=0)
    """From there on."""


class ActuatorSettings(BaseModel):
    """Settings of every actuator."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """Unique on this line; if not given, its type."""
    actions: tuple[Literal["reject", "hold"], ...] = Field(default=("reject",), min_length=1)
    """It moves for parts with one of these actions."""
    cameras: tuple[str, ...] | None = None
    """It moves for the parts of these cameras; if not given, of all."""
    travel: Annotated[Time | Parts | Encoder, Field(discriminator="by")] = Time(by="time", delay_ms=0.0)
    """When the part is at the actuator."""
    tolerance_ms: float = Field(default=20.0, gt=0)
    """A part whose time is past by more than that is let go: moving now would hit another."""
    pulse_ms: float = Field(default=100.0, gt=0, le=60_000)
    """How long the output stays on. Pulses that overlap become one."""

    def too_late(self, deadline_ms: float | None) -> str | None:
        """What is wrong where verdicts may come when their part has gone by; None where each comes in time, or where
        only the running line can tell.

        Args:
            deadline_ms: from trigger to verdict; None: no deadline.
        """
        if not isinstance(self.travel, Time):
            return None
        gone = self.travel.delay_ms + self.tolerance_ms
        if deadline_ms is not None and deadline_ms <= gone:
            return None
        until = "without end" if deadline_ms is None else f"until {deadline_ms:g} ms after the trigger"
        return (
            f"its part has gone by {gone:g} ms after the trigger (travel, tolerance_ms), but verdicts may come "
            f"{until}: rejects among these pass; set deadline_ms to {gone:g} at most"
        )
