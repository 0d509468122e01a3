"""The INT8 form of a fused graph: explicit quantise/dequantise pairs where TensorRT fuses them, and nowhere else.

What is written, and why (NVIDIA, TensorRT documentation, "Working with Quantized Types", and the residual blocks of
its quantisation toolkit):

- every convolution reads an INT8 input and INT8 weights: symmetric, zero point 0; activations per tensor, weights per
  output channel (axis 0; axis 1 of a ConvTranspose), stored as INT8 so that the file is small; the bias stays float;
- no pair behind a convolution: its output is quantised once, by whoever reads it, so that convolution, activation
  and quantisation become one kernel;
- of a residual addition the skipping input is quantised; the branch that comes from an INT8 convolution is added
  inside that convolution's kernel in full precision. A pair there would end the fusion and add a rounding;
- the memory's centres are stored in INT8 and restored when they are read; products and distances stay FP32, for they
  are most of the score;
- pairs restore to FP32, which the kernel never writes out. FP16 pairs (opset 19) are legal too, but ONNX Runtime 1.32
  folds their biases into INT32 with a step that underflows in FP16, and gives nonsense;
- convolutions that stay out of INT8 are FP16; what the FP16 graph keeps in FP32 stays FP32.

ONNX Runtime's own quantiser (``quantize_static``) quantises both inputs of an addition, does not know which operators
are delicate, and cannot leave the rest in FP16: so pairs are placed here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from snl_edge.errors import ExportError

from .int8_memory import with_int8_memory
from .onnx_graph import check_graph, set_metadata
from .precision import to_fp16
from .quantisation import quantise, step_of

_VIEWS = ("Reshape", "Transpose", "Flatten", "Cast")


@dataclass(frozen=True)
class Layer:
    """A convolution that can compute in INT8."""

    name: str
    """As in the model: ``teacher.backbone.conv_stem``."""
    node: str
    kind: Literal["Conv", "ConvTranspose"]
    input: str
    weight: str
    macs: int
    """Multiplications for one image."""

    @property
    def axis(self) -> int:
        """The weight's axis of output channels."""
        return 0 if self.kind == "Conv" else 1


@dataclass(frozen=True)
class FittedLayer:
    """Weights and bias of a layer that were fitted to its inputs (`snl_edge.calibration.fit`)."""

    values: NDArray[np.int8]
    """Of the weight's shape."""
    steps: NDArray[np.float32]
    """Of each output channel."""
    bias: NDArray[np.float32]


@dataclass(frozen=True)
class Placement:
    """Where pairs go: ``readers`` gives, for every tensor, the inputs ``(node, position)`` that read it quantised."""

    layers: tuple[Layer, ...]
    readers: Mapping[str, tuple[tuple[str, int], ...]]


NOTHING: Mapping[str, FittedLayer] = {}


def find_layers(graph: onnx.ModelProto) -> tuple[Layer, ...]:
    """What may be INT8 in an FP32 fused graph, in order: convolutions but CRAM's assignment."""
    typed = onnx.shape_inference.infer_shapes(graph, data_prop=True).graph
    sizes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in typed.value_info}
    weights = {tensor.name: tensor.dims for tensor in graph.graph.initializer}
    readers = _readers(graph)
    layers = []
    for node in graph.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose") or node.input[1] not in weights:
            continue
        if not _is_assignment(node, readers):
            # A weight is used once per place of the larger grid: a convolution's output, a transposed one's input.
            grid = sizes.get(node.input[0] if node.op_type == "ConvTranspose" else node.output[0], [])
            name = node.input[1].removeprefix("model.").removesuffix(".weight")
            kind: Literal["Conv", "ConvTranspose"] = "Conv" if node.op_type == "Conv" else "ConvTranspose"
            macs = int(np.prod(weights[node.input[1]]) * np.prod(grid[2:]))
            layers.append(Layer(name, node.name, kind, node.input[0], node.input[1], macs))
    return tuple(layers)


def place(graph: onnx.ModelProto, layers: Sequence[Layer]) -> Placement:
    """Where the pairs go in the FP32 graph if ``layers`` compute in INT8."""
    readers: dict[str, list[tuple[str, int]]] = {}
    chosen = {layer.node for layer in layers}
    producers = {name: node for node in graph.graph.node for name in node.output}
    order = {node.name: index for index, node in enumerate(graph.graph.node)}
    reading = _readers(graph)
    for layer in layers:
        readers.setdefault(layer.input, []).append((layer.node, 0))
    for node in graph.graph.node:
        if node.op_type != "Add" or any(name not in producers for name in node.input):
            continue
        # Branches that an INT8 convolution can add in its own kernel; of two, the later one does.
        fusing = [
            (order[producers[name].name], position)
            for position, name in enumerate(node.input)
            if producers[name].name in chosen and len(reading[name]) == 1
        ]
        if fusing:
            skipping = 1 - max(fusing)[1]
            readers.setdefault(node.input[skipping], []).append((node.name, skipping))
    return Placement(tuple(layers), {name: tuple(own) for name, own in readers.items()})


