"""A tiny real ONNX graph with the fused graph's contract: local contrast, its maximum, brightness as product."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.bundle_writer import write_bundle
from snl_edge.runtime.manifest import BundleContent, FrameSpec, InputSpec, Precision
from snl_edge.runtime.tuning import Tuning
from snl_edge.scoring.scale import ScoreScale
from studies.small_bundle import fused_graph

HEIGHT, WIDTH = 24, 40


def contract_model(
    precision: Literal["fp32", "fp16"] = "fp32", size: tuple[int, int] = (HEIGHT, WIDTH), scale: float = 1 / 255
) -> onnx.ModelProto:
    """Cast, layout, scaling, two convolutions (in FP16 between two casts if wanted), map and score.

    Products differ in brightness: bolts are black, washers mid-grey; white is twice as far away as what is known.
    """
    rng = np.random.default_rng(0)
    half = precision == "fp16"
    kind = np.float16 if half else np.float32
    constants = {
        "scale": np.array(scale, np.float32),
        "first": rng.normal(0, 0.3, (8, 3, 3, 3)).astype(kind),
        "second": rng.normal(0, 0.3, (1, 8, 3, 3)).astype(kind),
        "channel": np.array([1], np.int64),
        "plane": np.array([1, 2], np.int64),
        "all": np.array([1, 2, 3], np.int64),
        "brightness": np.array([[0.0, 127.5]], np.float32),
        "spread": np.array(1 / 63.75, np.float32),
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
        node("ReduceMean", ["planes", "all"], ["mean"], keepdims=0),
        node("Unsqueeze", ["mean", "channel"], ["embedding"]),
        node("Sub", ["embedding", "brightness"], ["difference"]),
        node("Abs", ["difference"], ["apart"]),
        node("Mul", ["apart", "spread"], ["distances"]),
        node("ArgMin", ["distances"], ["nearest"], axis=1, keepdims=0),
        node("Cast", ["nearest"], ["product"], to=TensorProto.INT32),
        node("ReduceMin", ["distances", "channel"], ["product_distance"], keepdims=0),
    ]
    return fused_graph("contract", nodes, constants, size)


def write_contract_graph(path: Path, precision: Literal["fp32", "fp16"] = "fp32") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(contract_model(precision), path)
    return path


def write_contract_bundle(
    folder: Path,
    max_batch: int = 4,
    *,
    attachments: dict[str, str | bytes] | None = None,
    kept_tuning: Callable[[Bundle], Tuning] | None = None,
    **content: Any,
) -> Bundle:
    """A bundle of the contract graph in FP32 and FP16; ``content`` changes what its manifest says."""
    said = {
        "name": "contract",
        "input": InputSpec(height=HEIGHT, width=WIDTH, max_batch=max_batch),
        "products": ("bolt", "washer"),
        "score_scale": ScoreScale(raw_threshold=0.2, false_reject_budget=0.01, good_images=40, method="test"),
        **content,
    }
    with tempfile.TemporaryDirectory() as temporary:
        graphs: dict[Precision, Path] = {
            "fp32": write_contract_graph(Path(temporary) / "fp32.onnx"),
            "fp16": write_contract_graph(Path(temporary) / "fp16.onnx", "fp16"),
        }
        return write_bundle(
            folder, graphs, BundleContent.checked(**said), attachments=attachments, kept_tuning=kept_tuning
        )


def contract_images(batch: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (batch, HEIGHT, WIDTH, 3), dtype=np.uint8)


def framed(bundle: Bundle, folder: Path, frame: FrameSpec) -> Bundle:
    """A copy of the bundle whose graphs take frames."""
    from snl_edge.export.frame import with_frame
    from snl_edge.export.onnx_graph import save_graph

    manifest = bundle.manifest
    with tempfile.TemporaryDirectory() as temporary:
        graphs = {
            precision: save_graph(with_frame(onnx.load(bundle.graph(precision)), frame), Path(temporary) / precision)
            for precision in manifest.graphs
        }
        return write_bundle(
            folder,
            graphs,
            BundleContent(
                name=manifest.name,
                input=manifest.input.model_copy(update={"frame": frame}),
                products=manifest.products,
                score_scale=manifest.score_scale,
                scores_vouch_for_maps=manifest.scores_vouch_for_maps,
            ),
        )
