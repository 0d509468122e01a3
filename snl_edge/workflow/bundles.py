"""`calibrate` and `build`: from a run folder to the bundle that a device needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from snl_edge.arguments import (
    optional_path,
    require_choice,
    require_kind,
    require_path,
    require_switch,
    require_texts,
    require_whole,
)
from snl_edge.atomic import require_writable
from snl_edge.errors import ConfigError
from snl_edge.extras import GRAPHS, require
from snl_edge.runtime.arguments import MOST_BATCH
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.manifest import FILE as MANIFEST
from snl_edge.runtime.manifest import FrameSpec
from snl_edge.runtime.tensorrt_flavour import FLAVOURS

from .datasets import opened
from .needs import require_for_run

if TYPE_CHECKING:
    from snl_edge.bundling.graphs import Wanted
    from snl_edge.data.samples import Dataset
    from snl_edge.runtime.engine_record import FlavourName

_MOST_WORKSPACE = 2**40
"""Bytes."""
_MOST_IMAGES = 1_000_000


def calibrate(
    run: Path | str,
    data: Path | str | Dataset,
    *,
    out: Path | str | None = None,
    images: int = 128,
    seed: int = 0,
    sensitivity: bool = False,
) -> Path:
    """Measures the ranges that INT8 spreads over, on good images of the run, and writes them as a readable table.

    The same run, images and seed give the same table, byte for byte. `build` makes one by itself where it needs it.
    Needs the ``train`` extra.

    Example:
        ```python
        from snl_edge import build, calibrate

        table = calibrate("runs/line3", "parts/", out="line3-ranges.json", sensitivity=True)
        bundle = build("runs/line3", precision="int8", data="parts/", calibration=table)
        ```

    Args:
        run: the run folder.
        data: the data set that it was trained on, or its folder or table.
        out: the table; ``calibration.json`` in the run folder if not given.
        images: good ones over all products, 2 to a million; half as many damaged ones come on top.
        seed: of the choice of images.
        sensitivity: also measure how much each layer suffers: a table and a picture beside ``out``.

    Returns:
        the table's file.

    Raises:
        CheckpointError, ExportError: the run cannot be read or exported, or does not say what it was trained on.
        DataError: an image cannot be used, products are missing or unlearned, or the run's images are not in ``data``.
        OutputError: the table cannot be written, which is found out before anything is measured.
        ConfigError: an argument cannot be one, or packages are missing.
    """
    require("calibrating", *GRAPHS, extra="train")
    from snl_edge.calibration.measure import CalibrationConfig, calibrate_run
    from snl_edge.calibration.table import FILE

    folder, target = require_path(run, "run"), optional_path(out, "out")
    config = CalibrationConfig(
        require_whole(images, "images", 2, _MOST_IMAGES), require_whole(seed, "seed", 0, 2**32 - 1)
    )
    sensitivity = require_switch(sensitivity, "sensitivity")
    require_writable(target or folder / FILE)
    return calibrate_run(folder, opened(data), config, target, sensitivity=sensitivity)


def build(
    source: Path | str,
    out: Path | str | None = None,
    precision: Wanted = "fp16",
    *,
    data: Path | str | Dataset | None = None,
    calibration: Path | str | None = None,
    force: bool = False,
    engine: bool = True,
    frame: FrameSpec | None = None,
    max_batch: int | None = None,
    opt_batch: int | None = None,
    flavour: FlavourName | None = None,
    compute_capabilities: Sequence[str] | str | None = None,
    workspace_bytes: int | None = None,
) -> Bundle:
    """Makes the bundle that a device needs out of a run folder, or builds the engine inside a bundle.

    A run folder needs the ``train`` extra; a bundle needs TensorRT alone, so that a device builds its own engine. No
    graph enters a bundle, and no earlier bundle is replaced, before the accuracy gate has passed or was overruled.

    Example:
        ```python
        from snl_edge import Detector, build

        bundle = build("runs/line3", precision="auto", data="parts/", engine=False)
        with Detector.load(bundle.path) as detector:
            print(detector.backend_reason)
        ```

    Args:
        source: run folder, or bundle.
        out: the bundle's folder; ``source/bundle`` if not given.
        precision: ``fp32``, ``fp16``, ``int8``, or ``auto``: the best that passes the accuracy gate.
        data: images for INT8, thresholds and gate: the training set, best with a labelled test set.
        calibration: table of ranges; the run's own, or a new one, if not given.
        force: ship what fails the gate; the manifest says so.
        engine: build a TensorRT engine; without one the bundle runs on OpenVINO and ONNX Runtime.
        frame: a camera's size and order of colours, where the graphs are to take its frames alone.
        max_batch: largest batch; 8, or what the bundle says.
        opt_batch: batch that kernels are tuned for beside 1.
        flavour: ``tensorrt`` or ``tensorrt_rtx``, where both are installed.
        compute_capabilities: target GPUs, as ``["8.6"]`` (TensorRT-RTX), without a GPU here.
        workspace_bytes: limit of TensorRT's scratch memory while building.

    Returns:
        the bundle, opened and checked.

    Raises:
        EngineError: there is no TensorRT, or it refuses the graph.
        ExportError: a graph cannot be made, disagrees with PyTorch, or fails the gate.
        BundleError, CheckpointError, DataError, OutputError: ``source``, ``data`` or ``out`` cannot be used.
        ConfigError: settings that do not go together, or packages are missing.
    """
    from snl_edge.bundling.build import build as run_build
    from snl_edge.bundling.graphs import PRECISIONS, Evidence

    folder, target = require_path(source, "source"), optional_path(out, "out")
    table = optional_path(calibration, "calibration")
    require_choice(precision, "precision", PRECISIONS)
    force, engine = require_switch(force, "force"), require_switch(engine, "engine")
    if frame is not None:
        require_kind(frame, "frame", FrameSpec, "give a FrameSpec(height=..., width=...)")
    sizes = {"max_batch": (max_batch, MOST_BATCH), "opt_batch": (opt_batch, MOST_BATCH)}
    for name, (value, most) in {**sizes, "workspace_bytes": (workspace_bytes, _MOST_WORKSPACE)}.items():
        if value is not None:
            require_whole(value, name, 1, most)
    if flavour is not None:
        require_choice(flavour, "flavour", FLAVOURS)
    capabilities = None if compute_capabilities is None else require_texts(compute_capabilities, "compute_capabilities")
    require_for_run(folder)
    if table is not None and precision in ("fp32", "fp16"):
        raise ConfigError(
            f"{precision} needs no table of ranges",
            "INT8 alone has ranges",
            "leave out the table, or build int8 or auto",
        )
    if not (folder / MANIFEST).is_file():
        require_writable(target or folder / "bundle")
    built = run_build(
        folder,
        target,
        precision,
        engine=engine,
        frame=frame,
        max_batch=max_batch,
        opt_batch=opt_batch,
        flavour=flavour,
        compute_capabilities=capabilities,
        workspace_bytes=workspace_bytes,
        evidence=Evidence(None if data is None else opened(data), table, force),
    )
    return Bundle.open(built)
