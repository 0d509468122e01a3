"""How verdicts move when the camera changes: training without changed copies of its images, and with them.

``python -m studies.detection.robustness DATA --name real10 --steps 600``
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from snl_edge.bundling.build import build
from snl_edge.data.layouts import open_dataset
from snl_edge.evaluation.run import evaluate_model, robustness_of_model
from snl_edge.model.config import override
from snl_edge.model.presets import preset as named
from snl_edge.provenance import revision
from snl_edge.training.config import CameraConfig, TrainingConfig

from ..command import run_command
from ..result_files import save_result
from ..trained_runs import comparable, trained

WAYS = {"without": None, "with": CameraConfig(), "thresholds": CameraConfig(thresholds=True)}
"""Training as it was before there were camera changes, as it is, and with thresholds set on changed copies, too."""


def robustness(
    data: Annotated[Path, typer.Argument(help="Data set in MVTec AD or VisA layout.")],
    name: Annotated[str, typer.Option(help="Name of the result file.")],
    run: Annotated[Path, typer.Option(help="Folder of the run folders.")] = Path("runs/robustness"),
    preset: Annotated[str, typer.Option()] = "edge",
    settings: Annotated[list[str] | None, typer.Option("--set", help="Model settings, as for train.")] = None,
    steps: Annotated[int, typer.Option()] = 600,
    batch_size: Annotated[int, typer.Option()] = 16,
    seed: Annotated[int, typer.Option()] = 0,
    ways: Annotated[str, typer.Option(help="Which, separated by commas.")] = ",".join(WAYS),
) -> None:
    """Trains each way on DATA, judges its test images under every change, and writes what it measured."""
    revision()  # of the code that starts, whatever is committed meanwhile
    dataset, config = open_dataset(data), override(named(preset), settings or [])
    training = TrainingConfig(steps=steps, batch_size=batch_size, seed=seed)
    figures: dict[str, Any] = {}
    for way in ways.split(","):
        camera = WAYS[way]
        started = time.monotonic()
        trained(config, training.model_copy(update={"camera": camera}), dataset, run / way)
        seconds = time.monotonic() - started
        # A bundle, as a line runs it, takes a third of PyTorch's time on a CPU.
        bundle = build(run / way, None, "fp32", engine=False)
        evaluation, _ = evaluate_model(bundle, dataset)
        figures[way] = {
            "evaluation": evaluation.figures(),
            "changes": robustness_of_model(bundle, dataset).figures(),
            # From the first image read to the last file written; a finished run only has its thresholds set again.
            "seconds": round(seconds, 1),
        }
    path = save_result(
        "robustness",
        name,
        settings={
            "preset": preset,
            "model": config.model_dump(mode="json"),
            "training": comparable(training),
        },
        figures=figures,
    )
    typer.echo(f"wrote {path}")


if __name__ == "__main__":
    run_command(robustness)
