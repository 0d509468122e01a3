"""`snl-edge build`: from a trained run to a bundle with its graphs, and to the engine inside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import onnx

from snl_edge.progress import console
from snl_edge.training.checkpoint import Checkpoint, load_model
from snl_edge.training.reference import load_reference

from .fused_graph import FusedGraph
from .onnx_graph import export_onnx
from .parity import Parity, measure_parity, parity_images, run_pytorch
from .precision import to_fp16

if TYPE_CHECKING:
    pass

Precision = Literal["fp32", "fp16"]


def make_graphs(run: Path, precision: Precision) -> tuple[Checkpoint, dict[str, onnx.ModelProto], dict[str, Parity]]:
    """Exports the run's model and checks every graph against PyTorch; FP32 always, FP16 if asked for.

    Raises:
        CheckpointError, ExportError: the run cannot be read, or a graph cannot be made or disagrees.
    """
    model, checkpoint = load_model(run)
    images = parity_images(load_reference(run))
    with console.status("exporting the fused graph"):
        graphs = {"fp32": export_onnx(model, checkpoint.calibration, checkpoint.products)}
        if precision == "fp16":
            graphs["fp16"] = to_fp16(graphs["fp32"])
    with console.status("comparing every graph with PyTorch"):
        expected = run_pytorch(FusedGraph(model, checkpoint.calibration.gain), images)
        parity = {name: measure_parity(name, graph, images, expected) for name, graph in graphs.items()}
    return checkpoint, graphs, parity
