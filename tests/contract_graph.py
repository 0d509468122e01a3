"""A tiny real ONNX graph with the fused graph's contract: local contrast, as a map and its maximum."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HEIGHT, WIDTH = 24, 40


def contract_model(
    precision: Literal["fp32", "fp16"] = "fp32", size: tuple[int, int] = (HEIGHT, WIDTH)
) -> onnx.ModelProto:
    """Cast, layout, scaling, two convolutions (in FP16 between two casts if wanted), map and score."""
    height, width = size
    rng = np.random.default_rng(0)
    half = precision == "fp16"
    kind = np.float16 if half else np.float32
    constants = {
        "scale": np.array(1 / 255, np.float32),
        "first": rng.normal(0, 0.3, (8, 3, 3, 3)).astype(kind),
        "second": rng.normal(0, 0.3, (1, 8, 3, 3)).astype(kind),
        "channel": np.array([1], np.int64),
        "plane": np.array([1, 2], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        node("Mul", ["planes", "scale"], ["scaled"]),
        *([node("Cast", ["scaled"], ["entry"], to=TensorProto.FLOAT16)] if half else []),
        node("Conv", ["entry" if half else "scaled", "first"], ["features"], name="first_conv", pads=[1, 1, 1, 1]),
        node("Relu", ["features"], ["active"]),
        node("Conv", ["active", "second"], ["contrast"], name="second_conv", pads=[1, 1, 1, 1]),
        *([node("Cast", ["contrast"], ["exit"], to=TensorProto.FLOAT)] if half else []),
        node("Abs", ["exit" if half else "contrast"], ["magnitude"]),
        node("Squeeze", ["magnitude", "channel"], ["anomaly_map"]),
        node("ReduceMax", ["anomaly_map", "plane"], ["score"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "contract",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", height, width, 3])],
        [
            helper.make_tensor_value_info("anomaly_map", TensorProto.FLOAT, ["batch", height, width]),
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch"]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def write_contract_graph(path: Path, precision: Literal["fp32", "fp16"] = "fp32") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(contract_model(precision), path)
    return path
