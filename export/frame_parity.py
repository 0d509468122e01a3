"""Does a graph with a front say of a camera's frame what the host's resize and PyTorch say? Measured at every build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from snl_edge.contract.graph import IMAGES, Prediction
from snl_edge.errors import ExportError
from snl_edge.image import fit_to_input, swapped
from snl_edge.model.fused_graph import FusedGraph
from snl_edge.opencv import cv2
from snl_edge.progress import console
from snl_edge.runtime.manifest import FrameSpec, Precision
from snl_edge.scoring.scale import ScoreScale
from snl_edge.training.checkpoint import load_model
from snl_edge.training.reference import load_reference

from .frame import front_alone, with_frame
from .onnx_graph import graph_metadata
from .parity import TOLERANCE, run_graph, run_pytorch
from .rounding import device_session

FRAMES = 4
"""Parts, at most, whose frames are compared; each is shown good and damaged."""


class FrameParity(BaseModel):
    """Largest differences between a graph that resizes and the host's resize in front of the same model."""

    model_config = ConfigDict(frozen=True)

    frames: int
    pixel_difference: float
    """Of what the model sees, in grey levels."""
    score_difference: float
    map_difference: float
    against: str
    """What ran the model behind the host's resize."""

    def summary(self, precision: str) -> str:
        """One line for people."""
        return (
            f"{precision} graph with its resize on {self.frames} frames, against the host's resize and {self.against}: "
            f"pixels differ by {self.pixel_difference:g} levels, score by at most {self.score_difference:.1e}, map by "
            f"{self.map_difference:.1e}"
        )


def parity_frames(reference: NDArray[np.uint8], frame: FrameSpec, seed: int = 0) -> NDArray[np.uint8]:
    """Frames ``uint8 [2N, height, width, 3]`` in the camera's colours: reference images, finer than they are and with a
    sensor's noise, and each again with a square of noise."""
    rng = np.random.default_rng(seed)
    frames: list[NDArray[np.uint8]] = []
    for image in reference[:FRAMES]:
        large = cv2.resize(image, frame.size[::-1], interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(large + rng.normal(0, 6, large.shape).astype(np.float32), 0, 255).astype(np.uint8)
        damaged = noisy.copy()
        side = min(frame.size) // 6
        y, x = (int(rng.integers(0, extent - side)) for extent in frame.size)
        damaged[y : y + side, x : x + side] = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        frames += [noisy, damaged]
    return np.stack([_exchanged(one, frame) for one in frames])


def add_fronts(
    run: Path, graphs: Mapping[Precision, onnx.ModelProto], frame: FrameSpec
) -> tuple[dict[Precision, onnx.ModelProto], dict[Precision, FrameParity]]:
    """Each of the run's graphs with a front for ``frame``, and how far it is from the host's path on the same frames.

    FP32 and FP16 graphs are held against PyTorch; an INT8 graph, which computes something else than the model, against
    itself without a front.

    Raises:
        CheckpointError: the run cannot be read.
        ExportError: a graph disagrees, or cannot take a front.
    """
    model, _ = load_model(run)
    frames = parity_frames(load_reference(run), frame)
    fitted = np.stack([fit_to_input(_exchanged(one, frame), model.config.size) for one in frames])
    framed: dict[Precision, onnx.ModelProto] = {}
    parity: dict[Precision, FrameParity] = {}
    with console.status("comparing frames resized by the graph with frames resized by the host"):
        for precision, graph in graphs.items():
            framed[precision] = with_frame(graph, frame)
            if precision in TOLERANCE:
                gain = ScoreScale.model_validate(graph_metadata(graph)["calibration"]).gain
                expected, against = run_pytorch(FusedGraph(model, gain).eval(), fitted), "PyTorch"
            else:
                expected, against = run_graph(graph, fitted), f"the {precision} graph alone"
            parity[precision] = compare_frames(framed[precision], frames, fitted, expected, precision, against)
    for precision, record in parity.items():
        console.print(record.summary(precision))
    return framed, parity


def _exchanged(image: NDArray[np.uint8], frame: FrameSpec) -> NDArray[np.uint8]:
    """From RGB to the frame's colours, or back."""
    return swapped(image) if frame.colours == "bgr" else image


def compare_frames(
    framed: onnx.ModelProto,
    frames: NDArray[np.uint8],
    fitted: NDArray[np.uint8],
    expected: Prediction,
    precision: Precision,
    against: str,
) -> FrameParity:
    """Holds a graph with a front, on ``frames``, against what was ``expected`` of them ``fitted`` by the host.

    Raises:
        ExportError: what the model sees differs by more than one level, or scores by more than a graph's may.
    """
    front = device_session(front_alone(framed))
    seen = (np.asarray(front.run(None, {IMAGES.name: one[None]})[0])[0] for one in frames)
    pixels = max(float(np.abs(shown - own).max()) for shown, own in zip(seen, fitted, strict=True))
    found = run_graph(framed, frames)
    parity = FrameParity(
        frames=len(frames),
        pixel_difference=pixels,
        score_difference=float(np.abs(found.score - expected.score).max()),
        map_difference=float(np.abs(found.anomaly_map - expected.anomaly_map).max()),
        against=against,
    )
    allowed = TOLERANCE.get(precision, TOLERANCE["fp32"])
    worst = max(parity.score_difference, parity.map_difference if precision == "fp32" else 0.0)
    if not parity.pixel_difference <= 1 or not worst <= allowed:
        raise ExportError(
            f"the {precision} graph does not see a frame as the host's resize shows it",
            f"pixels differ by {pixels:g} levels, score or map by {worst:.2g}, allowed 1 and {allowed:g}",
            "build without --frame, and report this with `snl-edge doctor`",
        )
    return parity
