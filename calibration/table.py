"""The calibration table: which range every quantised tensor has, why, and which images it was measured on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from snl_edge.atomic import write_text
from snl_edge.errors import ConfigError
from snl_edge.outside.files import reason
from snl_edge.outside.json_text import faults, read_model
from snl_edge.runtime.manifest import PositiveFinite, Sha256

from .images import Damage
from .ranges import Method

FILE = "calibration.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorRange(_Frozen):
    """One tensor of the FP32 graph."""

    read_by: tuple[str, ...]
    """Layers and additions that read it as INT8."""
    method: Method
    range: PositiveFinite
    """Largest magnitude that INT8 tells apart."""
    largest: float
    """Largest magnitude seen."""
    map_errors: dict[Method, float]
    """By method: how far the map moves if this tensor alone is INT8 (root mean square, calibrated scale)."""


class ImageRecord(_Frozen):
    """One image of the calibration set."""

    product: str
    file: str
    sha256: Sha256
    damage: Damage


class CalibrationTable(_Frozen):
    """The content of ``calibration.json``; the same model, images and seed give the same bytes."""

    schema_version: Literal[1] = 1
    network_sha256: Sha256
    """Of the FP32 graph without its gain."""
    seed: int
    tensors: dict[str, TensorRange] = Field(min_length=1)
    images: tuple[ImageRecord, ...]

    @property
    def ranges(self) -> dict[str, float]:
        """The range of every tensor."""
        return {name: tensor.range for name, tensor in self.tensors.items()}

    @property
    def good_images(self) -> int:
        """How many of the images are not damaged."""
        return sum(image.damage == "none" for image in self.images)

    def write(self, path: Path) -> Path:
        """Writes the table, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        write_text(path, self.text())
        return path

    def text(self) -> str:
        """The table as JSON, a line for every entry."""
        return self.model_dump_json(indent=1) + "\n"

    def check_model(self, network_sha256: str, path: Path) -> None:
        """Refuses a table that was measured on another network.

        Raises:
            ConfigError: it was.
        """
        if self.network_sha256 != network_sha256:
            raise ConfigError(
                f"{path} is the calibration table of another model",
                f"it was measured on network {self.network_sha256[:12]}, and this one is {network_sha256[:12]}",
                "calibrate this one: snl-edge calibrate DATA --model RUN",
            )


def read_table(path: Path) -> CalibrationTable:
    """Reads a calibration table.

    Raises:
        ConfigError: it cannot be read or is no calibration table.
    """
    try:
        return read_model(CalibrationTable, path)
    except OSError as error:
        raise ConfigError(
            f"cannot read calibration table {path}",
            reason(error),
            "make it: snl-edge calibrate DATA --model RUN",
        ) from error
    except ValueError as error:
        raise ConfigError(f"{path} is no calibration table", faults(error), "calibrate again") from error


def rounded(value: float) -> float:
    """Six significant digits: readable, and finer than any range need be."""
    return float(f"{value:.6g}")
