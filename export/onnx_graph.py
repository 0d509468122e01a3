"""PyTorch to one simplified FP32 ONNX graph that carries its own description; and what that graph holds beside the
network: its description, and the factor from raw scores to the score scale."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import warnings
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxsim
import torch
from onnx import numpy_helper

from snl_edge.atomic import replacing
from snl_edge.contract.graph import ANOMALY_MAP, BATCH, IMAGES, METADATA_KEY, OUTPUTS, SCORE, SIGNATURE, TENSORS
from snl_edge.errors import ExportError
from snl_edge.model.config import SnlConfig
from snl_edge.model.fused_graph import FusedGraph
from snl_edge.model.snl import Snl
from snl_edge.outside.files import reason
from snl_edge.outside.graph_file import read_onnx
from snl_edge.outside.json_text import parse_json
from snl_edge.scoring.scale import ScoreScale

OPSET = 18
"""Read by TensorRT 10 and later, OpenVINO and ONNX Runtime alike."""


def export_onnx(model: Snl, score_scale: ScoreScale, products: tuple[str, ...]) -> onnx.ModelProto:
    """Exports the fused graph of ``model`` with a dynamic batch dimension, simplified and fully checked.

    Raises:
        ExportError: the graph cannot be exported, simplified or does not pass ONNX's own checker.
    """
    fused = FusedGraph(model.eval(), score_scale.gain).eval()
    height, width = model.config.size
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    device = next(model.parameters()).device
    try:
        with _quiet():
            program = torch.onnx.export(
                fused,
                (example.to(device),),
                dynamo=True,
                opset_version=OPSET,
                input_names=[IMAGES.name],
                output_names=[tensor.name for tensor in OUTPUTS],
                dynamic_shapes=({0: torch.export.Dim(BATCH, min=1, max=1024)},),
            )
        assert program is not None
        graph, simplified = onnxsim.simplify(program.model_proto)
    except Exception as error:  # the exporter raises errors of many libraries
        raise ExportError(
            f"the {model.config.teacher.architecture} model cannot be exported to ONNX",
            str(error).strip().split("\n")[0][:200],
            "choose a teacher made of plain convolutions",
        ) from error
    if not simplified:
        raise ExportError("onnx-simplifier could not confirm that the simplified graph computes the same")
    _tidy(graph, model.config, score_scale, products)
    if len(products) > 1:  # a single one has no limit, and JSON no infinity
        limits = model.recognition.reject_limits().tolist()
        set_metadata(graph, reject_limits=dict(zip(products, limits, strict=True)))
    check_graph(graph)
    return graph


def check_graph(graph: onnx.ModelProto) -> None:
    """Runs ONNX's full checker and compares inputs and outputs with the fused graph's contract.

    Raises:
        ExportError: the graph is invalid or is no SNL graph.
    """
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:  # names, too
        raise ExportError("the ONNX graph is invalid", str(error).strip().split("\n")[0]) from error
    signature = {
        value.name: (
            onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type),
            len(value.type.tensor_type.shape.dim),
        )
        for value in [*graph.graph.input, *graph.graph.output]
    }
    if signature != SIGNATURE:
        raise ExportError(
            "this ONNX file is no SNL graph",
            f"it has {signature}, not {dict(SIGNATURE)}",
            "give a graph that `snl-edge export` wrote",
        )
    if not graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise ExportError("the ONNX graph has a fixed batch size", fix="export it again with this version")


def save_graph(graph: onnx.ModelProto, target: Path) -> Path:
    """Writes the graph, whole or not at all."""
    with replacing(target) as temporary:
        onnx.save(graph, temporary)
    return target


def read_graph(path: Path) -> onnx.ModelProto:
    """Reads and checks a fused graph.

    Raises:
        ExportError: the file is missing, no ONNX, or no SNL graph.
    """
    try:
        graph = read_onnx(path)
    except (OSError, ValueError) as error:
        raise ExportError(f"cannot read ONNX graph {path}", reason(error), "export it again") from error
    try:
        check_graph(graph)
    except ExportError as error:
        raise ExportError(f"{path}: {error.what}", error.why, error.fix) from error
    return graph


def input_size(graph: onnx.ModelProto) -> tuple[int, int]:
    """``(height, width)`` of the graph's images."""
    height, width = (dim.dim_value for dim in graph.graph.input[0].type.tensor_type.shape.dim[1:3])
    return height, width


