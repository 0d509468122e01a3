"""What each preset costs: parameters, operations and bytes of its fused graph, and its time on the CPU.

``python -m studies.speed.presets --rounds 11``

Weights are random: costs do not know what a network has learned. All presets run in one interleaved run.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from snl_edge.benchmarks.contender import Contender
from snl_edge.benchmarks.detector_subject import DetectorSpec
from snl_edge.benchmarks.graph_counts import count_graph
from snl_edge.benchmarks.results import Result
from snl_edge.benchmarks.system import Watch, describe_system
from snl_edge.benchmarks.tables import origin, table
from snl_edge.model.config import SnlConfig
from snl_edge.model.presets import PRESETS
from snl_edge.progress import console
from snl_edge.provenance import revision
from snl_edge.runtime.manifest import Precision

from ..ablation.results import rows_of
from ..ablation.tables import spread
from ..command import run_command
from ..random_models import random_model, write_random_bundle
from ..result_files import FOLDER, require_result, save_result
from .beside_peers import measure_rounds

KIND = "presets"
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
MEASURED = {"edge": "snl_rd_surprise", "balanced": "snl_rd_surprise_balanced"}
"""The rows of the study that are the presets' own settings."""
STUDY = "real10"
TEACHERS = {
    "tf_efficientnet_lite0": "EfficientNet-Lite0",
    "wide_resnet50_2": "WideResNet-50-2, as in the paper",
}
METRICS = ("image_auroc", "pixel_auroc", "aupro")


def measure(
    name: Annotated[str, typer.Option(help="Name of the result file.")] = "cpu",
    rounds: Annotated[int, typer.Option(min=1)] = 11,
    seconds: Annotated[float, typer.Option(min=0.01, help="Of each in a round.")] = 1.0,
    threads: Annotated[int | None, typer.Option(min=1, help="Of each; all cores if not given.")] = None,
    results: Annotated[Path, typer.Option(help="Folder of the result file.")] = FOLDER,
) -> None:
    """Counts and measures every preset and writes a result file."""
    revision()
    count = threads or len(os.sched_getaffinity(0))
    watch = Watch()
    costs: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as work:
        specs = {}
        for preset, config in PRESETS.items():
            console.print(f"exporting {preset}")
            folder = Path(work).resolve() / preset
            graph = folder / write_random_bundle(config, folder, fast=True).manifest.graphs["fp32"]
            counts = count_graph(graph)
            costs[preset] = {
                "teacher": config.teacher.architecture,
                "size": list(config.size),
                "patches": config.memory.centres * len(config.memory.descriptors) if config.memory else 0,
                "parameters": count_parameters(config),
                "flops": counts["flops"],
                "graph_bytes": graph.stat().st_size,
                "milliseconds": {},
            }
            for precision in PRECISIONS:
                specs[preset, precision] = DetectorSpec(
                    bundle=folder,
                    backend="openvino",
                    precision=precision,
                    frame=config.size,
                    threads=count,
                )
        with ExitStack() as stack:
            contenders = [stack.enter_context(Contender(" ".join(name), spec, count)) for name, spec in specs.items()]
            times = measure_rounds("presets", contenders, rounds, seconds, watch)
    for contender, ways in times.items():
        preset, precision = contender.split()
        own = [round(value, 3) for value in ways["fitted"]]
        costs[preset]["milliseconds"][precision] = {"median": median(own), "rounds": own}
    path = save_result(
        KIND,
        name,
        settings={"rounds": rounds, "seconds": seconds, "threads": count, "batch": 1, "weights": "random"},
        figures={"presets": costs, "noise": watch.findings()},
        system=describe_system([]),
        folder=results,
        file=f"presets-{name}.json",
    )
    console.print(f"wrote {path.name}")


def count_parameters(config: SnlConfig) -> dict[str, int]:
    """Numbers that a part of the model holds: weights of teacher and student, and patches kept of each product."""
    model = random_model(config)
    memory = 0 if model.memory is None else model.memory.kept.numel() // model.memory.products
    of = lambda part: sum(p.numel() for p in part.parameters())  # noqa: E731
    return {"teacher": of(model.teacher), "student": of(model.student), "memory_of_a_product": memory}


def presets_table(results: Mapping[str, Result], name: str) -> str:
    """One row per preset: what it is, costs and reaches.

    Raises:
        DataError: costs have not been measured.
    """
    result = require_result(results, KIND, name)
    rows = rows_of(results, STUDY)
    body = []
    for preset, own in result.figures["presets"].items():
        row = rows.get(MEASURED[preset]) if preset in MEASURED else None
        quality = [spread(row.values("evaluation", "mean", metric)) if row else "not measured" for metric in METRICS]
        weights = own["parameters"]
        body.append(
            [
                f"`{preset}`" + (" (default)" if preset == "edge" else ""),
                TEACHERS[own["teacher"]],
                f"{own['patches']:,}",
                *quality,
                f"{(weights['teacher'] + weights['student']) / 1e6:.1f} M",
                f"{own['flops'] / 1e9:.1f} G",
                *(f"{own['milliseconds'][precision]['median']:.1f}" for precision in PRECISIONS),
            ]
        )
    noise = "".join(f"; {warning}" for warning in result.figures["noise"]["warnings"])
    note = (
        f"<sub>OpenVINO, one image at a time, frame to verdict, {result.settings['threads']} threads, "
        f"{result.settings['rounds']} interleaved rounds, {result.machine['processor']}, "
        f"{origin(result)}{noise}</sub>\n"
    )
    costs = ["weights", "FLOPs", "FP32, ms", "INT8, ms"]
    return table(["preset", "teacher", "patches", "image AUROC", "pixel AUROC", "AUPRO", *costs], body) + "\n" + note


if __name__ == "__main__":
    run_command(measure)
