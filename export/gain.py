"""The factor from raw scores to the score scale, a constant of the graph; and the network's identity without it."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
from onnx import numpy_helper

from snl_edge.contract.graph import ANOMALY_MAP, SCORE
from snl_edge.errors import ExportError
from snl_edge.scoring.scale import ScoreScale

from .onnx_graph import set_metadata


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


def _gain(model: onnx.ModelProto) -> onnx.TensorProto:
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    last = {name: node for node in model.graph.node for name in node.output if name in (ANOMALY_MAP.name, SCORE.name)}
    factors = {name for node in last.values() if node.op_type == "Mul" for name in node.input if name in constants}
    if len(last) != 2 or len(factors) != 1:
        raise ExportError("map and score are not scaled by one constant", fix="export the model again")
    return constants[factors.pop()]
