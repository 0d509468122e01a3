"""Does a graph compute what PyTorch computes? Measured on real parts before anything is shipped."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from snl_edge.contract.graph import IMAGES, Prediction
from snl_edge.errors import ExportError
from snl_edge.model.fused_graph import FusedGraph
from snl_edge.runtime.manifest import KNOWN
from snl_edge.scoring.scale import DECISION

from .rounding import device_session

TOLERANCE = {"fp32": 1e-4, "fp16": 5e-3}
"""Largest difference of scores, on the score scale; for FP32 of map values as well."""
PLACES = 0.1
"""Share of a map of FP32 that may differ by more than its tolerance, though by no more than that of FP16. Where two
patches of a memory are equally near in the directions of its search, the last bit of a sum says which is compared: at
one place of a few pictures in a hundred, which a map of 256×256 smooths over a twentieth of itself."""
DISTANCE_TOLERANCE = {"fp32": 1e-3, "fp16": 2e-2}
"""Largest difference of product distances that needs no word; relative where a distance is above 1.

More is refused of FP32, which has nothing to round. Of FP16 it is said, and refused where it changes what good parts
are taken for: distances of products whose parts are all alike are small, and roundings are large beside them.
"""


class Parity(BaseModel):
    """Largest differences between a graph and PyTorch in FP32, on the score scale."""

    model_config = ConfigDict(frozen=True)

    precision: Literal["fp32", "fp16"]
    images: int
    map_difference: float
    map_share: float = 0.0
    """Of the pixels of a map, how many differ by more than the tolerance, where most do."""
    score_difference: float
    verdict_flips: int
    """Verdicts that change although the score is further from the threshold than the tolerance."""
    product_difference: float
    """Of the product distance; relative where it is above 1."""
    product_flips: int
    """Images of a known product that are taken for another, and good ones that become unknown or known."""
    tolerance: float

    @property
    def failures(self) -> tuple[str, ...]:
        """In what the graph differs more than it may, in words; none if it agrees."""
        found: list[str] = []
        if not self.score_difference <= self.tolerance:
            found.append(f"scores differ by up to {self.score_difference:.2g}, allowed {self.tolerance:g}")
        within = self.map_difference <= self.tolerance or (
            self.map_share <= PLACES and self.map_difference <= TOLERANCE["fp16"]
        )
        if self.precision == "fp32" and not within:
            found.append(
                f"maps differ by up to {self.map_difference:.2g}, allowed {self.tolerance:g}, "
                f"in {self.map_share:.1%} of their pixels"
            )
        if self.verdict_flips:
            found.append(f"{self.verdict_flips} of {self.images} verdicts flip")
        if self.product_flips:
            found.append(f"{self.product_flips} of {self.images} images are taken for another product, or for unknown")
        if self.doubt and (self.precision == "fp32" or not np.isfinite(self.product_difference)):
            found.append(self.doubt)
        return tuple(found)

    @property
    def doubt(self) -> str:
        """What is to be said of the product distance; empty if it agrees."""
        allowed = DISTANCE_TOLERANCE[self.precision]
        if self.product_difference <= allowed:
            return ""
        return (
            f"product distances of the {self.precision} graph differ by up to {self.product_difference:.2g} of their "
            f"limit from PyTorch's, {allowed:g} is usual: a part near the limit may be taken for unknown or known"
        )

    def summary(self) -> str:
        """One line for people."""
        return (
            f"{self.precision} graph against PyTorch on {self.images} images: score differs by at most "
            f"{self.score_difference:.1e}, map by {self.map_difference:.1e} (scores allowed {self.tolerance:g}), "
            f"product distance by {self.product_difference:.1e}"
        )


def parity_images(reference: NDArray[np.uint8], seed: int = 0) -> NDArray[np.uint8]:
    """The reference images, then each again with a square of noise: N good, N anomalous ``uint8 [2N, H, W, 3]``."""
    rng = np.random.default_rng(seed)
    damaged = reference.copy()
    side = reference.shape[1] // 6
    for image in damaged:
        y, x = (int(rng.integers(0, extent - side)) for extent in image.shape[:2])
        image[y : y + side, x : x + side] = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    return np.concatenate([reference, damaged])


@torch.no_grad()
def run_pytorch(fused: FusedGraph, images: NDArray[np.uint8]) -> Prediction:
    """What the fused module says in FP32, image by image."""
    device = next(fused.parameters()).device
    results = [fused(torch.from_numpy(image[None]).to(device)) for image in images]
    return Prediction(*(np.concatenate([part.cpu().numpy() for part in parts]) for parts in zip(*results, strict=True)))


def run_graph(graph: onnx.ModelProto, images: NDArray[np.uint8]) -> Prediction:
    """What an ONNX graph says on the CPU; FP16 parts are rounded as a GPU rounds them."""
    session = device_session(graph)
    results: list[Any] = [session.run(Prediction._fields, {IMAGES.name: image[None]}) for image in images]
    return Prediction(*(np.concatenate(parts) for parts in zip(*results, strict=True)))


def measure_parity(
    precision: Literal["fp32", "fp16"],
    graph: onnx.ModelProto,
    images: NDArray[np.uint8],
    expected: Prediction,
) -> Parity:
    """Compares ``graph`` with PyTorch's ``expected`` on ``images``, those of :func:`parity_images`.

    Raises:
        ExportError: it differs more than ``precision`` may.
    """
    found = run_graph(graph, images)
    tolerance, distance_tolerance = TOLERANCE[precision], DISTANCE_TOLERANCE[precision]
    clear = np.abs(expected.score - DECISION) > tolerance
    distance, near = expected.product_distance, expected.product_distance <= KNOWN
    good = np.arange(len(images)) < len(images) // 2
    product_flips = (near & (found.product != expected.product)) | (
        good & ((found.product_distance <= KNOWN) != near) & (np.abs(distance - KNOWN) > distance_tolerance)
    )
    apart = np.abs(found.anomaly_map - expected.anomaly_map)
    parity = Parity(
        precision=precision,
        images=len(images),
        map_difference=float(apart.max()),
        # What is no number differs, too.
        map_share=float((~(apart <= tolerance)).mean(axis=(1, 2)).max()),
        score_difference=float(np.abs(found.score - expected.score).max()),
        verdict_flips=int((((found.score > DECISION) != (expected.score > DECISION)) & clear).sum()),
        product_difference=float((np.abs(found.product_distance - distance) / np.maximum(distance, 1)).max()),
        product_flips=int(product_flips.sum()),
        tolerance=tolerance,
    )
    if parity.failures:
        raise ExportError(
            f"the {precision} graph disagrees with PyTorch",
            "; ".join(parity.failures),
            "build with --precision fp32" if precision != "fp32" else "report this with the model's configuration",
        )
    return parity
