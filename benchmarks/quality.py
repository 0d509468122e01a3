"""Detection quality on real images: train, evaluate, build FP16 and infer, as one result file.

``python -m snl_edge.benchmarks.quality DATA --name real10-edge``
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from snl_edge.data.layouts import open_dataset
from snl_edge.evaluation.report import write_report
from snl_edge.evaluation.run import evaluate_model
from snl_edge.export.build import build
from snl_edge.model.config import override
from snl_edge.model.presets import preset as named
from snl_edge.training.config import TrainingConfig
from snl_edge.training.loop import train

from .results import save_result


def measure(
    data: Annotated[Path, typer.Argument(help="Data set in MVTec AD or VisA layout.")],
    name: Annotated[str, typer.Option(help="Name of the result file.")],
    run: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/quality"),
    preset: Annotated[str, typer.Option()] = "edge",
    settings: Annotated[list[str] | None, typer.Option("--set", help="Model settings, as for train.")] = None,
    steps: Annotated[int, typer.Option()] = 1500,
    batch_size: Annotated[int, typer.Option()] = 16,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Runs the main job on DATA and writes what it measured."""
    dataset = open_dataset(data)
    config = override(named(preset), settings or [])
    training = TrainingConfig(steps=steps, batch_size=batch_size, seed=seed)
    checkpoint = train(config, training, dataset, run)
    torch_evaluation, provenance = evaluate_model(run, dataset)
    write_report(torch_evaluation, run / "report", title=f"{preset} on {data.name}", provenance=provenance)
    bundle = build(run, None, "fp16")
    started = time.monotonic()
    bundle_evaluation, _ = evaluate_model(bundle, dataset)
    figures: dict[str, Any] = {
        "pytorch": torch_evaluation.figures(),
        "bundle_fp32": bundle_evaluation.figures(),
        "bundle_seconds": round(time.monotonic() - started, 1),
        "training_seconds": checkpoint.seconds,
        "calibration": checkpoint.calibration.model_dump(),
        "bundle": bundle_summary(bundle),
    }
    path = save_result(
        "quality",
        name,
        settings={"preset": preset, "model": config.model_dump(mode="json"), "training": training.model_dump(mode="json")},
        figures=figures,
    )
    typer.echo(f"wrote {path}")


def bundle_summary(bundle: Path) -> dict[str, Any]:
    """Sizes in bytes of graphs and engines, and the parity records."""
    from snl_edge.runtime.bundle import Bundle

    opened = Bundle.open(bundle)
    return {
        "parity": opened.manifest.parity,
        "graph_bytes": {p: opened.graph(p).stat().st_size for p in opened.manifest.graphs},
        "engines": [record.model_dump(mode="json") for record in opened.engines()],
    }


if __name__ == "__main__":
    typer.run(measure)
