"""What an evaluation found: verdicts as a plant counts them, metrics per product, and what is not defined, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from snl_edge.data.folders import name_some
from snl_edge.scoring.intervals import Share
from snl_edge.scoring.threshold import OperatingPoint

from .cases import Case, Picture
from .other_thresholds import OtherThreshold
from .outcome import Outcome
from .seen import Seen

METRICS = ("image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "pixel_ap", "pixel_f1_max", "aupro")


@dataclass(frozen=True)
class Recognition:
    """How well products are recognised, as fractions of images of learned products; NaN where there are none."""

    accuracy: float
    """Good images whose nearest product is their own."""
    false_unknown_rate: float
    """Good images taken for an unknown product."""
    defective_accuracy: float
    defective_unknown_rate: float


@dataclass(frozen=True)
class ProductResult:
    """Metrics of one product, as fractions; NaN where they are not defined."""

    image_auroc: float
    image_ap: float
    image_f1_max: float
    pixel_auroc: float
    pixel_ap: float
    pixel_f1_max: float
    aupro: float
    threshold: float
    at_threshold: OperatingPoint
    """With the product named."""
    without_mask: int = 0
    """Defective images whose defect nobody marked: pixel metrics leave them out."""
    ignored: float = 0.0
    """Share of the picture that does not count for this product: pixel metrics leave it out."""
    hidden: int = 0
    """Defective images whose marked defect lies wholly there."""

    other_thresholds: tuple[OtherThreshold, ...] = ()
    """What others than the one in force would do to this test set; none where it is not known what sets them."""

    @property
    def masked(self) -> int:
        """Defective images with a mask."""
        return self.at_threshold.defective - self.without_mask


@dataclass(frozen=True)
class Evaluation:
    """All results; ``gallery`` holds pictures by product: worst false stops, worst escapes, clearest detections."""

    cases: tuple[Case, ...]
    """Of learned products; of any, where nothing recognises products."""
    products: dict[str, ProductResult]
    gallery: dict[str, tuple[Picture, ...]]
    never_learned: tuple[Case, ...] = ()
    """Of products that the model never learned: all of them should be stopped, good and defective ones."""
    recognises: bool = False
    """Whether the model was asked for the product."""
    seen: Seen | None = None
    """Which test images the model knew; None where nobody looked."""
    remarks: tuple[str, ...] = ()
    """What else one must know to read the figures, a line each."""

    def outcome(self, product: str | None = None, *, named: bool = False) -> Outcome:
        """What becomes of the parts, or of those of ``product``; ``named``: if the device is told the product."""
        return Outcome.of(
            (case.sample.is_good, (case.named if named and case.named else case.verdict).kind)
            for case in self.cases
            if product is None or case.sample.product == product
        )

    @property
    def strangers(self) -> dict[str, tuple[Share, int]]:
        """By product never learned: how many parts are stopped, and how many of these as unknown."""
        found: dict[str, list[Case]] = {}
        for case in self.never_learned:
            found.setdefault(case.sample.product, []).append(case)
        return {
            product: (
                Share(sum(not case.verdict.good for case in own), len(own)),
                sum(case.verdict.kind == "unknown" for case in own),
            )
            for product, own in found.items()
        }

    @property
    def recognition(self) -> Recognition:
        """Over all images whose folder names a learned product."""
        rates: list[float] = []
        for good in (True, False):
            own = [case for case in self.cases if case.recognised and case.sample.is_good == good]
            right = [case.nearest == case.sample.product for case in own]
            unknown = [case.verdict.kind == "unknown" for case in own]
            rates += [float(np.mean(counted)) if own else math.nan for counted in (right, unknown)]
        return Recognition(*rates)

    @property
    def mean(self) -> dict[str, float]:
        """The mean over products of each metric and rate, products where it is not defined left out."""
        rates = {
            "false_reject_rate": [r.at_threshold.false_reject_rate for r in self.products.values()],
            "escape_rate": [r.at_threshold.escape_rate for r in self.products.values()],
        }
        values = {metric: [getattr(r, metric) for r in self.products.values()] for metric in METRICS} | rates
        return {name: float(np.nanmean(v)) if not np.isnan(v).all() else math.nan for name, v in values.items()}

    @property
    def ignores(self) -> bool:
        """Whether something of a product's picture does not count."""
        return any(result.ignored for result in self.products.values())

    @property
    def notes(self) -> tuple[str, ...]:
        """What the model knew already, what is not defined or left out, and why, and the remarks: a line each."""
        return (*([self.seen.line()] if self.seen else []), *_undefined(self.products), *self.remarks)

    def figures(self) -> dict[str, Any]:
        """The figures as plain data for JSON: fractions, ``None`` where not defined."""
        products = {
            name: {k: v for k, v in asdict(result).items() if k != "at_threshold"} | asdict(result.at_threshold)
            for name, result in self.products.items()
        }
        return {
            "verdicts": {
                "recognised": self.outcome().figures() if self.recognises else None,
                "named": self.outcome(named=True).figures(),
                "products": {
                    name: {
                        "recognised": self.outcome(name).figures() if self.recognises else None,
                        "named": self.outcome(name, named=True).figures(),
                    }
                    for name in self.products
                },
                "never_learned": {
                    name: {"stopped": stopped.figures() | {"as_unknown": unknown}}
                    for name, (stopped, unknown) in self.strangers.items()
                },
            },
            "mean": nan_as_none(self.mean),
            "products": nan_as_none(products),
            "recognition": nan_as_none(asdict(self.recognition)),
            "seen": self.seen.figures() if self.seen else None,
            "notes": list(self.notes),
        }


def _undefined(products: Mapping[str, ProductResult]) -> list[str]:
    """Which figures are missing, of which products, and why."""
    lines: list[str] = []
    points = {name: result.at_threshold for name, result in products.items()}
    if without := [name for name, point in points.items() if not point.good]:
        lines.append(f"no good test images of {_some(without)}: no image metrics and no false stops there")
    if without := [name for name, point in points.items() if not point.defective]:
        lines.append(f"no defective test images of {_some(without)}: no metrics, and nothing that could escape")
    if bare := [name for name, point in points.items() if point.defective and not products[name].masked]:
        lines.append(f"no defective image of {_some(bare)} has a mask: no pixel metrics there")
    for name, result in products.items():
        if result.masked and result.without_mask:
            lines.append(
                f"pixel metrics of {name} leave out {result.without_mask} of {result.at_threshold.defective} "
                "defective images, which have no mask"
            )
        if result.ignored:
            hidden = f"; {result.hidden} of {result.masked} marked defects lie wholly there" if result.masked else ""
            lines.append(
                f"{result.ignored:.1%} of the picture of {name} does not count, and pixel metrics leave it out{hidden}"
                + (": they count as escaped unless the rest of the part rejects it" if result.hidden else "")
            )
    return lines


def _some(names: Sequence[str]) -> str:
    return name_some(list(names))


def nan_as_none(value: Any) -> Any:
    """``value`` for JSON: a metric that is not defined is null; tuples become lists."""
    if isinstance(value, dict):
        return {key: nan_as_none(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [nan_as_none(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
