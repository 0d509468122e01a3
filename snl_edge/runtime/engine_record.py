"""The side file of an engine: what it was built from, with what, for what.

A prefix inside the engine file would keep trtexec from reading it, so the record stands beside it. An engine that
trtexec cannot read anyway, TensorRT-RTX's, may be packed.
"""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..atomic import write_text
from ..errors import EngineError
from ..outside.files import GIB, read_bytes, reason
from ..outside.json_text import faults, parse_model
from ..outside.packed import unpack_gzip
from .manifest import Precision, Sha256
from .signature import Signature, require_covered

FlavourName = Literal["tensorrt", "tensorrt_rtx"]
MOST_ENGINE, MOST_UNRECORDED = 2 * GIB, GIB // 2
"""Bytes of an engine; of a packed one whose side file does not say how large it is."""
ComputeCapability = Annotated[str, Field(pattern=r"^\d+\.\d+$")]


class Profile(BaseModel):
    """Batch sizes of one of the engine's optimisation profiles; TensorRT tunes for ``opt``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: int = Field(ge=1)
    opt: int
    max: int

    @model_validator(mode="after")
    def _in_order(self) -> Profile:
        if not self.min <= self.opt <= self.max:
            raise ValueError(f"min {self.min}, opt {self.opt}, max {self.max} are not in ascending order")
        return self


class EngineRecord(BaseModel):
    """One engine. A TensorRT engine runs on the kind of GPU it was built on, a TensorRT-RTX engine on those listed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field(pattern=r"^[^/\\]+\.engine$")
    flavour: FlavourName
    version: str
    compute_capabilities: tuple[ComputeCapability, ...] = Field(min_length=1)
    gpu: str | None
    precision: Precision
    profiles: tuple[Profile, ...] = Field(min_length=1)
    """By number; each batch runs in the narrowest that takes it."""
    onnx_sha256: Sha256
    engine_sha256: Sha256
    """Of the file."""
    packed: bool = False
    """Whether the file is a gzip file of the engine."""
    engine_bytes: int | None = Field(default=None, ge=1, le=MOST_ENGINE)
    """Size of a packed engine when it is unpacked; None in records from before it was noted."""
    layers: dict[str, int]
    """Number of layers by kind and data type, such as ``{"convolution float16": 20}``."""
    built: str

    @model_validator(mode="after")
    def _every_batch_has_a_profile(self) -> EngineRecord:
        reached = 0
        for profile in sorted(self.profiles, key=lambda own: own.min):
            if profile.min > reached + 1:
                raise ValueError(f"no profile takes batch {reached + 1}")
            reached = max(reached, profile.max)
        return self

    @property
    def max_batch(self) -> int:
        """The largest batch that it takes."""
        return max(profile.max for profile in self.profiles)

    def write(self, engine: Path) -> None:
        """Writes the side file of ``engine``, whole or not at all.

        Raises:
            OutputError: the folder cannot be written.
        """
        unsaid = (
            {"engine_bytes"} if self.engine_bytes is None else None
        )  # earlier versions refuse what they do not know
        write_text(side_file(engine), self.model_dump_json(indent=2, exclude=unsaid) + "\n")


def side_file(engine: Path) -> Path:
    """``engines/<stem>.json`` for ``engines/<stem>.engine``."""
    return engine.with_suffix(".json")


def read_record(path: Path, signature: Signature | None = None) -> EngineRecord:
    """Reads a side file.

    Args:
        path: the side file.
        signature: that of the bundle, checked, where engines must be signed.

    Raises:
        EngineError: it cannot be read, is damaged, belongs to another engine file, or is not covered by the signature.
    """
    again = f"snl-edge build {path.parent.parent} --precision PRECISION"
    fix = f"remove {path} and its engine, then build that again: {again}"
    try:
        content = read_bytes(path)
        require_covered(path, content, signature)
        record = parse_model(EngineRecord, content)
    except OSError as error:
        raise EngineError(f"cannot read {path}", reason(error), "check path and permissions") from error
    except ValueError as error:
        raise EngineError(f"{path} is not valid", faults(error), fix) from error
    if Path(record.file).stem != path.stem:
        raise EngineError(f"{path} is not valid", f"it describes {record.file}", fix)
    return record


def pack(engine: bytes) -> bytes:
    """The engine as a gzip file, the same bytes every time."""
    return gzip.compress(engine, mtime=0)


def read_engine(path: Path, record: EngineRecord) -> bytes:
    """The engine's bytes, unpacked; its file is checked against its side file.

    Raises:
        EngineError: the file is missing, cannot be read or was changed.
    """
    rebuild = rebuild_command(path.parent.parent, record)
    try:
        content = read_bytes(path, MOST_ENGINE)
    except OSError as error:
        raise EngineError(f"cannot read engine {path}", reason(error), rebuild) from error
    if hashlib.sha256(content).hexdigest() != record.engine_sha256:
        raise EngineError(f"engine {path} is damaged", "its SHA-256 is not the one in its side file", rebuild)
    if not record.packed:
        return content
    try:
        engine = unpack_gzip(content, record.engine_bytes or MOST_UNRECORDED)
    except (ValueError, MemoryError) as error:
        raise EngineError(f"engine {path} cannot be unpacked", str(error) or "no free memory", rebuild) from error
    if record.engine_bytes not in (None, len(engine)):
        why = f"it unpacks to {len(engine)} bytes, and its side file says {record.engine_bytes}"
        raise EngineError(f"engine {path} cannot be unpacked", why, rebuild)
    return engine


def rebuild_command(bundle: Path, record: EngineRecord) -> str:
    """The remedy for an engine that does not fit, as an imperative sentence."""
    return f"build it again on this device: snl-edge build {bundle} --precision {record.precision}"
