"""The figures of a bench result: of one subject's measurements, and how well the bundle detects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

from snl_edge.errors import DataError
from snl_edge.outside.files import reason
from snl_edge.outside.json_text import read_json
from snl_edge.runtime.bundle import Bundle

from .cold_start import summarise_cold_starts
from .contender import Contender
from .latency import summarise_latency
from .roofline import counts_of, graph_roofline


@dataclass
class Subject:
    """One backend in one precision, and what was measured of it so far."""

    contender: Contender
    backend: str
    precision: str
    memory: dict[str, Any]
    latencies: dict[tuple[str, int], list[list[float]]] = field(default_factory=dict)
    throughputs: dict[tuple[int, int], list[dict[str, Any]]] = field(default_factory=dict)
    cold_starts: list[dict[str, float]] = field(default_factory=list)


def subject_figures(
    subject: Subject, bundle: Bundle, batches: Sequence[int], budget_ms: float | None, limits: Mapping[str, float]
) -> dict[str, Any]:
    """All figures of one subject, against the ceilings ``limits`` of what it ran on."""
    latency = {
        way: {str(batch): summarise_latency(subject.latencies[way, batch], budget_ms) for batch in batches}
        for way in subject.contender.about["ways"]
    }
    graph = bundle.graph(subject.precision)  # pyright: ignore[reportArgumentType]
    counts = counts_of(graph)
    engines = [r for r in bundle.engines() if (r.flavour, r.precision) == (subject.backend, subject.precision)]
    return {
        "backend": subject.backend,
        "precision": subject.precision,
        "description": subject.contender.about["description"],
        "graph_bytes": graph.stat().st_size,
        "engine_bytes": bundle.engine_path(engines[0]).stat().st_size if engines else None,
        "memory": subject.memory,
        "cold_start": summarise_cold_starts(subject.cold_starts),
        "latency": latency,
        "throughput": [_point(key, found) for key, found in subject.throughputs.items()],
        "end_to_end": end_to_end(subject.latencies, batches),
        "counts": counts,
        "roofline": counts
        if isinstance(counts, str)
        else {
            str(batch): graph_roofline(
                counts, _for_precision(limits, subject.precision), batch, _alone(latency, batch)["p50"]
            )
            for batch in batches
        },
    }


def _alone(latency: dict[str, Any], batch: int) -> dict[str, Any]:
    """The figures that a roofline is held against: the engine's by its own clock, else the backend's."""
    return latency.get("engine", latency["backend"])[str(batch)]


def _for_precision(limits: Mapping[str, float], precision: str) -> Mapping[str, float]:
    half = limits.get("fp16_flops_per_second")
    return {**limits, "flops_per_second": half} if half and precision != "fp32" else limits


def end_to_end(latencies: Mapping[tuple[str, int], list[list[float]]], batches: Sequence[int]) -> dict[str, Any]:
    """Throughput from frame to verdict over the bare backend's, at the batch that is best for the backend.

    ``ratio`` with frames of the camera's size, so with the resize; ``fitted_ratio`` with frames of the input's size.
    Medians over the ratios of neighbouring calls; ``rounds`` has the ratio of each round.
    """
    best = min(batches, key=lambda batch: median(chain.from_iterable(latencies["backend", batch])) / batch)

    def rounds(way: str) -> list[float]:
        pairs = zip(latencies["backend", best], latencies[way, best], strict=True)
        return [round(median(b / o for b, o in zip(bare, own, strict=True)), 4) for bare, own in pairs]

    ratio, fitted = rounds("detector"), rounds("fitted")
    return {
        "batch": best,
        "ratio": round(median(ratio), 4),
        "rounds": ratio,
        "fitted_ratio": round(median(fitted), 4),
        "fitted_rounds": fitted,
    }


def _point(key: tuple[int, int], found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One point of the throughput curve, and what the sensors said meanwhile: medians over rounds."""
    speeds = [one["images_per_second"] for one in found]
    sensors: dict[str, Any] = {}
    for name in found[0]["sensors"]:
        readings = [one["sensors"][name] for one in found]
        sensors[name] = {
            what: median(values) if (values := [r[what] for r in readings if r[what] is not None]) else None
            for what in readings[0]
            if what != "throttled"
        }
        sensors[name]["throttled"] = sorted({reason for r in readings for reason in r["throttled"]})
    return {
        "batch": key[0],
        "in_flight": key[1],
        "images_per_second": round(median(speeds), 2),
        "rounds": [round(speed, 2) for speed in speeds],
        "sensors": sensors,
    }


def throttling(subjects: dict[str, Any]) -> list[str]:
    """A sentence for each subject and sensor that was held down."""
    return [
        f"{sensor} was throttled while {name} ran: {', '.join(reasons)}"
        for name, own in subjects.items()
        for sensor in own["throughput"][0]["sensors"]
        if (reasons := sorted({r for point in own["throughput"] for r in point["sensors"][sensor]["throttled"]}))
    ]


SHOWN = ("image_auroc", "pixel_auroc", "aupro")


def quality_of(bundle: Bundle, metrics: Path | None) -> dict[str, float] | None:
    """Means over products, as fractions: from the file that `snl-edge evaluate` wrote, else from the manifest.

    Raises:
        DataError: the file is none of evaluate's.
    """
    content: Any = bundle.manifest.metrics
    if metrics is not None:
        try:
            content = read_json(metrics)
        except (OSError, ValueError) as error:
            raise DataError(
                f"cannot read {metrics}", reason(error), "give the metrics.json that `snl-edge evaluate` wrote"
            ) from error
    mean = content.get("mean") if isinstance(content, dict) else None
    if not isinstance(mean, dict):
        if metrics is not None:
            raise DataError(f"{metrics} holds no metrics", fix="give the metrics.json that `snl-edge evaluate` wrote")
        return None
    return {name: value for name in SHOWN if isinstance(value := mean.get(name), float)}
