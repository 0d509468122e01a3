"""The memory's centres in INT8, weights only: a quarter of FP32's bytes, and every distance still computed in FP32.

A centre is a patch that was seen once; rounding it moves it by far less than it lies from its neighbours. Each centre
has a step of its own: what counts is how far it moves as a whole, so its channels share one. The dequantising node
stands directly behind the constant, the only place where TensorRT-RTX 1.7 takes an INT8 constant, and the choice of the
nearest centres behind it. The search's keys stay as they are: they are few, and say only which centre is compared.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .quantisation import quantise

CENTRES = "memory.kept"


def with_int8_memory(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the FP32 ``graph`` whose memory, if it has one, is stored in INT8."""
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    name = next((name for name in constants if name.endswith(CENTRES)), None)
    if name is None:
        return model
    values, steps = quantise(numpy_helper.to_array(constants[name]), axis=0)  # [N · K, C]
    model.graph.initializer.remove(constants[name])
    stored: dict[str, NDArray[np.generic]] = {"int8": values, "step": steps, "zero": np.zeros(len(steps), np.int8)}
    model.graph.initializer.extend(numpy_helper.from_array(value, f"{name}.{part}") for part, value in stored.items())
    for node in model.graph.node:
        for position, read in enumerate(node.input):
            if read == name:
                node.input[position] = f"{name}.restored"
    restoring = helper.make_node(
        "DequantizeLinear", [f"{name}.{part}" for part in stored], [f"{name}.restored"], f"dq_{name}", axis=0
    )
    nodes = [restoring, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.value_info[:]
    return model
