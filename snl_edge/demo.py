"""`snl-edge demo`: the whole way of one model on a synthetic line, in a few minutes on two CPU cores."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from snl_edge.data.layouts import open_dataset
from snl_edge.data.synthetic import PRODUCTS, write_synthetic_line
from snl_edge.infer.command import infer_files
from snl_edge.infer.table import View
from snl_edge.progress import console, progress_bar
from snl_edge.training.config import TrainingConfig
from snl_edge.workflow.bundles import build
from snl_edge.workflow.evaluating import evaluate
from snl_edge.workflow.runs import train

LINE_SEED = 7
SHOWN = 12
"""Rows of each product's table: the demo does not stop at a pager."""


def run_demo(folder: Path, *, quick: bool = False) -> None:
    """Draws a line, trains the edge preset on it, evaluates, builds an FP16 bundle and infers.

    With TensorRT-RTX or TensorRT installed the bundle gets its engine too (RTX builds it without a GPU).

    Raises:
        SnlEdgeError: a step failed; what earlier steps wrote stays in ``folder``.
    """
    line, run = folder / "line", folder / "run"
    products = list(PRODUCTS)[:2] if quick else list(PRODUCTS)
    train_images, good, defective = (12, 2, 4) if quick else (40, 10, 20)
    console.rule("1/5 draw a production line")
    with progress_bar("drawing") as report:
        write_synthetic_line(
            line, seed=LINE_SEED, train=train_images, good=good, defective=defective, products=products, progress=report
        )
    dataset = open_dataset(line)

    console.rule("2/5 train on good parts only")
    size = 128 if quick else 256
    settings = [f"height={size}", f"width={size}"]
    train(dataset, run, settings=settings, training=TrainingConfig(steps=20 if quick else 400, batch_size=8))

    console.rule("3/5 evaluate")
    html = evaluate(run, dataset, report=run / "report").page

    console.rule("4/5 build the FP16 bundle")
    engine = any(importlib.util.find_spec(name) for name in ("tensorrt", "tensorrt_rtx"))
    if not engine:
        console.print("no TensorRT here: the bundle gets its graphs, no engine (snl-edge doctor tells how to get one)")
    bundle = build(run, engine=engine).path

    console.rule("5/5 infer")
    for name in products:
        infer_files(
            [str(line / name / "test")],
            bundle,
            folder / "verdicts" / name,
            product=name,
            view=View(limit=SHOWN, paged=False),
        )
    for text in ("", f"report: {html}", f"heatmaps: {folder / 'verdicts'}", f"bundle: {bundle}"):
        console.print(text)
