"""The accuracy gate: a graph or engine may ship if it detects as the FP32 graph does, measured on real parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from snl_edge.errors import ExportError
from snl_edge.runtime.manifest import Precision

from .gate_images import GraphAnswers


class Limits(BaseModel):
    """What a graph may lose against FP32. AUROC in points of 100, shares as fractions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_auroc_drop: float
    """Of the mean over products, on a labelled set."""
    verdict_flips: float = 0.005
    """Share of the images judged otherwise, each graph by its own thresholds; one image is always allowed.

    As many good images may be taken for another product or for unknown that FP32 recognises.
    """
    score_correlation: float
    """Least correlation of scores, where there are good images only."""
    map_error: float
    """Root mean square of the maps' difference, as a share of the FP32 maps', where there are good images only."""


LIMITS: Mapping[Precision, Limits] = {
    "fp16": Limits(image_auroc_drop=0.1, score_correlation=0.999, map_error=0.1),
    "bf16": Limits(image_auroc_drop=0.1, score_correlation=0.999, map_error=0.1),
    "int8": Limits(image_auroc_drop=0.3, score_correlation=0.98, map_error=0.1),
}


class ProductDrop(BaseModel):
    """What one product loses, in points of 100; negative where it gains, None where a metric is not defined."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_auroc: float | None
    pixel_auroc: float | None
    aupro: float | None


class GateReport(BaseModel):
    """What the gate measured; part of the bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: Precision
    ran_on: str
    """What computed the graph: a simulation of the device on the CPU, or the engine itself."""
    judged_on: Literal["labelled set", "good images"]
    images: int
    limits: Limits
    verdict_flips: int
    unrecognised: int = 0
    """Good images that FP32 recognises as their product and this does not."""
    image_auroc_drop: float | None = None
    pixel_auroc_drop: float | None = None
    aupro_drop: float | None = None
    products: dict[str, ProductDrop] = {}
    score_correlation: float
    map_error: float | None = None
    failures: tuple[str, ...]
    """Which limits are broken, in words; none if it passed."""
    not_int8: tuple[str, ...] = ()
    """Layers kept out of INT8."""
    not_int8_share: float = 0.0
    """Their share of the multiplications of all layers that could be INT8."""
    worst_layers: tuple[str, ...] = ()
    """Where the gate failed: the layers that damage the map most."""
    forced: bool = False
    """The user shipped it although it failed."""

    @property
    def passed(self) -> bool:
        """Whether every limit holds."""
        return not self.failures

    def summary(self) -> str:
        """One line for people."""
        flips = f"{self.verdict_flips} of {self.images} verdicts flip"
        if self.unrecognised:
            flips += f", {self.unrecognised} good parts are recognised no longer"
        if self.judged_on == "labelled set":
            figures = (
                f"mean image AUROC drops by {_points(self.image_auroc_drop)}, pixel AUROC by "
                f"{_points(self.pixel_auroc_drop)}, AUPRO by {_points(self.aupro_drop)} points, {flips}"
            )
        else:
            figures = f"scores correlate {self.score_correlation:.5f}, maps differ by {self.map_error:.2%}, {flips}"
        verdict = "passes" if self.passed else "FAILS" + (", and is shipped by force" if self.forced else "")
        excluded = f", {len(self.not_int8)} layers kept out of INT8" if self.not_int8 else ""
        return f"gate: {self.precision} {verdict} ({self.judged_on}, {self.ran_on}{excluded}): {figures}"

    def require(self, fix: str) -> None:
        """Refuses what failed.

        Raises:
            ExportError: with the broken limits, the worst layers and what to do.
        """
        if self.passed or self.forced:
            return
        worst = f"; the layers that damage the map most are {', '.join(self.worst_layers)}" if self.worst_layers else ""
        raise ExportError(f"{self.precision} fails the accuracy gate", "; ".join(self.failures) + worst, fix)


def compare(reference: GraphAnswers, found: GraphAnswers, precision: Precision, ran_on: str) -> GateReport:
    """Holds what a graph says of the gate's images against what FP32 says, and against the limits."""
    limits = LIMITS[precision]
    images = len(reference.scores)
    flips = int((reference.rejects != found.rejects).sum())
    correlation = float(np.corrcoef(reference.scores, found.scores)[0, 1])
    failures: list[str] = []
    lost = int((reference.recognised & ~found.recognised).sum())
    if lost > max(1.0, limits.verdict_flips * images):
        failures.append(f"{lost} good parts are taken for another product or for unknown that FP32 recognises")
    if flips > max(1.0, limits.verdict_flips * images):
        failures.append(f"{flips} of {images} verdicts flip, {limits.verdict_flips:.1%} allowed")
    if reference.metrics is None or found.metrics is None:
        assert reference.maps is not None
        assert found.maps is not None
        error = float(np.sqrt(np.mean(np.square(found.maps - reference.maps)) / np.mean(np.square(reference.maps))))
        if not correlation >= limits.score_correlation:
            failures.append(f"scores correlate {correlation:.4f}, {limits.score_correlation:g} wanted")
        if not error <= limits.map_error:
            failures.append(f"maps differ by {error:.1%}, {limits.map_error:.1%} allowed")
        return GateReport(
            precision=precision,
            ran_on=ran_on,
            judged_on="good images",
            images=images,
            limits=limits,
            verdict_flips=flips,
            unrecognised=lost,
            score_correlation=correlation,
            map_error=error,
            failures=tuple(failures),
        )
    drops = {
        metric: _drop(reference.metrics.mean[metric], found.metrics.mean[metric])
        for metric in ("image_auroc", "pixel_auroc", "aupro")
    }
    if (image := drops["image_auroc"]) is None or image > limits.image_auroc_drop:
        failures.append(f"mean image AUROC drops by {_points(image)} points, {limits.image_auroc_drop:g} allowed")
    products = {
        name: ProductDrop(
            **{
                metric: _drop(getattr(result, metric), getattr(found.metrics.products[name], metric))
                for metric in drops
            }
        )
        for name, result in reference.metrics.products.items()
    }
    return GateReport(
        precision=precision,
        ran_on=ran_on,
        judged_on="labelled set",
        images=images,
        limits=limits,
        verdict_flips=flips,
        unrecognised=lost,
        image_auroc_drop=drops["image_auroc"],
        pixel_auroc_drop=drops["pixel_auroc"],
        aupro_drop=drops["aupro"],
        products=products,
        score_correlation=correlation,
        failures=tuple(failures),
    )


def _drop(before: float, after: float) -> float | None:
    """Points of 100, to a thousandth; None where one is not defined."""
    drop = 100 * (before - after)
    return None if np.isnan(drop) else round(drop, 3)


def _points(drop: float | None) -> str:
    return "no known number of" if drop is None else f"{drop:.2f}"
