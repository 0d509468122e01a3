"""`snl-edge bench`: what a bundle does on this machine, on every backend and in every precision it can run in.

Every subject lives in a process of its own. Rounds go through all of them, each starting with another one, so that
other load on the machine slows all of them alike.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from snl_edge.errors import BackendError, ConfigError, SnlEdgeError
from snl_edge.progress import Report, console, progress_bar
from snl_edge.runtime.backend import BACKENDS, backend_kind, require
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.manifest import FILE, sha256_of

from .ceilings import CeilingsSpec
from .cold_start import measure_cold_start
from .contender import Contender
from .detector_subject import DetectorSpec
from .figures import Subject, quality_of, subject_figures, throttling
from .results import describe_run, write_result
from .sensors import Meter, Sensor, find_sensors
from .system import Watch, describe_system

KIND = "bench"
MOST_COLD_STARTS = 5


@dataclass(frozen=True)
class BenchOptions:
    """What to measure, and how long."""

    backends: tuple[str, ...] = ()
    """Empty: every one that is available here."""
    precisions: tuple[str, ...] = ()
    """Empty: every one that the bundle has."""
    batches: tuple[int, ...] = (1, 4, 8)
    in_flight: tuple[int, ...] = (1, 2)
    frame: tuple[int, int] | None = None
    """``(height, width)``; if not given, that of a bundle that takes one size alone, else 480 by 640."""
    images: Path | None = None
    rounds: int = 5
    seconds: float = 0.5
    """Of one turn of one way at one batch size."""
    threads: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    device: int = 0
    budget_ms: float | None = None
    metrics: Path | None = None
    seed: int = 0


def bench(path: Path, options: BenchOptions, out: Path) -> dict[str, Any]:
    """Measures the bundle in ``path`` and writes the result file ``out``; returns its figures.

    Raises:
        BundleError: the bundle is incomplete or damaged.
        BackendError: a backend that was asked for is not available, or none has anything to run.
        OutputError: ``out`` cannot be written.
    """
    bundle = Bundle.open(path)
    options = replace(options, frame=frame_size(bundle, options.frame))
    pairs = choose_subjects(bundle, options)
    quality = quality_of(bundle, options.metrics)
    sensors, missing = find_sensors(options.device)
    watch = Watch()
    with ExitStack() as stack:
        subjects, skipped = _start(bundle, pairs, options, sensors, stack)
        ceilings = stack.enter_context(Contender("ceilings", CeilingsSpec(threads=options.threads), options.threads))
        # Asked once all is loaded and warm, so that no frame of ours is taken for somebody else's.
        busy = _busy(sensors, {subject.contender.pid for subject in subjects})
        with progress_bar("measuring") as report:
            limits = _measure(bundle, subjects, ceilings, sensors, watch, options, report)
        gpu_limits = _gpu_ceilings(subjects)
    figures = {
        "subjects": {
            subject.contender.name: subject_figures(
                subject, bundle, options.batches, options.budget_ms, gpu_limits or limits
            )
            for subject in subjects
        },
        "skipped": skipped,
        "ceilings": limits,
        "gpu_ceilings": gpu_limits,
        "noise": watch.findings(),
        "sensors_missing": missing,
        "quality": quality,
    }
    figures["noise"]["warnings"] += [*busy, *throttling(figures["subjects"])]
    result = describe_run(
        KIND,
        bundle.manifest.name,
        settings={
            "bundle": {
                "name": bundle.manifest.name,
                "manifest_sha256": sha256_of(path / FILE),
                "graphs": {precision: bundle.graph_sha256(precision) for precision in bundle.manifest.graphs},
                "input": bundle.manifest.input.model_dump(),
            },
            **{name: value for name, value in asdict(options).items() if name not in ("images", "metrics")},
            "frames": "real images" if options.images else "random noise",
        },
        figures=figures,
        system=describe_system(sensors),
    )
    write_result(result, out)
    return figures


def frame_size(bundle: Bundle, asked: tuple[int, int] | None) -> tuple[int, int]:
    """``(height, width)`` of the frames to measure with.

    Raises:
        ConfigError: the bundle was built for another size alone.
    """
    frame = bundle.manifest.input.frame
    if frame is None:
        return asked or (480, 640)
    if asked not in (None, frame.size):
        raise ConfigError(
            f"{bundle.path} cannot be measured with frames of {asked[1]}x{asked[0]}",
            f"it was built for {frame.width}x{frame.height} alone",
            "leave --frame out, or build another bundle",
        )
    return frame.size


def choose_subjects(bundle: Bundle, options: BenchOptions) -> list[tuple[str, str]]:
    """Pairs of backend and precision that can run here; those asked for, or all.

    Raises:
        BackendError, ConfigError, BundleError: something asked for is unknown or not available.
    """
    for name in options.backends:
        require(backend_kind(name), options.device)
    pairs: list[tuple[str, str]] = []
    for kind in BACKENDS:
        asked = kind.name in options.backends
        if (options.backends and not asked) or not kind.probe(options.device).available:
            continue
        if kind.flavour is None:
            present: Sequence[str] = [p for p in bundle.manifest.graphs if p in kind.precisions]
        else:
            present = [record.precision for record in bundle.engines() if record.flavour == kind.flavour]
        wanted = [precision for precision in dict.fromkeys(present) if precision in (options.precisions or present)]
        if asked and not wanted:
            raise BackendError(
                f"backend {kind.name} has nothing to run",
                f"bundle {bundle.path} has {', '.join(present) or 'no engine'} for it",
                f"build it: snl-edge build {bundle.path}" if kind.flavour else "choose one of these precisions",
            )
        pairs += [(kind.name, precision) for precision in wanted]
    if not pairs:
        raise BackendError(
            f"there is nothing to measure in {bundle.path}",
            f"it has {', '.join(bundle.manifest.graphs)} graphs and {len(bundle.engines())} engines",
            "choose another precision, or see `snl-edge doctor`",
        )
    too_large = [batch for batch in options.batches if batch > bundle.manifest.input.max_batch]
    if too_large:
        raise ConfigError(
            f"a batch of {too_large[0]} is too large",
            f"the bundle takes up to {bundle.manifest.input.max_batch}",
            "choose smaller --batches, or build with a larger --max-batch",
        )
    return pairs


def _start(
    bundle: Bundle,
    pairs: Sequence[tuple[str, str]],
    options: BenchOptions,
    sensors: Sequence[Sensor],
    stack: ExitStack,
) -> tuple[list[Subject], dict[str, str]]:
    """Loads and warms up every subject; those that cannot be loaded, with the reason, unless they were asked for."""
    subjects: list[Subject] = []
    skipped: dict[str, str] = {}
    assert options.frame is not None
    for backend, precision in pairs:
        spec = DetectorSpec(
            bundle=bundle.path.resolve(),
            backend=backend,
            precision=precision,
            frame=options.frame,
            threads=options.threads,
            device=options.device,
            images=options.images and options.images.resolve(),
            seed=options.seed,
        )
        name = f"{backend} {precision}"
        console.print(f"loading {name}")
        try:
            contender = stack.enter_context(Contender(name, spec, options.threads))
        except SnlEdgeError as error:
            if options.backends:
                raise
            console.print(f"not measured: {name}: {error}", style="yellow")
            skipped[name] = str(error)
            continue
        memory = contender.ask("memory")
        for used in (used for sensor in sensors if (used := getattr(sensor, "used_bytes", None))):
            memory["device_bytes"] = used(contender.pid)
        for batch in options.batches:
            contender.ask("calls", batch=batch, seconds=options.seconds)
        subjects.append(Subject(contender, backend, precision, memory))
    if not subjects:
        raise BackendError("no backend could be loaded", "; ".join(skipped.values()), "see `snl-edge doctor`")
    return subjects, skipped


def _measure(
    bundle: Bundle,
    subjects: Sequence[Subject],
    ceilings: Contender,
    sensors: Sequence[Sensor],
    watch: Watch,
    options: BenchOptions,
    report: Report,
) -> dict[str, float]:
    """All rounds; returns the ceilings of the processor."""
    limits: list[dict[str, float]] = []
    for turn in range(options.rounds):
        watch.probe()
        limits.append(ceilings.ask("limits", seconds=0.3))
        for done, subject in enumerate(rotated(subjects, turn)):
            report(turn * len(subjects) + done, options.rounds * len(subjects), subject.contender.name)
            _one_turn(subject, turn, sensors, options)
            if turn < MOST_COLD_STARTS:
                arguments = (subject.backend, subject.precision, options.threads)
                subject.cold_starts.append(measure_cold_start(bundle.path, *arguments))
    report(options.rounds * len(subjects), options.rounds * len(subjects))
    return {name: max(found[name] for found in limits) for name in limits[0]}


def _one_turn(subject: Subject, turn: int, sensors: Sequence[Sensor], options: BenchOptions) -> None:
    for batch in options.batches:
        found = subject.contender.ask("calls", batch=batch, seconds=options.seconds)["seconds"]
        for way, taken in found.items():
            subject.latencies.setdefault((way, batch), []).append(taken)
        for in_flight in options.in_flight:
            with Meter(sensors) as meter:
                found = subject.contender.ask("throughput", batch=batch, in_flight=in_flight, seconds=options.seconds)
            found["sensors"] = meter.summary(found["images"])
            subject.throughputs.setdefault((batch, in_flight), []).append(found)


def rotated(items: Sequence[Any], turn: int) -> Iterator[Any]:
    """All items, each round starting with another one."""
    first = turn % len(items)
    yield from [*items[first:], *items[:first]]


def _gpu_ceilings(subjects: Sequence[Subject]) -> dict[str, Any] | None:
    on_gpu = next((s for s in subjects if backend_kind(s.backend).flavour is not None), None)
    if on_gpu is None:
        return None
    try:
        return on_gpu.contender.ask("gpu_ceilings")
    except SnlEdgeError as error:
        console.print(str(error), style="yellow")
        return None


def _busy(sensors: Sequence[Sensor], own: set[int]) -> list[str]:
    asked = (getattr(sensor, "busy", None) for sensor in sensors)
    return [said for ask in asked if ask is not None and (said := ask(own))]
