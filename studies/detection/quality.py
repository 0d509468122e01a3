"""Detection quality on real images: train, evaluate, build FP16 and compare every runtime, as one result file.

``python -m studies.detection.quality DATA --name real10-edge``
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from snl_edge.bundling.build import build
from snl_edge.data.layouts import open_dataset
from snl_edge.data.samples import Sample
from snl_edge.evaluation.report import write_report
from snl_edge.evaluation.run import evaluate_model
from snl_edge.export.onnx_graph import read_graph
from snl_edge.export.parity import TOLERANCE, run_graph, run_pytorch
from snl_edge.image import fit_to_input
from snl_edge.model.config import override
from snl_edge.model.fused_graph import FusedGraph
from snl_edge.model.presets import preset as named
from snl_edge.provenance import revision
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.detector import Detector
from snl_edge.scoring.scale import DECISION
from snl_edge.training.checkpoint import load_model
from snl_edge.training.config import TrainingConfig

from ..command import run_command
from ..result_files import save_result
from ..trained_runs import trained


def quality(
    data: Annotated[Path, typer.Argument(help="Data set in MVTec AD or VisA layout.")],
    name: Annotated[str, typer.Option(help="Name of the result file.")],
    run: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/quality"),
    preset: Annotated[str, typer.Option()] = "edge",
    settings: Annotated[list[str] | None, typer.Option("--set", help="Model settings, as for train.")] = None,
    steps: Annotated[int, typer.Option()] = 1200,
    batch_size: Annotated[int, typer.Option()] = 16,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Runs the main job on DATA and writes what it measured."""
    revision()  # of the code that starts, whatever is committed meanwhile
    dataset = open_dataset(data)
    config = override(named(preset), settings or [])
    training = TrainingConfig(steps=steps, batch_size=batch_size, seed=seed)
    checkpoint = trained(config, training, dataset, run)
    torch_evaluation, provenance = evaluate_model(run, dataset)
    write_report(torch_evaluation, run / "report", title=f"{preset} on {data.name}", provenance=provenance)
    bundle = build(run, None, "fp16")
    figures: dict[str, Any] = {
        "pytorch": torch_evaluation.figures(),
        "agreement": agreement(run, bundle, dataset.test),
        "training_seconds": checkpoint.seconds,
        "training_revision": checkpoint.revision,
        "calibration": checkpoint.score_scale.model_dump(),
        "bundle": bundle_summary(bundle),
    }
    path = save_result(
        "quality",
        name,
        settings={
            "preset": preset,
            "model": config.model_dump(mode="json"),
            "training": training.model_dump(mode="json"),
        },
        figures=figures,
    )
    typer.echo(f"wrote {path}")


def agreement(run: Path, bundle: Path, samples: Sequence[Sample], most: int = 100) -> dict[str, dict[str, float]]:
    """How far each way to run the model is from PyTorch on up to ``most`` test images, on the score scale.

    ``fp16_rounded`` is the FP16 graph with its roundings shown on a CPU; ``flips`` counts verdicts that change
    though the score is further than 5e-3 from the threshold.
    """
    model, checkpoint = load_model(run)
    chosen = samples[:: max(1, len(samples) // most)]
    images = np.stack([fit_to_input(sample.read(), checkpoint.model.size) for sample in chosen])
    expected = run_pytorch(FusedGraph(model, checkpoint.score_scale.gain).eval(), images)
    answers = {"fp16_rounded": run_graph(read_graph(Bundle.open(bundle).graph("fp16")), images)}
    for backend in ("onnxruntime", "openvino"):
        with Detector.load(bundle, backend=backend, precision="fp32") as detector:
            answers[f"{backend}_fp32"] = detector.predict(images)
    clear = np.abs(expected.score - DECISION) > TOLERANCE["fp16"]
    return {
        name: {
            "images": len(images),
            "map_difference": float(np.abs(found.anomaly_map - expected.anomaly_map).max()),
            "score_difference": float(np.abs(found.score - expected.score).max()),
            "flips": int((((found.score > DECISION) != (expected.score > DECISION)) & clear).sum()),
        }
        for name, found in answers.items()
    }


def bundle_summary(bundle: Path) -> dict[str, Any]:
    """Sizes in bytes of graphs and engines, and the parity records."""
    opened = Bundle.open(bundle)
    return {
        "parity": opened.manifest.parity,
        "graph_bytes": {p: opened.graph(p).stat().st_size for p in opened.manifest.graphs},
        "engines": [record.model_dump(mode="json") for record in opened.engines()],
    }


if __name__ == "__main__":
    run_command(quality)
