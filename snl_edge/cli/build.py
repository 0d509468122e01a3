"""`export` and `build`: from a run to the graph and the engine."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .options import RUN, Precision, require, require_for_run


class Flavour(str, Enum):
    """Kinds of TensorRT."""

    tensorrt = "tensorrt"
    tensorrt_rtx = "tensorrt_rtx"


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Run folder that `train` wrote.")] = RUN,
    out: Annotated[Path, typer.Option(help="The ONNX file to write.")] = Path("snl.onnx"),
    precision: Annotated[Precision, typer.Option(help="Types written into the graph.")] = Precision.fp32,
) -> None:
    """Write one fused ONNX graph: image bytes in, calibrated anomaly map and score out.

    Example: snl-edge export runs/line3 --precision fp16 --out line3.onnx
    """
    require("torch", "timm", "onnx", "onnxsim", extra="train")
    from snl_edge.export.build import make_graphs
    from snl_edge.export.onnx_graph import save_graph
    from snl_edge.progress import console

    _, graphs, _ = make_graphs(run, precision.value)
    save_graph(graphs[precision.value], out)
    console.print(f"wrote {out}")


@app.command()
def build(
    source: Annotated[
        Path, typer.Argument(help="Run folder (needs torch), or a bundle (on the device, without torch).")
    ] = RUN,
    precision: Annotated[Precision, typer.Option(help="Precision of graph and engine.")] = Precision.fp16,
    out: Annotated[Path | None, typer.Option(help="Bundle folder; SOURCE/bundle if not given.")] = None,
    onnx_only: Annotated[
        bool, typer.Option("--onnx-only", help="No engine: the bundle runs on OpenVINO or ONNX Runtime.")
    ] = False,
    max_batch: Annotated[int | None, typer.Option(min=1, help="Largest batch; 8, or what the bundle says.")] = None,
    flavour: Annotated[Flavour | None, typer.Option(help="Which TensorRT, if both are installed.")] = None,
    compute_capability: Annotated[
        list[str] | None, typer.Option(help="Target GPU, as 8.6 (repeatable; TensorRT-RTX): builds without a GPU.")
    ] = None,
    workspace_mib: Annotated[
        int | None, typer.Option(min=1, help="Limit of TensorRT's scratch memory while building.")
    ] = None,
) -> None:
    """Make the bundle that a device needs, with a TensorRT engine in it.

    Example: snl-edge build --precision fp16

    On the device: snl-edge build bundle/ --precision fp16
    """
    require_for_run(source)
    from snl_edge.export.build import build as run_build
    from snl_edge.progress import console

    bundle = run_build(
        source,
        out,
        precision.value,
        engine=not onnx_only,
        max_batch=max_batch,
        flavour=flavour.value if flavour else None,
        compute_capabilities=compute_capability,
        workspace_bytes=workspace_mib * 2**20 if workspace_mib else None,
    )
    console.print(f"next: snl-edge infer IMAGES --bundle {bundle}")
