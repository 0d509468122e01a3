"""What all settings of a line have in common, and those that several parts of it share."""

from __future__ import annotations

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
