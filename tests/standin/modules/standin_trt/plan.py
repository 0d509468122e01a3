"""A serialised engine: a line of JSON, then the ONNX graph it was made from. Nothing in it is ever executed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

MAGIC = b"snl-edge stand-in engine\n"

Shapes = dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]
"""Smallest, optimal and largest shape of each dynamic input."""


class PlanError(ValueError):
    """These bytes are no engine for this TensorRT."""


@dataclass(frozen=True)
class Plan:
    """What a builder made."""

    flavour: str
    version: str
    capabilities: tuple[int, ...]
    profiles: tuple[Shapes, ...]
    weight_bytes: int
    onnx: bytes

    def pack(self) -> bytes:
        """The engine's bytes."""
        head = asdict(self)
        del head["onnx"]
        return MAGIC + json.dumps({**head, "onnx_bytes": len(self.onnx)}).encode() + b"\n" + self.onnx

    @classmethod
    def unpack(cls, content: bytes) -> Plan:
        """Reads `pack`'s bytes.

        Raises:
            PlanError: they are something else, or cut short.
        """
        head, newline, onnx = content.removeprefix(MAGIC).partition(b"\n")
        if not content.startswith(MAGIC) or not newline:
            raise PlanError("serialized engine has no magic tag")
        try:
            told = json.loads(head)
            profiles = tuple(
                {name: tuple(tuple(shape) for shape in shapes) for name, shapes in profile.items()}
                for profile in told.pop("profiles")
            )
            size = told.pop("onnx_bytes")
            plan = cls(**{**told, "capabilities": tuple(told["capabilities"])}, profiles=profiles, onnx=bytes(onnx))
        except (ValueError, TypeError, KeyError) as error:
            raise PlanError(f"serialized engine is damaged ({error})") from error
        if len(onnx) != size:
            raise PlanError(f"serialized engine has {len(onnx)} bytes of weights instead of {size}")
        return plan
