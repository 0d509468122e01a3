"""Does a graph compute what PyTorch computes? Measured on real parts before anything is shipped."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from snl_edge.calibration.score import DECISION
from snl_edge.errors import ExportError

from .fused_graph import FusedGraph
from .rounding import simulate_fp16

TOLERANCE = {"fp32": 1e-4, "fp16": 5e-3}
"""Largest difference of scores, on the calibrated scale; for FP32 of map values as well."""


class Parity(BaseModel):
    """Largest differences between a graph and PyTorch in FP32, on the calibrated scale."""

    model_config = ConfigDict(frozen=True)

    precision: Literal["fp32", "fp16"]
    images: int
    map_difference: float
    score_difference: float
    verdict_flips: int
    """Verdicts that change although the score is further from the threshold than the tolerance."""
    tolerance: float

    def summary(self) -> str:
        """One line for people."""
        return (
            f"{self.precision} graph against PyTorch on {self.images} images: score differs by at most "
            f"{self.score_difference:.1e}, map by {self.map_difference:.1e} (scores allowed {self.tolerance:g})"
        )


def parity_images(reference: NDArray[np.uint8], seed: int = 0) -> NDArray[np.uint8]:
    """The reference images, and each again with a square of noise: good and anomalous ``uint8 [2N, H, W, 3]``."""
    rng = np.random.default_rng(seed)
    damaged = reference.copy()
    side = reference.shape[1] // 6
    for image in damaged:
        y, x = (int(rng.integers(0, extent - side)) for extent in image.shape[:2])
        image[y : y + side, x : x + side] = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    return np.concatenate([reference, damaged])


@torch.no_grad()
def run_pytorch(fused: FusedGraph, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Map and score of the fused module in FP32, image by image."""
    device = next(fused.parameters()).device
    results = [fused(torch.from_numpy(image[None]).to(device)) for image in images]
    return tuple(np.concatenate([r[i].cpu().numpy() for r in results]) for i in range(2))  # pyright: ignore[reportReturnType]


def run_graph(graph: onnx.ModelProto, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Map and score of an ONNX graph on the CPU; FP16 parts are rounded as a GPU rounds them."""
    typed = any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in graph.graph.initializer)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if typed:
        graph = simulate_fp16(graph)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    results: list[Any] = [session.run(["anomaly_map", "score"], {"images": image[None]}) for image in images]
    return tuple(np.concatenate([r[i] for r in results]) for i in range(2))  # pyright: ignore[reportReturnType]


def measure_parity(
    precision: Literal["fp32", "fp16"],
    graph: onnx.ModelProto,
    images: NDArray[np.uint8],
    expected: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> Parity:
    """Compares ``graph`` with PyTorch's ``expected`` (map, score) on ``images``.

    Raises:
        ExportError: the difference is above the tolerance of ``precision``.
    """
    maps, scores = run_graph(graph, images)
    tolerance = TOLERANCE[precision]
    clear = np.abs(expected[1] - DECISION) > tolerance
    parity = Parity(
        precision=precision,
        images=len(images),
        map_difference=float(np.abs(maps - expected[0]).max()),
        score_difference=float(np.abs(scores - expected[1]).max()),
        verdict_flips=int((((scores > DECISION) != (expected[1] > DECISION)) & clear).sum()),
        tolerance=tolerance,
    )
    worst = max(parity.score_difference, parity.map_difference if precision == "fp32" else 0.0)
    if not worst <= tolerance or parity.verdict_flips:
        raise ExportError(
            f"the {precision} graph disagrees with PyTorch",
            f"largest difference of map {parity.map_difference:.2g} and score {parity.score_difference:.2g}, "
            f"{parity.verdict_flips} verdicts flipped, allowed {tolerance:g}",
            "build with --precision fp32" if precision != "fp32" else "report this with the model's configuration",
        )
    return parity
