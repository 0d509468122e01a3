"""Thresholds that people set, told from those that training chose."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from snl_edge.scoring.scale import DECISION

from ..errors import ConfigError
from .manifest import KNOWN, Manifest
from .thresholds import Thresholds

UNKNOWN = "(unknown product)"
LOWEST, LARGEST = 1 / 3, 1.5
"""Usual thresholds, in those of training. Far below most good parts are stopped, which is soon seen; above, defects
pass unseen, and a picture of anything at all may score no more than a few times training's threshold."""
FAR = 3.0
"""An unknown limit so many times the default, or its inverse, is not a usual one."""


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

    @property
    def thresholds(self) -> Thresholds:
        """The same as they stand in a bundle's history."""
        return Thresholds(
            threshold=self.threshold, unknown_limit=self.unknown_limit, product_thresholds=dict(self.products)
        )

    def __str__(self) -> str:
        return str(self.thresholds)


def trained_threshold(manifest: Manifest, product: str) -> float:
    """The threshold of ``product`` that training chose, on the score scale."""
    return manifest.score_scale.product_thresholds.get(product, DECISION)


def tuning_of(manifest: Manifest) -> Tuning:
    """What people changed of the thresholds since the bundle was built."""
    return Tuning(
        {
            product: value
            for product, value in manifest.product_thresholds.items()
            if value != trained_threshold(manifest, product)
        },
        None if manifest.threshold == DECISION else manifest.threshold,
        None if manifest.unknown_limit == KNOWN else manifest.unknown_limit,
    )


def usual_range(manifest: Manifest, product: str | None) -> tuple[float, float]:
    """Between which thresholds of ``product`` (None: of products without one) nobody needs to be asked twice."""
    trained = DECISION if product is None else trained_threshold(manifest, product)
    return LOWEST * trained, LARGEST * trained


def unusual(manifest: Manifest, product: str | None, value: float | None = None) -> str:
    """What is odd about a threshold of ``product``, in words; nothing where nothing is.

    Args:
        manifest: of the bundle.
        product: None for that of products without one of their own.
        value: the threshold; that in force if not given.
    """
    value = manifest.threshold_for(product) if value is None else value
    lowest, largest = usual_range(manifest, product)
    if lowest <= value <= largest:
        return ""
    verdict = "few defects will be rejected" if value > largest else "most good parts will be rejected"
    ratio = value / (largest / LARGEST)
    return f"{value:.3g} is {ratio:.3g} times training's threshold of {product or 'unknown products'}: {verdict}"


def unusual_limit(value: float) -> str:
    """What is odd about a limit of unknown products, in words; nothing where nothing is."""
    if KNOWN / FAR <= value <= KNOWN * FAR:
        return ""
    verdict = "parts of other products will not be unknown" if value > KNOWN else "most good parts will be unknown"
    return f"{value:.3g} is far from {KNOWN:g}, the limit of training: {verdict}"


def standing_doubts(manifest: Manifest) -> dict[str, str]:
    """What is odd about the thresholds in force, by product; the limit of unknown products under its own name."""
    found = {product: unusual(manifest, product) for product in manifest.products}
    return {name: odd for name, odd in (found | {UNKNOWN: unusual_limit(manifest.unknown_limit)}).items() if odd}


def require_confirmed(odd: str, confirmed: bool) -> None:
    """Refuses an odd value that nobody has confirmed.

    Raises:
        ConfigError: ``odd`` says something, and it is not confirmed.
    """
    if odd and not confirmed:
        raise ConfigError(
            odd, "nothing was changed", "confirm it (--confirm; over HTTP confirmed: true), or take another"
        )
