"""What a proof measures, and where it works: given once, and handed to every step by the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from snl_edge.runtime.engine_record import FlavourName

if TYPE_CHECKING:
    from snl_edge.model.config import SnlConfig

VARIABLE = "GPU_PROOF_SETTINGS"
TINY = ("height=64", "width=64", "student.embedding=32", "student.cram.centres=8")


class ProofSettings(BaseModel):
    """Of one call."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    work: Path
    """Bundles, engines and lines; the second call goes on with those of the first."""
    out: Path
    """What comes back."""
    root: Path
    """The project's own files, for its tests."""
    presets: tuple[str, ...] = ("edge", "accurate", "balanced")
    precisions: tuple[Literal["fp16", "int8", "fp32"], ...] = ("fp16", "int8", "fp32")
    flavour: FlavourName = "tensorrt_rtx"
    quick: bool = False
    """A dry run: small images, moments instead of seconds, PyTorch on the CPU."""

    @property
    def seconds(self) -> float:
        """Of one measurement."""
        return 0.02 if self.quick else 0.6

    @property
    def torch_device(self) -> Literal["cpu", "cuda"]:
        """Where PyTorch runs."""
        return "cpu" if self.quick else "cuda"

    @property
    def batches(self) -> tuple[int, ...]:
        """What speed is measured at."""
        return (1, 2) if self.quick else (1, 2, 4, 8)

    @property
    def in_flight(self) -> tuple[int, ...]:
        """Batches at a time."""
        return (1, 2) if self.quick else (1, 2, 3, 4)

    def model(self, preset: str) -> SnlConfig:
        """The configuration of a preset."""
        from snl_edge.model.config import override
        from snl_edge.model.presets import preset as named

        return override(named(preset), list(TINY)) if self.quick else named(preset)

    def bundle(self, preset: str) -> Path:
        """Where its bundle lies."""
        return self.work / preset

    def environment(self) -> dict[str, str]:
        """For a step's process."""
        return {VARIABLE: self.model_dump_json()}


def settings_of_this_step() -> ProofSettings:
    """Those that `ProofSettings.environment` handed over."""
    return ProofSettings.model_validate_json(os.environ[VARIABLE])