def to_int8(
    graph: onnx.ModelProto,
    ranges: Mapping[str, float],
    excluded: Collection[str] = (),
    fitted: Mapping[str, FittedLayer] = NOTHING,
) -> onnx.ModelProto:
    """The typed INT8 form of an FP32 fused graph.

    Args:
        graph: the FP32 graph.
        ranges: largest magnitude that is told apart, for every quantised tensor of the FP32 graph.
        excluded: names of layers that are not INT8; they are FP16 then.
        fitted: weights and biases by layer; those of other layers are rounded to their nearest.

    Raises:
        ExportError: a tensor has no range, a named layer does not exist, or the result fails ONNX's type inference.
    """
    layers = find_layers(graph)
    if unknown := sorted(set(excluded) - {layer.name for layer in layers}):
        raise ExportError(f"there is no layer {unknown[0]!r} that could stay out of INT8")
    placement = place(graph, [layer for layer in layers if layer.name not in excluded])
    half = to_fp16(with_int8_memory(graph), fp32={layer.node for layer in placement.layers})
    model = insert_pairs(half, graph, placement, ranges, fitted)
    set_metadata(model, precision="int8", not_int8=sorted(excluded))
    check_graph(model)
    return model


def insert_pairs(
    target: onnx.ModelProto,
    exact: onnx.ModelProto,
    placement: Placement,
    ranges: Mapping[str, float],
    fitted: Mapping[str, FittedLayer] = NOTHING,
) -> onnx.ModelProto:
    """A copy of ``target`` with the pairs of ``placement``.

    Args:
        target: the FP32 graph itself (which then shows what INT8 alone does), or it with other layers in FP16.
        exact: the FP32 graph, whose weights are quantised.
        placement: where the pairs go.
        ranges: as for `to_int8`.
        fitted: as for `to_int8`.

    Raises:
        ExportError: a tensor has no range.
    """
    model = onnx.ModelProto()
    model.CopyFrom(target)
    writer = _PairWriter(exact, ranges, fitted)
    layers = {layer.node: layer for layer in placement.layers}
    read_quantised = {reader: name for name, own in placement.readers.items() for reader in own}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        for position in range(len(node.input)):
            if (node.name, position) in read_quantised:
                tensor = read_quantised[node.name, position]
                node.input[position] = writer.activation(node.input[position], tensor, nodes)
        if node.name in layers:
            node.input[1] = writer.weight(layers[node.name], nodes)
            if layers[node.name].name in fitted:
                node.input[2] = writer.bias(layers[node.name])
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in [*model.graph.initializer, *writer.constants.values()] if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    del model.graph.value_info[:]
    return model


class _PairWriter:
    """Makes each pair once, however many layers read it."""

    def __init__(self, exact: onnx.ModelProto, ranges: Mapping[str, float], fitted: Mapping[str, FittedLayer]) -> None:
        self.constants: dict[str, TensorProto] = {}
        self._constant("int8.zero", np.zeros((), np.int8))
        self._exact = {tensor.name: tensor for tensor in exact.graph.initializer}
        self._ranges = ranges
        self._fitted = fitted

    def activation(self, name: str, tensor: str, nodes: list[onnx.NodeProto]) -> str:
        step, quantised, restored = (f"{tensor}.{part}" for part in ("step", "int8", "restored"))
        if step not in self.constants:
            if tensor not in self._ranges:
                raise ExportError(
                    f"tensor {tensor} has no range", fix="calibrate again: snl-edge calibrate DATA --model RUN"
                )
            self._constant(step, step_of(self._ranges[tensor]))
            nodes.append(helper.make_node("QuantizeLinear", [name, step, "int8.zero"], [quantised], f"q_{tensor}"))
            nodes.append(
                helper.make_node("DequantizeLinear", [quantised, step, "int8.zero"], [restored], f"dq_{tensor}")
            )
        return restored

    def weight(self, layer: Layer, nodes: list[onnx.NodeProto]) -> str:
        values, step, zero, restored = (f"{layer.weight}.{part}" for part in ("int8", "step", "zero", "restored"))
        if values not in self.constants:
            if layer.name in self._fitted:
                weight, steps = self._fitted[layer.name].values, self._fitted[layer.name].steps
            else:
                weight, steps = quantise(numpy_helper.to_array(self._exact[layer.weight]), layer.axis)
            self._constant(values, weight)
            self._constant(step, steps)
            self._constant(zero, np.zeros(steps.shape, np.int8))
            nodes.append(
                helper.make_node(
                    "DequantizeLinear", [values, step, zero], [restored], f"dq_{layer.weight}", axis=layer.axis
                )
            )
        return restored

    def bias(self, layer: Layer) -> str:
        name = f"{layer.weight}.bias"
        self._constant(name, self._fitted[layer.name].bias)
        return name

    def _constant(self, name: str, value: NDArray[np.generic]) -> None:
        self.constants[name] = numpy_helper.from_array(value, name)


def _readers(graph: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """The nodes that read each tensor; an output of the graph counts none."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def _is_assignment(node: onnx.NodeProto, readers: Mapping[str, Sequence[onnx.NodeProto]]) -> bool:
    """Whether a softmax reads the node's output: probabilities shift where their logits are coarse."""
    reading = readers.get(node.output[0], ())
    return any(r.op_type == "Softmax" or (r.op_type in _VIEWS and _is_assignment(r, readers)) for r in reading)
