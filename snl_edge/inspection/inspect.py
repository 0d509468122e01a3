"""`snl-edge inspect`: what a file or folder of ours is, where it came from, and whether it is intact."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..contract.run_folder import CHECKPOINT
from ..errors import CheckpointError, DataError, EngineError, SnlEdgeError
from ..runtime.bundle import Bundle
from ..runtime.engine_record import read_engine, read_record, side_file
from ..runtime.manifest import FILE as MANIFEST
from ..runtime.manifest import WITHOUT_DIGEST
from ..runtime.origin import why_outdated
from ..runtime.signature import TRUSTED_KEYS, Signature, configured_trust, read_signature, require_signed
from .short import NOTHING_VOUCHES, bundle_summary, changes_told, lineage
from .text import bundle_lines, engine_lines, graph_lines, run_lines


@dataclass(frozen=True)
class Inspection:
    """What was found."""

    record: dict[str, Any]
    """All of it, as plain data."""
    lines: list[str]
    """All that people ask, in groups."""
    short: list[str] = field(default_factory=list)
    """What they ask first, where it is less."""


def describe(path: Path) -> Inspection:
    """Describes a run folder, bundle, ONNX graph or engine, after checking its hashes.

    A bundle of an earlier model of the run in whose folder it lies, which every other command refuses, is described,
    and first of all said to be refused.

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


def _run(run: Path) -> Inspection:
    from ..training.checkpoint import verify_checkpoint
    from ..training.image_record import read_run_images

    checkpoint = verify_checkpoint(run)
    try:
        images, unknown = read_run_images(run).images, ""
    except CheckpointError as error:
        images, unknown = (), str(error)
    record = {"kind": "run", "path": str(run), **checkpoint.model_dump(mode="json", by_alias=True)}
    return Inspection(record, run_lines(run, checkpoint, images, unknown))


def _bundle(path: Path) -> Inspection:
    bundle = Bundle.read(path)
    told, signature, unsigned = _signature(bundle)
    refused = why_outdated(path, bundle.manifest) or unsigned
    engines, states = bundle.engines(), list[str]()
    for record in engines:
        try:
            read_record(side_file(bundle.engine_path(record)), signature)
            read_engine(bundle.engine_path(record), record)
            states.append("intact")
        except EngineError as error:
            states.append(str(error))
    content = {
        "kind": "bundle",
        "path": str(path),
        "refused": refused or None,
        **bundle.manifest.model_dump(mode="json", by_alias=True),
        "root": bundle.root,
        "signature": told,
        "changes": [change.plain() for change in bundle.history.changes],
        "engines": [
            {**record.model_dump(mode="json"), "state": state} for record, state in zip(engines, states, strict=True)
        ],
    }
    stated = list(zip(engines, states, strict=True))
    doubtful = [("doubtful", NOTHING_VOUCHES)] if bundle.built.schema_version == WITHOUT_DIGEST else []
    origin = [*doubtful, ("signature", told), *lineage(bundle)]
    return Inspection(
        content,
        bundle_lines(bundle, refused, stated, origin, changes_told(bundle)),
        bundle_summary(bundle, refused, stated, told),
    )


def _signature(bundle: Bundle) -> tuple[str, Signature | None, str]:
    """What is to be said of the bundle's signature, the signature where it was checked, and why it is refused."""
    try:
        trust = configured_trust()
        found = read_signature(bundle.path)
        checked = require_signed(bundle.path, bundle.root, trust)
    except SnlEdgeError as error:
        return "refused, see above", None, str(error)
    if found is None:
        return "not signed", None, ""
    if checked is None:
        return f"{found}; not checked, as {TRUSTED_KEYS} names no keys here", None, ""
    return f"{found}, which is trusted here", checked, ""


def _graph(path: Path) -> Inspection:
    import onnx

    from snl_edge.export.onnx_graph import graph_metadata, read_graph

    graph = read_graph(path)
    said = dict(graph_metadata(graph))
    found = {
        "bytes": path.stat().st_size,
        "opset": max(opset.version for opset in graph.opset_import),
        "onnx": onnx.__version__,
        "nodes": len(graph.graph.node),
        "operators": sorted({node.op_type for node in graph.graph.node}),
    }
    return Inspection({"kind": "ONNX graph", "path": str(path), **found, **said}, graph_lines(path, found, said))


def _engine(path: Path) -> Inspection:
    record = read_record(side_file(path))
    read_engine(path, record)
    content = {"kind": "engine", "path": str(path), **record.model_dump(mode="json"), "state": "intact"}
    return Inspection(content, engine_lines(path, record))
