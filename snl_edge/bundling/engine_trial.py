"""Engines tried where they will run: is INT8 faster than FP16 here, and does it detect as FP32 does?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from snl_edge.data.samples import Dataset
from snl_edge.errors import DataError, ExportError
from snl_edge.evaluation.evaluate import Predict
from snl_edge.progress import console, progress_bar
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.detector import Detector
from snl_edge.runtime.engine_record import EngineRecord, side_file
from snl_edge.runtime.frame import stretched
from snl_edge.runtime.manifest import Precision, sha256_of
from snl_edge.runtime.signature import ANYBODY

from .gate import GateReport, compare
from .gate_images import GateImages, gate_images, judge

WARM_UP = 20
ROUNDS = 100


def keep_or_remove(
    bundle: Bundle,
    record: EngineRecord,
    rival: EngineRecord | None,
    *,
    auto: bool,
    images: GateImages | None,
    force: bool,
) -> None:
    """Times the engine of ``record`` against its FP16 ``rival`` and judges it; removes what may not stay.

    Raises:
        ExportError: the engine fails the gate; it is gone then, unless ``force``.
        DataError: an image cannot be read.
    """
    if images is not None and record.precision != "fp32":
        report = gate_engine(bundle, record, images)
        console.print(report.summary())
        if not report.passed and not force:
            remove_engine(bundle, record)
            report.require("build with --precision fp16 or fp32; the engine was removed")
    if rival is None:
        return
    with (
        # Built here a moment ago, from a bundle that was checked: nobody can have signed them.
        Detector.load(bundle.path, backend=record.flavour, precision=record.precision, trust=ANYBODY) as ours,
        Detector.load(bundle.path, backend=rival.flavour, precision=rival.precision, trust=ANYBODY) as theirs,
    ):
        size = bundle.manifest.input.image_size
        times = interleaved({record.precision: ours.predict, rival.precision: theirs.predict}, size)
    mine, other = times[record.precision], times[rival.precision]
    words = ", ".join(f"{name} {1e3 * seconds:.2f} ms" for name, seconds in times.items())
    console.print(f"one image, median of {ROUNDS}: {words}")
    if mine <= other:
        remove_engine(bundle, rival)
    elif auto:
        console.print("INT8 is slower than FP16 here: the FP16 engine stays")
        remove_engine(bundle, record)
    else:
        console.print("INT8 is slower than FP16 here: build with --precision fp16, or let --precision auto choose")
        remove_engine(bundle, rival)


def engine_images(bundle: Bundle, dataset: Dataset) -> GateImages:
    """What the engines of ``bundle`` are judged on: a labelled test set, else good images that were not trained on.

    The memory holds patches of those that were: their scores are too good to show what an engine loses.

    Raises:
        DataError: there is neither in ``dataset``.
    """
    held_out = frozenset(bundle.manifest.held_out)
    good = [sample for sample in dataset.train if held_out and sha256_of(sample.path) in held_out]
    images = gate_images(dataset.test, good)
    if not (images.labelled or images.unlabelled):
        raise DataError(
            f"{dataset.root} holds no image that engines of {bundle.path} can be judged on",
            "no labelled test set, and none of the good images that the bundle knows to be held out of training",
            "give the folder that it was trained on, to the bundle's build too (--data), or add a labelled test set",
        )
    return images


def gate_engine(bundle: Bundle, record: EngineRecord, images: GateImages) -> GateReport:
    """Holds the engine, run by its own backend, against the bundle's FP32 graph on the CPU.

    Raises:
        ExportError: the engine is FP32, which is what others are held against.
        DataError: an image cannot be read.
    """
    return gate_detectors(bundle.path, ("onnxruntime", "fp32"), (record.flavour, record.precision), images)


def gate_detectors(
    bundle: Path, reference: tuple[str, Precision], found: tuple[str, Precision], images: GateImages
) -> GateReport:
    """Holds one backend and precision of a bundle against another, each with its own thresholds.

    A bundle built for frames of one size sees images brought to that size.
    """
    if found[1] == "fp32":
        raise ExportError("FP32 is what others are held against")
    judged = []
    for backend, precision in (reference, found):
        with (
            Detector.load(bundle, backend=backend, precision=precision, trust=ANYBODY) as detector,
            progress_bar(f"gate: judging with {detector.backend.description}") as report,
        ):
            manifest = detector.bundle.manifest
            judged.append(
                judge(
                    detector.predict,
                    images,
                    manifest.input.size,
                    lambda product, manifest=manifest, precision=precision: manifest.threshold_for(product, precision),
                    manifest.products,
                    report,
                    None if manifest.input.frame is None else lambda one, takes=manifest.input: stretched(one, takes),
                )
            )
            description = detector.backend.description
    return compare(judged[0], judged[1], found[1], description)


def interleaved(predicts: Mapping[str, Predict], size: tuple[int, int]) -> dict[str, float]:
    """Median seconds of one image for each, in turn, so that a change of clocks meets all alike."""
    image = np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8)
    times: dict[str, list[float]] = {name: [] for name in predicts}
    for turn in range(WARM_UP + ROUNDS):
        for name, predict in predicts.items():
            started = time.perf_counter()
            predict(image)
            if turn >= WARM_UP:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def remove_engine(bundle: Bundle, record: EngineRecord) -> None:
    """Removes an engine, its side file first: an engine without one is no engine."""
    engine = bundle.engine_path(record)
    side_file(engine).unlink(missing_ok=True)
    engine.unlink(missing_ok=True)
