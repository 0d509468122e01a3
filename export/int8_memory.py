"""The memory's centres in INT8, weights only: a quarter of FP32's bytes, and every distance still computed in FP32.

A centre is a patch that was seen once; rounding it moves it by far less than it lies from its neighbours. Each product
and channel has a step of its own, so that a channel of small values is not drowned by a channel of large ones. The
dequantising node stands directly behind the constant, the only place where TensorRT-RTX 1.7 takes an INT8 constant,
and the choice of the product's centres behind it; RTX and OpenVINO then make one step of both.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from snl_edge.errors import ExportError

from .quantisation import quantise, restore

CENTRES = "memory.centres"


def with_int8_memory(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the FP32 ``graph`` whose memory, if it has one, is stored in INT8.

    Half the squared norms, which the distances need, are computed anew from what is stored: the distance is exact
    for the centres as they are.

    Raises:
        ExportError: the distances to the centres are not computed as this version exports them.
    """
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    name = next((name for name in constants if name.endswith(CENTRES)), None)
    if name is None:
        return model
    centres = numpy_helper.to_array(constants[name])  # [N, C, K]
    products, channels, count = centres.shape
    values, steps = quantise(centres.reshape(products * channels, count), axis=0)
    restored = restore(values, steps, axis=0).reshape(centres.shape)
    halves = constants[_halves_of(model.graph, name)]
    norms = np.square(restored, dtype=np.float64).sum(axis=1, keepdims=True) / 2
    halves.CopyFrom(numpy_helper.from_array(norms.astype(np.float32), halves.name))
    model.graph.initializer.remove(constants[name])
    stored: dict[str, NDArray[np.generic]] = {
        "int8": values,
        "step": steps,
        "zero": np.zeros(len(steps), np.int8),
        "shape": np.array(centres.shape, np.int64),
    }
    model.graph.initializer.extend(numpy_helper.from_array(value, f"{name}.{part}") for part, value in stored.items())
    for node in model.graph.node:
        for position, read in enumerate(node.input):
            if read == name:
                node.input[position] = f"{name}.restored"
    restoring = [
        helper.make_node(
            "DequantizeLinear",
            [f"{name}.int8", f"{name}.step", f"{name}.zero"],
            [f"{name}.rows"],
            f"dq_{name}",
            axis=0,
        ),
        helper.make_node("Reshape", [f"{name}.rows", f"{name}.shape"], [f"{name}.restored"], f"shape_{name}"),
    ]
    nodes = [*restoring, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.value_info[:]
    return model


def _halves_of(graph: onnx.GraphProto, centres: str) -> str:
    """The constant ``[N, 1, K]`` that is subtracted from the products with ``centres``."""
    found = centres
    for wanted in ("MatMul", "Sub"):
        node = _reader(graph, found)
        if node is not None and node.op_type == "Gather":
            node = _reader(graph, node.output[0])
        if node is None or node.op_type != wanted:
            break
        found = node.output[0]
    else:
        assert node is not None
        subtracted = node.input[1]
        producers = {name: other for other in graph.node for name in other.output}
        return producers[subtracted].input[0] if subtracted in producers else subtracted
    raise ExportError(
        "the memory's distances are not computed in the way that INT8 knows", fix="export the model again"
    )


def _reader(graph: onnx.GraphProto, name: str) -> onnx.NodeProto | None:
    """The one node that reads the tensor ``name``."""
    reading = [node for node in graph.node if name in node.input]
    return reading[0] if len(reading) == 1 else None
