"""How large graphs and TensorRT-RTX engines are in FP32, FP16 and INT8, and what fills an engine, model by model.

``python -m studies.precision.engine_sizes``

Weights are random: a size does not know what a network has learned. Every convolution but CRAM's is INT8. An RTX engine
is compiled on the device and carries the source text of every kernel that RTX generates; kernels of its library
(convolutions and most matrix products) are not in the file. No builder setting that the package offers (profiling
verbosity, optimisation level, tactic sources, the compilation cache's flag, one compute capability or its default)
makes a difference worth naming, and an engine without weights cannot be built where there is no GPU.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Annotated

import onnx
import typer

from snl_edge.errors import ConfigError
from snl_edge.export.engine import build_engine
from snl_edge.export.onnx_graph import export_onnx, save_graph
from snl_edge.export.precision import to_fp16
from snl_edge.export.qdq import find_layers, place, to_int8
from snl_edge.model.presets import PRESETS
from snl_edge.provenance import revision
from snl_edge.runtime.engine_record import read_engine
from snl_edge.runtime.manifest import Precision

from ..command import run_command
from ..random_models import GAIN, MODELS, PRODUCTS, random_model
from ..result_files import save_result

CAPABILITY = "8.6"
SUBJECTS = {**PRESETS, "resnet18": MODELS["resnet18"]}
SOURCE = re.compile(rb"[\t\n\r -~]{16384,}")
"""A run of text in an engine too long for anything but a kernel's source."""


def measure(
    name: Annotated[str, typer.Option(help="Name of the result file.")] = "presets",
    models: Annotated[str, typer.Option(help="Presets or backbones, separated by commas.")] = ",".join(SUBJECTS),
) -> None:
    """Builds the engines of each model, for one GPU generation and without a GPU, and writes their sizes."""
    names = models.split(",")
    if unknown := [name for name in names if name not in SUBJECTS]:
        raise ConfigError(f"there is no model {', '.join(unknown)}", fix=f"choose among {', '.join(SUBJECTS)}")
    revision()
    sizes = {}
    for chosen in names:
        sizes[chosen] = sizes_of_model(export_onnx(random_model(SUBJECTS[chosen]), GAIN, PRODUCTS))
        typer.echo(f"{chosen}: {sizes[chosen]}")
    path = save_result(
        "engine_sizes",
        name,
        settings={"compute_capability": CAPABILITY, "products": len(PRODUCTS), "max_batch": 8, "weights": "random"},
        figures={"sizes": sizes},
    )
    typer.echo(f"wrote {path}")


def sizes_of_model(graph: onnx.ModelProto) -> dict[Precision, dict[str, int]]:
    """`sizes_of` in every precision; every INT8 range is 1, which no size depends on."""
    ranges = dict.fromkeys(place(graph, find_layers(graph)).readers, 1.0)
    models: dict[Precision, onnx.ModelProto] = {
        "fp32": graph,
        "fp16": to_fp16(graph),
        "int8": to_int8(graph, ranges),
    }
    with tempfile.TemporaryDirectory() as temporary:
        return {
            precision: sizes_of(save_graph(model, Path(temporary) / f"{precision}.onnx"), precision)
            for precision, model in models.items()
        }


def sizes_of(graph: Path, precision: Precision) -> dict[str, int]:
    """Bytes of the graph and of a TensorRT-RTX engine of it for one GPU generation, packed as its file and as it is.

    Also how many kernel sources the engine carries, and their bytes.
    """
    engine = graph.with_suffix(".engine")
    record = build_engine(
        graph, engine, precision=precision, flavour="tensorrt_rtx", max_batch=8, compute_capabilities=[CAPABILITY]
    )
    content = read_engine(engine, record)
    sources = [len(found.group()) for found in SOURCE.finditer(content)]
    return {
        "graph": graph.stat().st_size,
        "engine": engine.stat().st_size,
        "engine_unpacked": len(content),
        "sources": len(sources),
        "source_bytes": sum(sources),
    }


if __name__ == "__main__":
    run_command(measure)
