"""`export`, `calibrate` and `build`: from a run to the graph and the engine."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from snl_edge.extras import GRAPHS, require

from .app import app
from .numbers import MOST_SEED
from .options import (
    RUN,
    Colours,
    Data,
    Frame,
    FrameColours,
    Layout,
    LayoutOption,
    Precision,
    open_data,
    parse_frame,
)


class Flavour(str, Enum):
    """Kinds of TensorRT."""

    tensorrt = "tensorrt"
    tensorrt_rtx = "tensorrt_rtx"


class GraphPrecision(str, Enum):
    """Precisions that need no images."""

    fp32 = "fp32"
    fp16 = "fp16"


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Run folder that `train` wrote.")] = RUN,
    out: Annotated[Path, typer.Option(help="The ONNX file to write.")] = Path("snl.onnx"),
    precision: Annotated[GraphPrecision, typer.Option(help="Types written into the graph.")] = GraphPrecision.fp32,
    frame: Frame = None,
    frame_colours: FrameColours = Colours.rgb,
) -> None:
    """Write one fused ONNX graph: image bytes in, anomaly map and score out, on the scale of the thresholds.

    An INT8 graph depends on images and an accuracy gate: snl-edge build --precision int8 --onnx-only makes it.

    Example: snl-edge export runs/line3 --precision fp16 --out line3.onnx
    """
    require("exporting", *GRAPHS, extra="train")
    taken = parse_frame(frame, frame_colours)
    from snl_edge.export.graphs import make_graphs
    from snl_edge.export.onnx_graph import save_graph
    from snl_edge.progress import console

    _, graphs, _ = make_graphs(run, precision.value)
    graph = graphs[precision.value]
    if taken is not None:
        from snl_edge.export.frame_parity import add_fronts

        graph = add_fronts(run, {precision.value: graph}, taken)[0][precision.value]
    save_graph(graph, out)
    console.print(f"wrote {out}")


@app.command()
def calibrate(
    data: Data,
    model: Annotated[Path, typer.Option(help="Run folder that `train` wrote.")] = RUN,
    out: Annotated[Path | None, typer.Option(help="The table to write; MODEL/calibration.json if not given.")] = None,
    images: Annotated[
        int,
        typer.Option(
            min=2, max=1_000_000, help="Good images over all products; half as many damaged ones come on top."
        ),
    ] = 128,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="Same model, images and seed: same table, byte for byte.")
    ] = 0,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Also measure how much each layer suffers: table and picture.")
    ] = False,
    layout: LayoutOption = Layout.auto,
) -> None:
    """Measure the ranges that INT8 spreads over, on good images, and write them as a readable table.

    Example: snl-edge calibrate parts/ --model runs/line3
    """
    require("calibrating", *GRAPHS, extra="train")
    from snl_edge.progress import console
    from snl_edge.runtime.remedies import build_command
    from snl_edge.workflow import bundles

    dataset = open_data(data, layout, None)
    written = bundles.calibrate(model, dataset, out=out, images=images, seed=seed, sensitivity=sensitivity)
    console.print(f"calibration table: {written}")
    console.print(f"next: {build_command(model)} --precision int8 --data {data}")


@app.command()
def build(
    source: Annotated[
        Path, typer.Argument(help="Run folder (needs torch), or a bundle (on the device, without torch).")
    ] = RUN,
    precision: Annotated[
        Precision, typer.Option(help="Precision of graph and engine; auto: the best that passes the accuracy gate.")
    ] = Precision.fp16,
    out: Annotated[Path | None, typer.Option(help="Bundle folder; SOURCE/bundle if not given.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Images for int8, thresholds and gate: the training set, best with a labelled test set."),
    ] = None,
    layout: LayoutOption = Layout.auto,
    table: Annotated[
        Path | None, typer.Option("--calibration", help="Calibration table; SOURCE's own, or a new one, if not given.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Ship what fails the accuracy gate; the manifest says so.")
    ] = False,
    onnx_only: Annotated[
        bool, typer.Option("--onnx-only", help="No engine: the bundle runs on OpenVINO or ONNX Runtime.")
    ] = False,
    frame: Frame = None,
    frame_colours: FrameColours = Colours.rgb,
    max_batch: Annotated[
        int | None,
        typer.Option(
            min=1, max=4096, help="Largest batch; 8, or what the bundle says. Large frames make large batches."
        ),
    ] = None,
    opt_batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=4096,
            help="Batch that kernels are tuned for beside 1, or with TensorRT-RTX's one profile in its place.",
        ),
    ] = None,
    flavour: Annotated[Flavour | None, typer.Option(help="Which TensorRT, if both are installed.")] = None,
    compute_capability: Annotated[
        list[str] | None, typer.Option(help="Target GPU, as 8.6 (repeatable; TensorRT-RTX): builds without a GPU.")
    ] = None,
    workspace_mib: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=2**20,
            help="Limit of TensorRT's scratch memory while building; a quarter of a Jetson's if not given.",
        ),
    ] = None,
) -> None:
    """Make the bundle that a device needs, with a TensorRT engine in it.

    Example: snl-edge build --precision fp16

    INT8: snl-edge build runs/line3 --precision int8 --data parts/

    On the device: snl-edge build bundle/ --precision fp16

    For a camera of 5 megapixels: snl-edge build --frame 2448x2048 --frame-colours bgr --max-batch 1
    """
    taken = parse_frame(frame, frame_colours)
    from snl_edge.progress import console
    from snl_edge.workflow import bundles
    from snl_edge.workflow.needs import require_for_run

    require_for_run(source)
    bundle = bundles.build(
        source,
        out,
        precision.value,
        data=open_data(data, layout, None) if data else None,
        calibration=table,
        force=force,
        engine=not onnx_only,
        frame=taken,
        max_batch=max_batch,
        opt_batch=opt_batch,
        flavour=flavour.value if flavour else None,
        compute_capabilities=compute_capability,
        workspace_bytes=workspace_mib * 2**20 if workspace_mib else None,
    )
    console.print(f"next: snl-edge infer IMAGES --bundle {bundle.path}")
