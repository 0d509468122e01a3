"""A bundle with a tiny graph: what is measured with it is the time of the line, not of a network."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from snl_edge.contract.graph import BATCH, IMAGES, OUTPUTS, TensorSpec
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.bundle_writer import write_bundle
from snl_edge.runtime.manifest import BundleContent, InputSpec
from snl_edge.scoring.scale import ScoreScale
from snl_edge.stream.sources.synthetic import SyntheticSettings, draw_parts

PRODUCT = "gear"
REJECTED = 0.05
"""Share of drawn pictures above the threshold."""


def write_small_bundle(folder: Path, side: int, rejected: float = REJECTED) -> Bundle:
    """Writes a bundle of a local-contrast graph with the fused graph's contract, for pictures ``side`` pixels wide.

    Its threshold rejects the share ``rejected`` of drawn pictures.
    """
    pictures = np.stack(draw_parts(SyntheticSettings(size=side, pictures=64)))
    contrast = np.abs(pictures.mean(axis=3)[:, 1:-1, 1:-1] - _neighbours(pictures.mean(axis=3)) / 4)
    scale = 0.5 / float(np.quantile(contrast.max(axis=(1, 2)), 1 - rejected))
    with tempfile.TemporaryDirectory() as temporary:
        onnx.save(small_graph(side, scale), Path(temporary) / "fp32.onnx")
        return write_bundle(
            folder,
            {"fp32": Path(temporary) / "fp32.onnx"},
            BundleContent(
                name="small",
                input=InputSpec(height=side, width=side, max_batch=8),
                products=(PRODUCT,),
                score_scale=ScoreScale(
                    raw_threshold=0.5 / scale, false_reject_budget=rejected, good_images=64, method="drawn pictures"
                ),
                scores_vouch_for_maps=True,  # differences of bytes are always numbers
            ),
        )


def small_graph(side: int, scale: float) -> onnx.ModelProto:
    """Each pixel's difference from the mean of its four neighbours, times ``scale``; its maximum; one product."""
    kernel = np.array([[0, -0.25, 0], [-0.25, 1, -0.25], [0, -0.25, 0]], np.float32)[None, None] * scale
    constants = {
        "kernel": kernel,
        "channels": np.array([3], np.int64),
        "plane": np.array([1], np.int64),
        "pixels": np.array([1, 2], np.int64),
        "zero": np.array(0.0, np.float32),
        "distance": np.array(0.5, np.float32),
    }
    node = helper.make_node
    nodes = [
        node("Cast", ["images"], ["values"], to=TensorProto.FLOAT),
        node("ReduceMean", ["values", "channels"], ["grey"], keepdims=0),
        node("Unsqueeze", ["grey", "plane"], ["planes"]),
        node("Conv", ["planes", "kernel"], ["inner"], name="contrast"),
        node("Pad", ["inner", "border"], ["contrast"]),
        node("Squeeze", ["contrast", "plane"], ["signed"]),
        node("Abs", ["signed"], ["anomaly_map"]),
        node("ReduceMax", ["anomaly_map", "pixels"], ["score"], keepdims=0),
        node("Mul", ["score", "zero"], ["nought"]),
        node("Add", ["nought", "distance"], ["product_distance"]),
        node("Cast", ["nought"], ["product"], to=TensorProto.INT32),
    ]
    constants["border"] = np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    return fused_graph("small", nodes, constants, (side, side))


def fused_graph(
    name: str, nodes: Sequence[onnx.NodeProto], constants: Mapping[str, np.ndarray], size: tuple[int, int]
) -> onnx.ModelProto:
    """A graph of ``nodes`` with the fused graph's inputs and outputs, for images of ``size = (height, width)``."""
    graph = helper.make_graph(
        list(nodes),
        name,
        [_value(IMAGES, size)],
        [_value(tensor, size) for tensor in OUTPUTS],
        [numpy_helper.from_array(value, constant) for constant, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def _value(tensor: TensorSpec, size: tuple[int, int]) -> onnx.ValueInfoProto:
    kind = TensorProto.DataType.Value(tensor.type_name)
    return helper.make_tensor_value_info(tensor.name, kind, tensor.shape(BATCH, size))


def _neighbours(grey: np.ndarray) -> np.ndarray:
    return grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
