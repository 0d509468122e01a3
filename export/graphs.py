"""A run's model as fused graphs, each compared with PyTorch before anyone gets it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import onnx

from snl_edge.errors import ExportError
from snl_edge.model.fused_graph import FusedGraph
from snl_edge.progress import console
from snl_edge.training.checkpoint import Checkpoint, load_model
from snl_edge.training.reference import load_reference

from .onnx_graph import export_onnx
from .parity import Parity, measure_parity, parity_images, run_pytorch
from .precision import to_fp16


def make_graphs(
    run: Path, precision: Literal["fp32", "fp16"], refused: list[str] | None = None
) -> tuple[Checkpoint, dict[Literal["fp32", "fp16"], onnx.ModelProto], list[Parity]]:
    """Exports the run's model and checks every graph against PyTorch; FP32 always, FP16 if asked for.

    With ``refused``, an FP16 graph that cannot be made or disagrees is left out, and the reason is added to it.

    Raises:
        CheckpointError, ExportError: the run cannot be read, or a graph cannot be made or disagrees.
    """
    model, checkpoint = load_model(run)
    images = parity_images(load_reference(run))
    with console.status("exporting the fused graph"):
        exact = export_onnx(model, checkpoint.score_scale, checkpoint.products)
    graphs: dict[Literal["fp32", "fp16"], onnx.ModelProto] = {"fp32": exact}
    with console.status("comparing every graph with PyTorch"):
        expected = run_pytorch(FusedGraph(model, checkpoint.score_scale.gain).eval(), images)
        parity = [measure_parity("fp32", exact, images, expected)]
        if precision == "fp16":
            try:
                half = to_fp16(exact)
                parity.append(measure_parity("fp16", half, images, expected))
                graphs["fp16"] = half
            except ExportError as error:
                if refused is None:
                    raise
                refused.append(str(error))
    for record in parity:
        console.print(record.summary())
        if record.doubt:
            console.print(record.doubt)
    return checkpoint, graphs, parity
