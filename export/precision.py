"""The FP16 form of a fused graph, with every type written into the ONNX (strongly typed networks).

TensorRT 11 and RTX take precision from the graph alone, so the graph says it: convolutions and what runs
between them compute in FP16; pixel normalisation, feature standardisation, CRAM's soft assignment, norms,
cosine distances, smoothing and score stay in FP32, because a unified model's small distances drown in FP16
there (Jena et al., arXiv 2407.02968, table 3, saw engines lose 14 points of AUROC).

Tables that are looked up (the memory's centres) are stored in FP16 where that loses nothing, and what is looked up is
cast to FP32: half the bytes, the same arithmetic.

What only says where a maximum lies (the memory's search for the nearest centre, most of a graph's products) is FP16 as
well: the distance to what was found is computed from FP32 again, so a rounding can pick a neighbour but is no error of
the distance. Products of a matrix whose numbers are FP16's own with what was computed in FP16 (a memory's projection)
are FP16, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from snl_edge.errors import ExportError

from .onnx_graph import check_graph, set_metadata

CONVOLUTIONS = frozenset({"Conv", "ConvTranspose", "Gemm"})
"""Operators that compute in FP16 unless their node is excluded."""
FOLLOWERS = frozenset(
    {"Relu", "LeakyRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Add", "Concat", "Pad"}
    | {"MaxPool", "AveragePool", "GlobalAveragePool"}
)
"""Operators that compute in FP16 where everything they read was computed in FP16."""
SEARCH = frozenset({"MatMul", "Add", "Sub", "Gather", "Reshape", "Transpose"})
"""Operators that a search is made of: what leads to the place of a maximum and to nothing else."""
ONE_OPERAND = frozenset({"Gather", "Reshape", "Transpose"})
"""Operators whose further inputs are indices or shapes, which have no precision."""
GATES = frozenset({"Sigmoid", "HardSigmoid"})
"""A product is FP16 only with one of these: squeeze-excite and SiLU; any other product may be a distance."""


def to_fp16(model: onnx.ModelProto, fp32: Collection[str] = ()) -> onnx.ModelProto:
    """The typed FP16 form of an FP32 fused graph; the contract of inputs and outputs does not change.

    Args:
        model: the FP32 graph.
        fp32: names of convolution nodes that stay FP32, as the INT8 graph wants it of those that it quantises.

    Raises:
        ExportError: a weight does not fit into FP16, or the result fails ONNX's type inference.
    """
    half = onnx.ModelProto()
    half.CopyFrom(model)
    graph = half.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    halved = _halved_tensors(graph, constants, fp32)
    casts = _CastWriter(constants)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        wanted = TensorProto.FLOAT16 if node.output[0] in halved else TensorProto.FLOAT
        if node.op_type == "TopK":  # a place has no precision
            nodes.append(node)
            continue
        if node.op_type == "Gather" and wanted == TensorProto.FLOAT and _is_exact_in_fp16(constants.get(node.input[0])):
            whole = node.output[0]
            node.input[0], node.output[0] = casts.constant(node.input[0]), f"{whole}.fp16"
            nodes += [node, helper.make_node("Cast", node.output, [whole], name=f"cast_{whole}", to=TensorProto.FLOAT)]
            continue
        for position, name in enumerate(node.input[:1] if node.op_type in ONE_OPERAND else node.input):
            if name in constants:
                if wanted == TensorProto.FLOAT16 and constants[name].data_type == TensorProto.FLOAT:
                    node.input[position] = casts.constant(name)
            elif name in halved and wanted == TensorProto.FLOAT:
                node.input[position] = casts.activation(name, TensorProto.FLOAT, nodes)
            elif name and name not in halved and wanted == TensorProto.FLOAT16:
                node.input[position] = casts.activation(name, TensorProto.FLOAT16, nodes)
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in [*constants.values(), *casts.constants.values()] if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    set_metadata(half, precision="fp16")
    check_graph(half)
    return half


def _is_exact_in_fp16(constant: TensorProto | None) -> bool:
    if constant is None or constant.data_type != TensorProto.FLOAT:
        return False
    values = numpy_helper.to_array(constant)
    with np.errstate(over="ignore"):
        return bool(np.array_equal(values.astype(np.float16).astype(np.float32), values))


def _halved_tensors(graph: onnx.GraphProto, constants: Mapping[str, TensorProto], fp32: Collection[str]) -> set[str]:
    """Names of the activations that are computed in FP16. Nodes stand in topological order (ONNX requires it)."""
    halved: set[str] = set()
    search = _search_tensors(graph)
    producer: dict[str, str] = {}
    outputs = {value.name for value in graph.output}
    for node in graph.node:
        producer.update(dict.fromkeys(node.output, node.op_type))
        activations = [name for name in node.input if name and name not in constants]
        follows = bool(activations) and all(name in halved for name in activations)
        exact = all(_is_exact_in_fp16(constants[name]) for name in node.input if name in constants)
        product = node.op_type == "MatMul" and exact
        looked_up = node.op_type == "Gather" and _is_exact_in_fp16(constants.get(node.input[0]))
        moved = node.op_type in ("Reshape", "Transpose") and node.input[0] in halved
        searches = node.output[0] in search and (product or looked_up or moved)
        gated = node.op_type == "Mul" and any(producer.get(name) in GATES for name in activations)
        convolves = node.op_type in CONVOLUTIONS and node.name not in fp32
        if convolves or searches or (follows and (node.op_type in FOLLOWERS or gated or product)):
            halved.update(set(node.output) - outputs)
    return halved


def _search_tensors(graph: onnx.GraphProto) -> set[str]:
    """Results of the operators of a search of which nothing is made but the place of a maximum."""
    readers: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
    for node in graph.node:
        for position, name in enumerate(node.input):
            readers.setdefault(name, []).append((node, position))
    search: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type in SEARCH and all(
            reader.op_type == "TopK"
            or (reader.output[0] in search and (position == 0 or reader.op_type not in ONE_OPERAND))
            for reader, position in readers.get(node.output[0], [(node, 0)])
        ):
            search.add(node.output[0])
    return search


class _CastWriter:
    """Makes each cast once: of constants by rewriting them, of activations by a Cast node."""

    def __init__(self, originals: dict[str, TensorProto]) -> None:
        self.originals = originals
        self.constants: dict[str, TensorProto] = {}
        self._activations: dict[tuple[str, int], str] = {}

    def constant(self, name: str) -> str:
        if name not in self.constants:
            values = numpy_helper.to_array(self.originals[name])
            # Infinite bounds (of a Clip) stay infinite; a finite weight must stay finite.
            with np.errstate(over="ignore"):
                halved = values.astype(np.float16)
            if np.any(np.isinf(halved) & np.isfinite(values) & (np.abs(values) < np.finfo(np.float32).max)):
                raise ExportError(
                    f"weight {name} does not fit into FP16",
                    f"its largest value is {np.abs(values).max():.3g}",
                    "build with --precision fp32",
                )
            self.constants[name] = numpy_helper.from_array(halved, f"{name}.fp16")
        return self.constants[name].name

    def activation(self, name: str, target: int, nodes: list[onnx.NodeProto]) -> str:
        key = (name, target)
        if key not in self._activations:
            cast = f"{name}.{'fp16' if target == TensorProto.FLOAT16 else 'fp32'}"
            nodes.append(helper.make_node("Cast", [name], [cast], name=f"cast_{cast}", to=target))
            self._activations[key] = cast
        return self._activations[key]
