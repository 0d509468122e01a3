"""Thresholds that people set, told from those that training chose."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from snl_edge.calibration.score import DECISION

from .manifest import KNOWN, Manifest

FAR = 3.0
"""A threshold so many times the calibrated one, or its inverse, decides nearly every part alike."""


@dataclass(frozen=True)
class Tuning:
    """What of a manifest's thresholds is not as training left it; None and missing products are."""

    products: dict[str, float] = field(default_factory=dict)
    threshold: float | None = None
    unknown_limit: float | None = None

    def __bool__(self) -> bool:
        return bool(self.fields())

    def fields(self) -> dict[str, Any]:
        """The manifest's fields that it changes; of ``product_thresholds`` those that it knows."""
        own = {"threshold": self.threshold, "unknown_limit": self.unknown_limit}
        changed: dict[str, Any] = {name: value for name, value in own.items() if value is not None}
        return changed | ({"product_thresholds": self.products} if self.products else {})

    def __str__(self) -> str:
        named = [f"{product} {value:.3f}" for product, value in self.products.items()]
        others = (("of no product", self.threshold), ("of unknown products", self.unknown_limit))
        return ", ".join([*named, *(f"{name} {value:.3f}" for name, value in others if value is not None)])


def calibrated_threshold(manifest: Manifest, product: str) -> float:
    """The threshold of ``product`` that training chose, on the calibrated scale."""
    return manifest.calibration.product_thresholds.get(product, DECISION)


def tuning_of(manifest: Manifest) -> Tuning:
    """What people changed of the thresholds since the bundle was built."""
    return Tuning(
        {
            product: value
            for product, value in manifest.product_thresholds.items()
            if value != calibrated_threshold(manifest, product)
        },
        None if manifest.threshold == DECISION else manifest.threshold,
        None if manifest.unknown_limit == KNOWN else manifest.unknown_limit,
    )


def far_from_calibrated(manifest: Manifest, product: str) -> str:
    """What is odd about the threshold in force for ``product``, in words; nothing where nothing is."""
    ratio = manifest.threshold_for(product) / calibrated_threshold(manifest, product)
    if 1 / FAR <= ratio <= FAR:
        return ""
    verdict = "few defects will be rejected" if ratio > 1 else "most good parts will be rejected"
    return f"{ratio:.3g} times the calibrated threshold of {product}: {verdict}"
