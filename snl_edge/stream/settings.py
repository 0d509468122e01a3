"""What all settings of a line have in common, and those that several parts of it share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
FailsafeAction = Literal["reject", "hold"]
Share = Annotated[float, Field(ge=0, le=1)]
LARGEST = 1e9
"""No number of a line's file is beyond it: as seconds 31 years, and clocks end at 292."""


class Settings(BaseModel):
    """A block of ``line.yaml``: a name it does not know is an error, not silence, and so is a number that is none."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _numbers_of_use(self) -> Settings:
        for name, value in self:
            if isinstance(value, int | float) and abs(value) > LARGEST:
                raise ValueError(f"{name} is {value:g}, and {LARGEST:g} is the most")
        return self


class EngineSettings(Settings):
    """What runs the bundle."""

    backend: Literal["auto", "tensorrt", "tensorrt_rtx", "openvino", "onnxruntime"] = "auto"
    """``auto`` takes the fastest that works here."""
    precision: Literal["auto", "fp32", "fp16", "bf16", "int8"] = "auto"
    """``auto``: what the engine is on a GPU; on a CPU the fastest that passed the accuracy gate there."""
    device: int = Field(default=0, ge=0)
    """Number of the GPU."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """CPU threads of OpenVINO and ONNX Runtime; all cores if not given."""
    max_batch: int | None = Field(default=None, ge=1, le=4096)
    """Largest batch that is formed. If not given, the engine's own limit on a GPU, 1 on a CPU, which gains nothing."""
    max_wait_ms: float = Field(default=0.0, ge=0, le=60_000)
    """How long the first picture of a batch waits for others; 0: whatever is there goes at once."""
    in_flight: int = Field(default=1, ge=1, le=4)
    """Batches that run at once on one engine; 2 keeps a GPU busy while results are copied."""
    trusted_keys: Path | None = None
    """Folder of public keys: only bundles and engines that one of them has signed are run. If not given, what
    ``SNL_EDGE_TRUSTED_KEYS`` names."""
