"""ONNX files from outside: of bounded size, and with nothing in them that makes a runtime open another file.

A tensor may say that its values lie in a file elsewhere ("external data" in ONNX's IR.md), and name any of this
machine. Graphs of ours never do. The file is looked through as protobuf (protobuf.dev, "Encoding"), field by field:
devices have no ``onnx`` package, and what a runtime makes of a path is its own business.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .files import GIB, read_bytes

if TYPE_CHECKING:
    import onnx

MOST_GRAPH = 2 * GIB - 1
"""Bytes: protobuf's own limit for a message."""
MOST_FIELDS = 5_000_000
DEEPEST = 32
"""Graphs within attributes of nodes within graphs."""
_WITHIN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""Where tensors stand in onnx.proto, by the number of the field."""
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
"""Fields of a tensor."""


def read_graph_bytes(path: Path) -> bytes:
    """The content of an ONNX file that refers to no other file.

    Raises:
        OSError: it cannot be read, is no regular file, or is too large.
        ValueError: it is no protobuf message, or refers to other files.
    """
    content = read_bytes(path, MOST_GRAPH)
    require_no_other_file(content)
    return content


def read_onnx(path: Path) -> onnx.ModelProto:
    """Parses an ONNX file.

    Raises:
        OSError: as `read_graph_bytes`.
        ValueError: as `read_graph_bytes`, or it is no ONNX.
    """
    import onnx

    content = read_graph_bytes(path)
    try:
        return onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's errors depend on its implementation
        raise ValueError(str(error).split("\n")[0] or type(error).__name__) from error


def require_no_other_file(content: bytes) -> None:
    """Refuses a graph with a tensor whose values lie elsewhere.

    Raises:
        ValueError: there is one, or this is no protobuf message.
    """
    waiting: list[tuple[str, memoryview, int]] = [("model", memoryview(content), 0)]
    fields = 0
    while waiting:
        kind, message, depth = waiting.pop()
        if depth > DEEPEST:
            raise ValueError(f"its graphs are nested deeper than {DEEPEST} levels")
        for number, value in _fields(message):
            fields += 1
            if fields > MOST_FIELDS:
                raise ValueError(f"it has more than {MOST_FIELDS:,} fields")
            if kind == "tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value)):
                raise ValueError("a tensor of it lies in another file")
            if number in _WITHIN[kind] and isinstance(value, memoryview):
                waiting.append((_WITHIN[kind][number], value, depth + 1))


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(message, position)
        else:
            size, position = _varint(message, position) if wire == 2 else ({1: 8, 5: 4}.get(wire, -1), position)
            if number == 0 or size < 0 or size > len(message) - position:
                raise ValueError("it is no ONNX graph, or is cut short")
            value, position = message[position : position + size], position + size
        yield number, value


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("it is no ONNX graph, or is cut short")