def graph_metadata(graph: onnx.ModelProto) -> Mapping[str, Any]:
    """What the graph says of itself: model configuration, score scale, products, precision.

    Raises:
        ExportError: it is damaged.
    """
    entries = {entry.key: entry.value for entry in graph.metadata_props}
    try:
        said = parse_json(entries.get(METADATA_KEY, "{}"))
    except ValueError as error:
        raise ExportError("what the ONNX graph says of itself is damaged", str(error), "export it again") from error
    if not isinstance(said, dict):
        raise ExportError("what the ONNX graph says of itself is damaged", "it lists nothing", "export it again")
    return said


def set_metadata(graph: onnx.ModelProto, **values: object) -> None:
    """Adds ``values`` to the description that the graph carries."""
    merged = {**graph_metadata(graph), **values}
    kept = {entry.key: entry.value for entry in graph.metadata_props if entry.key != METADATA_KEY}
    onnx.helper.set_model_props(graph, {**kept, METADATA_KEY: json.dumps(merged, sort_keys=True)})


def with_score_scale(graph: onnx.ModelProto, score_scale: ScoreScale) -> onnx.ModelProto:
    """A copy of a fused graph whose map and score are on the scale ``score_scale``.

    Raises:
        ExportError: the graph does not end in a product with one constant.
    """
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    constant = _gain(model)
    constant.CopyFrom(numpy_helper.from_array(np.array(score_scale.gain, np.float32), constant.name))
    set_metadata(model, calibration=score_scale.model_dump(mode="json"))
    return model


def network_sha256(graph: onnx.ModelProto) -> str:
    """SHA-256 of what the graph computes up to the gain: setting thresholds again does not make it another network."""
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    constant = _gain(model)
    constant.CopyFrom(numpy_helper.from_array(np.array(1, np.float32), constant.name))
    return hashlib.sha256(model.graph.SerializeToString(deterministic=True)).hexdigest()


def _tidy(graph: onnx.ModelProto, config: SnlConfig, score_scale: ScoreScale, products: tuple[str, ...]) -> None:
    """Names the batch dimension, drops what only a debugger of the exporter would read, and adds our description."""
    for value in [*graph.graph.input, *graph.graph.output]:
        shape = TENSORS[value.name].shape(BATCH, config.size)
        for dim, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
            if isinstance(size, str):
                dim.dim_param = size
            else:
                dim.dim_value = size
    del graph.graph.value_info[:]
    for node in graph.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    graph.graph.name = "snl"
    graph.producer_name = "snl-edge"
    set_metadata(
        graph,
        model=config.model_dump(mode="json"),
        calibration=score_scale.model_dump(mode="json"),
        products=list(products),
        precision="fp32",
    )


class _quiet:  # noqa: N801
    """Silences the exporter's progress lines and deprecation warnings, which say nothing to a user of ours."""

    def __enter__(self) -> None:
        self._streams = (redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()))
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")
        for stream in self._streams:
            stream.__enter__()
        logging.disable(logging.WARNING)

    def __exit__(self, *exception: object) -> None:
        logging.disable(logging.NOTSET)
        for stream in self._streams:
            stream.__exit__(None, None, None)
        self._warnings.__exit__(None, None, None)


def _gain(model: onnx.ModelProto) -> onnx.TensorProto:
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    last = {name: node for node in model.graph.node for name in node.output if name in (ANOMALY_MAP.name, SCORE.name)}
    factors = {name for node in last.values() if node.op_type == "Mul" for name in node.input if name in constants}
    if len(last) != 2 or len(factors) != 1:
        raise ExportError("map and score are not scaled by one constant", fix="export the model again")
    return constants[factors.pop()]
