"""Every reader of files from outside, as a function of one file; and the real files that mutations of it begin with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import seeds
from .mutations import (
    Change,
    changed_bytes,
    changed_json,
    changed_lines,
    changed_png,
    changed_safetensors,
    changed_text,
    changed_yaml,
)


@dataclass(frozen=True)
class Parser:
    """One reader."""

    file: str
    """Name of the file that it is given."""
    read: Callable[[Path], object]
    seeds: Callable[[], list[bytes]]
    change: Change
    inputs: int
    """How many of some 100,000 it gets."""
    is_file: bool = True
    """Whether a user gives a file; else a text that comes some other way."""


def _image(path: Path) -> object:
    from snl_edge.image import read_image

    return read_image(path)


def _mask(path: Path) -> object:
    from snl_edge.data.mask_check import measure_mask
    from snl_edge.data.mask_sources import MaskFiles
    from snl_edge.data.samples import Sample

    return measure_mask(Sample(path, "gear", "scratch", MaskFiles((path,))))


def _labelme(path: Path) -> object:
    from snl_edge.data.labelme import LabelmeFile

    return LabelmeFile(path).read()


def _coco(path: Path) -> object:
    from snl_edge.data.coco import read_coco

    return [outlines.read() for outlines in list((read_coco(path) or {}).values())[:4]]


def _regions(path: Path) -> object:
    from snl_edge.data.regions import read_polygon_file

    return read_polygon_file(path)


def _table(path: Path) -> object:
    from snl_edge.data.layouts import open_dataset

    for name in ("a.png", "b.png", "c.png", "b_mask.png"):
        (path.parent / name).touch()
    return open_dataset(path)


def _split(path: Path) -> object:
    from snl_edge.data.layouts import open_dataset

    root = path.parent.parent
    images = root / "gear" / "Data" / "Images" / "Normal"
    images.mkdir(parents=True, exist_ok=True)
    for name in ("a.png", "b.png", "m.png", "gear/Data/Images/Normal/a.png"):
        (root / name).touch()
    return open_dataset(root, "visa")


def _review(path: Path) -> object:
    from snl_edge.training.review import read_review

    return read_review(path)


def _manifest(path: Path) -> object:
    from snl_edge.runtime.bundle import Bundle

    (path.parent / "fp32.onnx").touch()
    return Bundle.open(path.parent)


def _engine_record(path: Path) -> object:
    from snl_edge.runtime.engine_record import read_record

    return read_record(path)


def _engine(path: Path) -> object:
    from snl_edge.runtime.engine_record import EngineRecord, read_engine

    content = b""
    with suppress(OSError):
        content = path.read_bytes() if path.is_file() and path.stat().st_size < 2**30 else b""
    record = {**seeds.engine_record(content, 600), "engine_sha256": hashlib.sha256(content).hexdigest()}
    if len(content) % 2:
        del record["engine_bytes"]  # as in records of before it was noted
    return read_engine(path, EngineRecord.model_validate(record))


def _checkpoint(path: Path) -> object:
    from snl_edge.training.checkpoint import read_checkpoint

    return read_checkpoint(path.parent).score_scale.gain


def _run_images(path: Path) -> object:
    from snl_edge.training.image_record import read_run_images

    checkpoint = path.parent / "checkpoint.json"
    if not checkpoint.exists():
        checkpoint.write_bytes(seeds.checkpoints()[0])
    return read_run_images(path.parent)


def _calibration_table(path: Path) -> object:
    from snl_edge.calibration.table import read_table

    return read_table(path)


def _result(path: Path) -> object:
    from snl_edge.benchmarks.compare import compare_files

    real = path.with_name("real.json")
    if not real.exists():
        real.write_bytes(seeds.results()[0])
    return compare_files(path, real)


def _line(path: Path) -> object:
    from snl_edge.stream.config.line_config import read_config

    return read_config(path)


def _command(path: Path) -> object:
    from snl_edge.errors import ConfigError
    from snl_edge.outside.json_text import faults, parse_model
    from snl_edge.stream.control.commands import RecipeCommand

    try:
        return parse_model(RecipeCommand, path.read_bytes())
    except ValueError as error:
        raise ConfigError("the command is not valid", faults(error)) from error


def _trigger(path: Path) -> object:
    from snl_edge.errors import ConfigError
    from snl_edge.stream.capture.triggers import StdinTriggers

    line = path.read_bytes().decode("utf-8", "surrogateescape")
    try:
        StdinTriggers({"top": lambda part_id=None, encoder=None: None}, lambda text: None).take(line)
    except (ValueError, KeyError, TypeError) as error:  # what its thread passes on as a complaint
        raise ConfigError("that is no trigger", str(error)) from error
    return None


def _history(path: Path) -> object:
    from snl_edge.runtime.bundle import Bundle
    from snl_edge.runtime.manifest_file import manifest_text

    (path.parent / "fp32.onnx").touch()
    manifest = path.parent / "manifest.json"
    if not manifest.exists():
        manifest.write_text(manifest_text(seeds.built()), encoding="utf-8")
    return Bundle.open(path.parent)


def _signature(path: Path) -> object:
    from snl_edge.runtime.signature import read_signature

    return read_signature(path.parent)


def _private_key(path: Path) -> object:
    from snl_edge.runtime.signing_keys import read_private_key

    with suppress(OSError):  # what is no file of its own stays as it is
        path.chmod(0o600)
    return read_private_key(path)


def _public_key(path: Path) -> object:
    from snl_edge.runtime.signing_keys import trusted_keys

    return trusted_keys(path.parent, "a setting")


def _verdict_lines(path: Path) -> object:
    from snl_edge.infer.kept_lines import read_lines

    return read_lines(path, 30)


def _verdict_run(path: Path) -> object:
    from snl_edge.infer.verdict_file import read_run

    return read_run(path)


def _weights(path: Path) -> object:
    import torch
    from torch import nn

    from snl_edge.model.weights import load_pretrained

    network = nn.Module()
    network.conv = nn.Linear(3, 2)
    with torch.no_grad():
        load_pretrained(network, "a test", str(path))
    return None


def _graph(path: Path) -> object:
    from snl_edge.export.onnx_graph import graph_metadata, read_graph

    return graph_metadata(read_graph(path))


def _manifests() -> list[bytes]:
    score_scale = json.loads(seeds.score_scale().model_dump_json())
    graph = hashlib.sha256(b"").hexdigest()
    manifest = {
        **{"schema_version": 2, "name": "gear", "created": "2026-11-28T12:00:00+00:00", "products": ["gear", "nut"]},
        **{"input": {"height": 64, "width": 64, "max_batch": 8}, "calibration": score_scale},
        **{"threshold": 0.5, "product_thresholds": {"gear": 0.6}, "graphs": {"fp32": "fp32.onnx"}},
        **{"files": {"fp32.onnx": graph}, "reject_limits": {"nut": 1.2}},
    }
    return [json.dumps(manifest).encode()]


def _graphs() -> list[bytes]:
    return seeds.graphs()


PARSERS: dict[str, Parser] = {
    "images": Parser("a.png", _image, seeds.images, changed_png, 15_000),
    "masks": Parser("a.png", _mask, seeds.masks, changed_png, 6_000),
    "Labelme": Parser("a.json", _labelme, seeds.labelme, changed_json, 8_000),
    "COCO": Parser("a.json", _coco, seeds.coco, changed_json, 8_000),
    "ignored regions": Parser("gear.json", _regions, seeds.regions, changed_json, 6_000),
    "tables of images": Parser("a.csv", _table, seeds.tables, changed_text, 6_000),
    "VisA splits": Parser("split_csv/1cls.csv", _split, seeds.splits, changed_text, 4_000),
    "reviews": Parser("suspicious.csv", _review, seeds.reviews, changed_text, 5_000),
    "bundle manifests": Parser("manifest.json", _manifest, _manifests, changed_json, 8_000),
    "engine records": Parser("fp16.json", _engine_record, seeds.engine_records, changed_json, 5_000),
    "packed engines": Parser("fp16.engine", _engine, lambda: [seeds.packed(b"engine" * 100)], changed_bytes, 3_000),
    "checkpoints": Parser("checkpoint.json", _checkpoint, seeds.checkpoints, changed_json, 4_000),
    "lists of a run's images": Parser("images.json", _run_images, seeds.run_images, changed_json, 4_000),
    "calibration tables": Parser("calibration.json", _calibration_table, seeds.calibration_tables, changed_json, 3_000),
    "result files": Parser("bench.json", _result, seeds.results, changed_json, 6_000),
    "histories of thresholds": Parser("thresholds.jsonl", _history, seeds.histories, changed_lines, 4_000),
    "signatures": Parser("signature.json", _signature, seeds.signatures, changed_json, 3_000),
    "private keys": Parser("line.key", _private_key, seeds.private_keys, changed_bytes, 2_000),
    "public keys": Parser("line.pub", _public_key, seeds.public_keys, changed_bytes, 2_000),
    "verdicts of infer": Parser("verdicts.jsonl", _verdict_lines, seeds.verdict_lines, changed_lines, 5_000),
    "runs of infer": Parser("infer.json", _verdict_run, seeds.verdict_runs, changed_json, 3_000),
    "line.yaml": Parser("line.yaml", _line, seeds.lines, changed_yaml, 4_000),
    "commands of the plant": Parser("command.json", _command, seeds.commands, changed_json, 5_000, False),
    "trigger lines": Parser("line.json", _trigger, seeds.triggers, changed_text, 4_000, False),
    "weights (.pth)": Parser("a.pth", _weights, seeds.pth, changed_bytes, 4_000),
    "weights (safetensors)": Parser("a.safetensors", _weights, seeds.safetensors, changed_safetensors, 4_000),
    "ONNX graphs": Parser("a.onnx", _graph, _graphs, changed_bytes, 4_000),
}
