"""What FP16, BF16 and INT8 lose against FP32 on real parts, per product, and how small they are, as one result file.

``python -m studies.precision.loss DATA --run runs/real10 --name real10-edge``
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import onnx
import typer

from snl_edge.bundling.gate import GateReport, compare
from snl_edge.bundling.gate_images import gate_images, judge
from snl_edge.bundling.qualification import Qualified, Qualifier
from snl_edge.calibration.measure import table_for
from snl_edge.data.layouts import open_dataset
from snl_edge.export.graphs import make_graphs
from snl_edge.export.onnx_graph import graph_metadata, save_graph
from snl_edge.progress import progress_bar
from snl_edge.provenance import revision
from snl_edge.runtime.manifest import Precision
from snl_edge.runtime.onnxruntime_backend import OnnxRuntimeBackend
from snl_edge.runtime.openvino_backend import emulates
from snl_edge.scoring.scale import DECISION
from snl_edge.training.image_record import find_images

from ..command import run_command
from ..result_files import save_result
from .engine_sizes import sizes_of


def measure(
    data: Annotated[Path, typer.Argument(help="Data set in MVTec AD or VisA layout, with its test set.")],
    name: Annotated[str, typer.Option(help="Name of the result file.")],
    run: Annotated[Path, typer.Option(help="Run folder of a model trained on DATA.")],
) -> None:
    """Calibrates, judges FP16 and INT8 on the labelled test set, builds engines without a GPU, writes the figures."""
    revision()  # of the code that starts, whatever is committed meanwhile
    dataset = open_dataset(data)
    checkpoint, graphs, _ = make_graphs(run, "fp16")
    exact = graphs["fp32"]
    found, training = find_images(run, dataset), checkpoint.training
    table, chosen = table_for(exact, run, None, found.of("trained"))
    images = gate_images(dataset.test, found.of("gate"))
    qualifier = Qualifier(exact, checkpoint.score_scale, images, found.of("held_out"))
    half = qualifier.qualify(graphs["fp16"], "fp16")
    int8, _ = qualifier.qualify_int8(table, chosen)
    on_openvino: dict[str, dict[str, Any]] = {}
    ways: tuple[tuple[Literal["bf16", "int8"], Qualified], ...] = (("bf16", half), ("int8", int8))
    for precision, qualified in ways:
        if not emulates(precision):
            on_openvino[f"{precision}_openvino"] = losses_of(qualifier.qualify_on_openvino(qualified, precision).report)
    models: dict[Precision, onnx.ModelProto] = {"fp32": exact, "fp16": half.graph, "int8": int8.graph}
    with tempfile.TemporaryDirectory() as temporary:
        paths: dict[Precision, Path] = {
            p: save_graph(model, Path(temporary) / f"{p}.onnx") for p, model in models.items()
        }
        sizes: dict[Precision, dict[str, int]] = {p: sizes_of(path, p) for p, path in paths.items()}
        in_onnxruntime = run_by_onnxruntime(paths["int8"], qualifier, int8)
    path = save_result(
        "int8",
        name,
        settings={
            "preset": checkpoint.model.teacher.architecture,
            "training": training.model_dump(mode="json"),
            "model": checkpoint.model.model_dump(mode="json"),
            "calibration_images": len(table.images),
            "calibration_seed": table.seed,
            "methods": {
                m: sum(t.method == m for t in table.tensors.values()) for m in ("max", "percentile", "mse", "entropy")
            },
        },
        figures={
            "fp32": qualifier.reference_figures(),
            "fp16": figures_of(half.report, sizes, "fp16"),
            "int8": figures_of(int8.report, sizes, "int8"),
            "int8_onnxruntime": figures_of(in_onnxruntime, sizes, "int8"),
            **on_openvino,
            "sizes": sizes,
        },
    )
    typer.echo(f"wrote {path}")


def run_by_onnxruntime(graph: Path, qualifier: Qualifier, qualified: Qualified) -> GateReport:
    """The INT8 graph as ONNX Runtime runs it in a bundle, with its own INT8 kernels."""
    backend = OnnxRuntimeBackend(graph, "int8", 1)
    limits = qualified.score_scale.product_thresholds
    with progress_bar("judging with ONNX Runtime's INT8") as report:
        found = judge(
            backend.infer,
            qualifier.images,
            qualifier.size,
            lambda product: limits.get(product, DECISION),
            graph_metadata(qualifier.graph)["products"],
            report,
        )
    told = {"not_int8": qualified.report.not_int8, "not_int8_share": qualified.report.not_int8_share}
    return compare(qualifier.reference, found, "int8", backend.description).model_copy(update=told)


def figures_of(report: GateReport, sizes: dict[Precision, dict[str, int]], precision: Precision) -> dict[str, Any]:
    """The gate's figures, and sizes as shares of FP32's."""
    kinds = ("graph", "engine", "engine_unpacked")
    ratios = {kind: round(sizes[precision][kind] / sizes["fp32"][kind], 3) for kind in kinds}
    return losses_of(report) | {
        "size_ratio": ratios["graph"],
        "engine_size_ratio": ratios["engine"],
        "unpacked_engine_size_ratio": ratios["engine_unpacked"],
    }


def losses_of(report: GateReport) -> dict[str, Any]:
    """The gate's figures and the product that loses most."""
    worst = max(report.products, key=lambda product: report.products[product].image_auroc or 0.0)
    return {
        "image_auroc_drop": report.image_auroc_drop,
        "pixel_auroc_drop": report.pixel_auroc_drop,
        "aupro_drop": report.aupro_drop,
        "worst_class": worst,
        "worst_class_drop": report.products[worst].image_auroc,
        "verdict_flips": round(100 * report.verdict_flips / report.images, 3),
        "passed": report.passed,
        "report": report.model_dump(mode="json"),
    }


if __name__ == "__main__":
    run_command(measure)
