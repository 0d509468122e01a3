"""What an ONNX graph asks of a device, counted from its nodes and shapes: operations, bytes, casts, layout changes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import onnx
from onnx import AttributeProto, NodeProto, TensorProto, helper, shape_inference

from snl_edge.errors import ExportError
from snl_edge.outside.graph_file import read_onnx

FREE = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Shape", "Constant", "ConstantOfShape"})
"""Nodes that compute nothing: they name the same bytes again, or are done once when the graph is loaded."""
MATRIX = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm"})
"""Operators that tensor cores compute, if their operands are narrower than FP32."""


def count_graph(path: Path, batch: int = 1) -> dict[str, Any]:
    """Counts for one run of ``batch`` images.

    ``flops`` counts a multiplication and an addition as two; nodes without a matrix product count one for each
    value they read or write, whichever is more. ``weight_bytes`` are read once a run, whatever the batch;
    ``fp32_matrix_flops`` are those of them that no tensor core takes: products of FP32 that was not restored from INT8.
    ``activation_bytes`` are written and read again if nothing is fused, ``io_bytes`` in any case.

    Raises:
        ExportError: the graph cannot be read, or a shape in it cannot be told.
    """
    try:
        model = _with_batch(read_onnx(path), batch)
        model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:  # protobuf's and ONNX's errors share no base class
        raise ExportError(f"cannot count {path}", str(error).split("\n")[0], "export it again") from error
    graph = model.graph
    shapes, sizes = _shapes(model)
    tensors = [*graph.input, *graph.output, *graph.value_info]
    kinds = {value.name: value.type.tensor_type.elem_type for value in tensors}
    producers = {name: node.op_type for node in graph.node for name in node.output}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    ends = {value.name for value in [*graph.input, *graph.output]}
    work = [node for node in graph.node if node.op_type not in FREE]
    activations = {name for node in work for name in node.output if name}
    return {
        "nodes": len(graph.node),
        "transposes": sum(node.op_type == "Transpose" for node in work),
        "casts": sum(node.op_type == "Cast" for node in work),
        "flops": sum(_flops(node, shapes) for node in work),
        "fp32_matrix_flops": sum(_flops(node, shapes) for node in work if _is_fp32_product(node, kinds, producers)),
        "weight_bytes": sum(_bytes_of(tensor.data_type, tuple(tensor.dims)) for tensor in weights.values()),
        "activation_bytes": sum(sizes[name] for name in activations),
        "io_bytes": sum(sizes[name] for name in ends),
        "batch": batch,
    }


def _with_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """The model with every dynamic dimension of its inputs and outputs fixed, which all are the batch."""
    for value in [*model.graph.input, *model.graph.output]:
        dimension = value.type.tensor_type.shape.dim[0]
        if dimension.dim_param or not dimension.dim_value:
            dimension.dim_value = batch
    del model.graph.value_info[:]  # they speak of the dynamic batch
    return model


def _shapes(model: onnx.ModelProto) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """Shape and bytes of every tensor."""
    graph = model.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    sizes = {tensor.name: _bytes_of(tensor.data_type, tuple(tensor.dims)) for tensor in graph.initializer}
    for value in [*graph.input, *graph.output, *graph.value_info]:
        tensor = value.type.tensor_type
        if any(not d.HasField("dim_value") for d in tensor.shape.dim):
            raise ExportError(f"the shape of {value.name} cannot be told", fix="count the graph that `build` wrote")
        shapes[value.name] = tuple(d.dim_value for d in tensor.shape.dim)
        sizes[value.name] = _bytes_of(tensor.elem_type, shapes[value.name])
    return shapes, sizes


def _bytes_of(data_type: int, shape: Sequence[int]) -> int:
    return prod(shape) * helper.tensor_dtype_to_np_dtype(data_type).itemsize


def _is_fp32_product(node: NodeProto, kinds: dict[str, int], producers: dict[str, str]) -> bool:
    if node.op_type not in MATRIX or kinds[node.output[0]] != TensorProto.FLOAT:
        return False
    return not any(producers.get(name) == "DequantizeLinear" for name in node.input)


def _flops(node: NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    inputs = [shapes.get(name, ()) for name in node.input]
    out = prod(shapes[node.output[0]])
    match node.op_type:
        case "Conv" | "ConvInteger" | "QLinearConv":
            kernel = inputs[3] if node.op_type == "QLinearConv" else inputs[1]
            return 2 * out * prod(kernel[1:])
        case "ConvTranspose":
            return 2 * prod(inputs[0]) * prod(inputs[1][1:])
        case "MatMul" | "MatMulInteger":
            return 2 * out * inputs[0][-1]
        case "Gemm":
            transposed = _attribute(node, "transA")
            return 2 * out * inputs[0][0 if transposed else 1]
        case _:
            return max([out, *(prod(shape) for shape in inputs)])


def _attribute(node: NodeProto, name: str) -> int:
    return next((a.i for a in node.attribute if a.name == name and a.type == AttributeProto.INT), 0)
