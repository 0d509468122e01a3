"""What `snl-edge inspect` tells people: doubts first, then products and thresholds, then where it came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snl_edge.counted import counted
from snl_edge.scoring.basis import percent
from snl_edge.scoring.scale import ScoreScale

from ..runtime.bundle import Bundle
from ..runtime.engine_record import EngineRecord
from ..runtime.manifest import GateName, InputSpec, Manifest, Precision
from ..runtime.threshold_table import threshold_rows, threshold_table
from ..runtime.tuning import standing_doubts

if TYPE_CHECKING:
    from ..training.checkpoint import Checkpoint
    from ..training.image_record import ImageEntry

ROLES = {"held_out": "held out", "thresholds": "for thresholds", "gate": "for the gate", "excluded": "left out"}
"""What images were used for that were not trained on."""


def run_lines(run: Path, checkpoint: Checkpoint, images: Sequence[ImageEntry], unknown: str) -> list[str]:
    """A run whose weights are as they were written; ``unknown`` says why there are no ``images``, if there are none."""
    score_scale, training = checkpoint.score_scale, checkpoint.training.model_dump(mode="json")
    uses = {product: Counter(e.role for e in images if e.product == product) for product in checkpoint.products}
    trained_on = [
        (name, ", ".join([f"{own['trained']} trained on", *(f"{own[r]} {w}" for r, w in ROLES.items() if own[r])]))
        for name, own in uses.items()
    ]
    return [
        f"run {run}: intact",
        *_doubts(checkpoint.doubts),
        *_thresholds(threshold_rows(checkpoint.products, score_scale), score_scale),
        *_group("ignored", [(name, f"{share:.1%} of the picture") for name, share in checkpoint.ignored.items()]),
        "",
        f"trained on {counted(checkpoint.training_images, 'good image')} of {counted(len(uses), 'product')}",
        *columns([("images", unknown)] if unknown else trained_on),
        *_group("training", settings(training)),
        *_group("model", settings(checkpoint.model.model_dump(mode="json"))),
        *_group(
            "made",
            [
                ("when", f"{checkpoint.created}, in {checkpoint.seconds:.0f} s"),
                ("revision", checkpoint.revision),
                ("machine", _said(checkpoint.machine)),
                ("versions", _said(checkpoint.versions)),
                ("weights", f"{checkpoint.weights} (SHA-256 {checkpoint.weights_sha256})"),
                ("images", checkpoint.images),
            ],
        ),
    ]


def bundle_lines(
    bundle: Bundle,
    refused: str,
    engines: Sequence[tuple[EngineRecord, str]],
    origin: Sequence[tuple[str, str]],
    changes: Sequence[str],
) -> list[str]:
    """All of a bundle whose files are as they were written.

    Args:
        bundle: the bundle.
        refused: why nothing may use it; empty if it may be used.
        engines: its engines, each with its state.
        origin: its signature and lineage, as they are to be said.
        changes: of its thresholds, as they are to be said.
    """
    manifest = bundle.manifest
    limits = [f"{name} up to {limit:.3f}" for name, limit in manifest.reject_limits.items()]
    held_out = counted(len(manifest.held_out), "good image")
    broken = sum(own != "intact" for _, own in engines)
    state = f"{broken} of {counted(len(engines), 'engine')} cannot be used" if broken else "intact"
    return [
        *([f"refused for use: {refused}"] if refused else []),
        f"bundle {bundle.path}: {state}",
        *_doubts((*manifest.doubts, *standing_doubts(manifest).values())),
        *_thresholds(threshold_table(bundle), manifest.score_scale),
        *_group(
            "unknown products",
            [
                ("unknown", f"above a product distance of {manifest.unknown_limit:.3f}: nothing is good there"),
                *(
                    [("reject", f"all the same, with a score above its threshold: {', '.join(limits)}")]
                    if limits
                    else []
                ),
            ],
        ),
        *_group("ignored", [(p, f"{r.share:.1%} of the picture: {r.picture}") for p, r in manifest.ignored.items()]),
        *_group("input", _input(manifest.input)),
        *_group("graphs", [(precision, _graph(bundle, precision)) for precision in manifest.graphs]),
        *_group("gates", [(name, _gate(manifest, name)) for name in manifest.gates]),
        *_group("engines", [(record.file, f"{_engine(record)}; {own}") for record, own in engines]),
        *_group(
            "made",
            [
                *origin,
                ("versions", _said(manifest.versions)),
                *([("engines", f"judged on {held_out} that were held out")] if manifest.held_out else []),
            ],
        ),
        *(["", f"changes of thresholds since the build, the latest first: {len(changes)}"]),
        *(f"  {text}" for text in changes),
    ]


def graph_lines(path: Path, found: Mapping[str, Any], said: Mapping[str, Any]) -> list[str]:
    """An ONNX graph; ``said`` is what it says of itself, if it is ours."""
    rest = {name: value for name, value in said.items() if name not in ("calibration", "products", "precision")}
    score_scale = ScoreScale.model_validate(said["calibration"]) if "calibration" in said else None
    products = tuple(said.get("products", ()))
    return [
        f"ONNX graph {path}: {said.get('precision', 'of unknown origin')}, {found['bytes'] / 1e6:.1f} MB",
        *(_thresholds(threshold_rows(products, score_scale), score_scale) if score_scale else []),
        *_group("it says of itself", settings(rest)),
        *_group(
            "graph",
            [("opset", str(found["opset"])), ("nodes", str(found["nodes"])), ("kinds", _said(found["operators"]))],
        ),
    ]


def engine_lines(path: Path, record: EngineRecord) -> list[str]:
    """An engine whose file is as it was written."""
    return [
        f"engine {path}: intact",
        *columns(
            [
                ("what", _engine(record)),
                ("layers", _said(record.layers)),
                ("built", record.built),
                ("of graph", f"SHA-256 {record.onnx_sha256}"),
                ("file", f"SHA-256 {record.engine_sha256}{', packed' if record.packed else ''}"),
            ]
        ),
    ]


def settings(record: Mapping[str, Any], name: str = "") -> list[tuple[str, str]]:
    """(group, its settings in a line) of a nested record, under the names that `train --set` takes."""
    plain = {key: value for key, value in record.items() if not isinstance(value, Mapping)}
    rows = [(name or "general", _said(plain))] if plain else []
    for key, value in record.items():
        if isinstance(value, Mapping) and value:
            rows += settings(value, f"{name}.{key}" if name else key)
    return rows


def columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Indented lines of names and texts, the texts below each other."""
    width = max((len(name) for name, _ in rows), default=0)
    return [f"  {name:<{width}}  {text}" for name, text in rows]


