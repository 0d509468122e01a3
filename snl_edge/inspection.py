"""`snl-edge inspect`: what a file or folder of ours is, where it came from, and whether it is intact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import DataError, EngineError
from .runtime.bundle import Bundle
from .runtime.engine_record import read_engine, read_record, side_file
from .runtime.manifest import FILE as MANIFEST
from .training.config import CHECKPOINT


def describe(path: Path) -> dict[str, Any]:
    """Describes a run folder, bundle, ONNX graph or engine, after checking its hashes.

    Raises:
        DataError: it is none of these.
        CheckpointError, BundleError, ExportError, EngineError: it is one, but damaged or incomplete.
    """
    if (path / CHECKPOINT).is_file():
        return _run(path)
    if (path / MANIFEST).is_file():
        return _bundle(path)
    if path.suffix == ".onnx" and path.is_file():
        return _graph(path)
    if path.suffix == ".engine" and path.is_file():
        return _engine(path)
    raise DataError(
        f"{path} is nothing that snl-edge wrote",
        f"a run folder holds {CHECKPOINT}, a bundle {MANIFEST}; graphs end in .onnx, engines in .engine",
        "check the path",
    )


def _run(run: Path) -> dict[str, Any]:
    from .training.checkpoint import verify_checkpoint

    return {"kind": "run", "path": str(run), **verify_checkpoint(run).model_dump(mode="json")}


def _bundle(path: Path) -> dict[str, Any]:
    bundle = Bundle.open(path)
    engines = []
    for record in bundle.engines():
        try:
            read_engine(bundle.engine_path(record), record)
            state = "intact"
        except EngineError as error:
            state = str(error)
        engines.append({**record.model_dump(mode="json"), "state": state})
    return {"kind": "bundle", "path": str(path), **bundle.manifest.model_dump(mode="json"), "engines": engines}


def _graph(path: Path) -> dict[str, Any]:
    import onnx

    from snl_edge.export.onnx_graph import graph_metadata, read_graph

    graph = read_graph(path)
    operators = sorted({node.op_type for node in graph.graph.node})
    return {
        "kind": "ONNX graph",
        "path": str(path),
        "bytes": path.stat().st_size,
        "opset": max(opset.version for opset in graph.opset_import),
        "onnx": onnx.__version__,
        "nodes": len(graph.graph.node),
        "operators": operators,
        **graph_metadata(graph),
    }


def _engine(path: Path) -> dict[str, Any]:
    record = read_record(side_file(path))
    read_engine(path, record)
    return {"kind": "engine", "path": str(path), **record.model_dump(mode="json"), "state": "intact"}


def as_lines(record: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """(dotted name, value) for each leaf of a nested record, for people."""
    lines: list[tuple[str, str]] = []
    for key, value in record.items():
        if isinstance(value, dict) and value:
            lines += as_lines(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for index, entry in enumerate(value):
                lines += as_lines(entry, f"{prefix}{key}[{index}].")
        elif isinstance(value, list) and key == "doubts":
            lines += [(f"{prefix}{key}[{index}]", text) for index, text in enumerate(value)]
        else:
            lines.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)))
    return lines
