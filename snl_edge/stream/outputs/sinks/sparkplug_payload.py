"""Payloads of Eclipse Sparkplug B: the part of its protobuf schema that an edge node with scalar metrics needs.

The schema is put together here, by the field numbers of the specification (Sparkplug 3.0, 6.4.1), so that any protobuf
runtime will do: code that `protoc` makes goes with that of its own version or newer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

INT64, UINT64, DOUBLE, BOOLEAN, STRING, DATETIME = 4, 8, 10, 11, 12, 13
"""Data types (Sparkplug 3.0, 6.4.16)."""
_HOLDS = {
    INT64: "long_value",
    UINT64: "long_value",
    DOUBLE: "double_value",
    BOOLEAN: "boolean_value",
    STRING: "string_value",
    DATETIME: "long_value",
}
_METRIC = (
    ("name", 1, "STRING"),
    ("alias", 2, "UINT64"),
    ("timestamp", 3, "UINT64"),
    ("datatype", 4, "UINT32"),
    ("is_historical", 5, "BOOL"),
    ("is_transient", 6, "BOOL"),
    ("is_null", 7, "BOOL"),
)
_VALUES = (
    ("int_value", 10, "UINT32"),
    ("long_value", 11, "UINT64"),
    ("float_value", 12, "FLOAT"),
    ("double_value", 13, "DOUBLE"),
    ("boolean_value", 14, "BOOL"),
    ("string_value", 15, "STRING"),
    ("bytes_value", 16, "BYTES"),
)
_PACKAGE = "snl_edge.sparkplug_b"


@dataclass(frozen=True)
class Metric:
    """One value with its name."""

    name: str
    datatype: int
    value: int | float | bool | str | None
    """None: there is none at present."""
    timestamp: int
    """Milliseconds since 1970."""
    historical: bool = False
    """From before this session: not the present value."""


def encode(timestamp: int, seq: int | None, metrics: Sequence[Metric], *, typed: bool = False) -> bytes:
    """A payload.

    Args:
        timestamp: milliseconds since 1970 when it was made.
        seq: 0 to 255; None in a death certificate.
        metrics: what it tells.
        typed: tell data types: in certificates, not with data (6.4.6).
    """
    payload = _Payload(timestamp=timestamp)
    if seq is not None:
        payload.seq = seq
    for metric in metrics:
        told = payload.metrics.add(name=metric.name, timestamp=metric.timestamp)
        if typed:
            told.datatype = metric.datatype
        if metric.historical:
            told.is_historical = True
        if metric.value is None:
            told.is_null = True
        else:
            setattr(told, _HOLDS[metric.datatype], metric.value)
    return payload.SerializeToString()


def decode(content: bytes) -> tuple[int | None, int | None, dict[str, Any]]:
    """Time, sequence number and values by name of a payload; metrics by alias alone, and of other kinds, are left out.

    Raises:
        ValueError: it is none.
    """
    try:
        payload = _Payload.FromString(content)
    except DecodeError as error:
        raise ValueError(f"no Sparkplug payload: {error}") from error
    values: dict[str, Any] = {}
    for metric in payload.metrics:
        kind = metric.WhichOneof("value")
        if metric.name:
            values[metric.name] = None if metric.is_null or kind is None else getattr(metric, kind)
    return (
        payload.timestamp if payload.HasField("timestamp") else None,
        payload.seq if payload.HasField("seq") else None,
        values,
    )


def _field(name: str, number: int, kind: str, **more: Any) -> FieldDescriptorProto:
    label = more.pop("label", FieldDescriptorProto.LABEL_OPTIONAL)
    return FieldDescriptorProto(
        name=name, number=number, type=getattr(FieldDescriptorProto, f"TYPE_{kind}"), label=label, **more
    )


def _payload_class() -> Any:
    metric = DescriptorProto(name="Metric", field=[_field(*told) for told in _METRIC])
    metric.oneof_decl.add(name="value")
    metric.field.extend(_field(*told, oneof_index=0) for told in _VALUES)
    payload = DescriptorProto(name="Payload", nested_type=[metric])
    payload.field.extend(
        [
            _field("timestamp", 1, "UINT64"),
            _field(
                "metrics",
                2,
                "MESSAGE",
                label=FieldDescriptorProto.LABEL_REPEATED,
                type_name=f".{_PACKAGE}.Payload.Metric",
            ),
            _field("seq", 3, "UINT64"),
            _field("uuid", 4, "STRING"),
            _field("body", 5, "BYTES"),
        ]
    )
    pool = DescriptorPool()  # of its own: another schema of the same file name may live in the default one
    file = FileDescriptorProto(name="sparkplug_b.proto", package=_PACKAGE, syntax="proto2", message_type=[payload])
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Payload"))


_Payload = _payload_class()