def size_of_graph(bundle: Bundle, precision: Precision) -> str:
    """Of the graph's file."""
    return f"{(bundle.path / bundle.manifest.graphs[precision]).stat().st_size / 1e6:.1f} MB"


def _doubts(doubts: Sequence[str]) -> list[str]:
    return ["", f"{counted(len(doubts), 'doubt')}:", *(f"  {text}" for text in doubts)] if doubts else ["no doubts"]


def _thresholds(table: Sequence[str], score_scale: ScoreScale) -> list[str]:
    budget = percent(score_scale.false_reject_budget)
    return ["", f"products and thresholds, for a budget of {budget} false rejects", *(f"  {row}" for row in table)]


def _input(spec: InputSpec) -> list[tuple[str, str]]:
    takes = "pictures of any size, resized by the host" if spec.frame is None else f"frames of {spec.frame} alone"
    bits = "all of 16-bit files" if spec.bits is None else f"{spec.bits} of 16-bit files"
    return [("size", f"{spec.width}x{spec.height}, from {takes}"), ("bits", bits), ("batch", f"up to {spec.max_batch}")]


def _graph(bundle: Bundle, precision: Precision) -> str:
    file = bundle.manifest.graphs[precision]
    differs = bundle.manifest.parity.get(precision, {}).get("score_difference")
    agrees = f", scores differ from PyTorch's by at most {differs:.1g}" if isinstance(differs, float) else ""
    return f"{file}, {size_of_graph(bundle, precision)}{agrees}"


def _gate(manifest: Manifest, name: GateName) -> str:
    measured = manifest.gates[name]
    failures = measured.get("failures")
    verdict = f"failed, and shipped with --force: {_said(failures)}" if failures else "passed"
    return (
        f"{verdict}; {measured.get('verdict_flips')} of {measured.get('images')} verdicts flip "
        f"({measured.get('judged_on')}, {measured.get('ran_on')})"
    )


def _engine(record: EngineRecord) -> str:
    batches = ", ".join(f"{own.min} to {own.max} (best {own.opt})" for own in record.profiles)
    gpus = ", ".join(record.compute_capabilities) + (f", built on {record.gpu}" if record.gpu else "")
    return f"{record.flavour} {record.version}, {record.precision}, batch {batches}, compute capability {gpus}"


def _group(title: str, rows: Sequence[tuple[str, str]]) -> list[str]:
    return ["", title, *columns(rows)] if rows else []


def _said(value: object) -> str:
    """A setting in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_said(own)}" for key, own in value.items())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(map(_said, value)) or "none"
    if value is None or isinstance(value, bool):
        return {None: "not set", True: "yes", False: "no"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
