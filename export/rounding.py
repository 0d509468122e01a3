"""What FP16 arithmetic does to a typed graph, shown on a CPU.

ONNX Runtime's CPU provider computes an FP16 graph in FP32 and drops the roundings in between, so it cannot
show what an engine will do. The graph made here computes in FP32 too, but rounds every weight and every
activation of the FP16 part to FP16: what tensor cores do when they sum in FP32. INT8 parts need no such help: a
dequantised product summed in FP32 is what an INT8 kernel computes.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def device_session(graph: onnx.ModelProto, threads: int = 0) -> onnxruntime.InferenceSession:
    """A CPU session that computes what an engine of ``graph`` computes: roundings of FP16 shown, INT8 as it is.

    Args:
        graph: any form of a fused graph.
        threads: CPU threads; 0 for all cores.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    # Products of dequantised values, not the CPU's own INT8 kernels, which saturate on processors without VNNI.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    if any(tensor.data_type == TensorProto.FLOAT16 for tensor in graph.graph.initializer):
        graph = simulate_fp16(graph)
    return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


def simulate_fp16(half: onnx.ModelProto) -> onnx.ModelProto:
    """The FP32 graph that computes what the typed FP16 graph ``half`` computes on a device with real FP16."""
    model = onnx.ModelProto()
    model.CopyFrom(half)
    graph = model.graph
    halved = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    for tensor in graph.initializer:
        if tensor.name in halved:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        to_half = node.op_type == "Cast" and helper.get_attribute_value(node.attribute[0]) == TensorProto.FLOAT16
        from_half = node.op_type == "Cast" and node.input[0] in halved
        rounds = node.op_type not in ("Cast", "TopK") and any(name in halved for name in node.input)
        if to_half or rounds:
            name = node.output[0]
            halved.add(name)
            exact = node.input[0] if to_half else f"{name}.exact"
            if not to_half:
                node.output[0] = exact
                nodes.append(node)
            nodes.append(helper.make_node("Cast", [exact], [f"{name}.rounded"], to=TensorProto.FLOAT16))
            nodes.append(helper.make_node("Cast", [f"{name}.rounded"], [name], to=TensorProto.FLOAT))
        elif from_half:
            nodes.append(helper.make_node("Identity", node.input, node.output))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return model
