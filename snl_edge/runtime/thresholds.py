"""Some of a bundle's thresholds, whatever they are taken for: set, kept by a build, or told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict

from .manifest import Limit, Manifest


class Thresholds(BaseModel):
    """Some of a bundle's thresholds, on the score scale; those that are not here are not spoken of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: Limit | None = None
    """Of products without one of their own."""
    unknown_limit: Limit | None = None
    product_thresholds: dict[str, Limit | None] = {}
    """None: that product has none of its own."""

    def plain(self) -> dict[str, Any]:
        """As data, without what is not spoken of."""
        own: dict[str, Any] = {"threshold": self.threshold, "unknown_limit": self.unknown_limit}
        said = {name: value for name, value in own.items() if value is not None}
        return said | ({"product_thresholds": dict(self.product_thresholds)} if self.product_thresholds else {})

    def over(self, manifest: Manifest) -> Manifest:
        """The manifest with these in the place of its own.

        Raises:
            ConfigError: one is of a product that it does not know.
        """
        for product in self.product_thresholds:
            manifest.threshold_for(product)
        products = {**manifest.product_thresholds, **self.product_thresholds}
        change = self.plain() | {"product_thresholds": {p: own for p, own in products.items() if own is not None}}
        return manifest.model_copy(update=change)

    def same_of(self, manifest: Manifest) -> Thresholds:
        """What the manifest has in the place of these."""
        return Thresholds(
            threshold=None if self.threshold is None else manifest.threshold,
            unknown_limit=None if self.unknown_limit is None else manifest.unknown_limit,
            product_thresholds={p: manifest.product_thresholds.get(p) for p in self.product_thresholds},
        )

    def single(self) -> Iterator[Thresholds]:
        """Each of them alone, in the order of `__str__`."""
        yield from (Thresholds(product_thresholds={product: own}) for product, own in self.product_thresholds.items())
        if self.threshold is not None:
            yield Thresholds(threshold=self.threshold)
        if self.unknown_limit is not None:
            yield Thresholds(unknown_limit=self.unknown_limit)

    def names(self, single: Thresholds) -> bool:
        """Whether these speak of the one that ``single`` speaks of, whatever its value."""
        return single.named().keys() <= self.named().keys()

    def named(self) -> dict[tuple[str, str], float | None]:
        """Each value under what it is of: ``("product", "gear")``, ``("threshold", "")``, ``("unknown_limit", "")``."""
        said = self.plain()
        products = said.pop("product_thresholds", {})
        return {("product", name): own for name, own in products.items()} | {
            (name, ""): own for name, own in said.items()
        }

    def changed_from(self, before: Thresholds) -> str:
        """As ``gear 0.412 → 0.510, limit of unknown 1.000 → 1.300``."""
        then = before.named()
        return ", ".join(f"{_called(own)} {_value(then.get(own))} → {_value(now)}" for own, now in self.named().items())

    def __str__(self) -> str:
        return ", ".join(f"{_called(own)} {_value(value)}" for own, value in self.named().items())


def _called(own: tuple[str, str]) -> str:
    return (
        own[1] if own[0] == "product" else {"threshold": "other products", "unknown_limit": "limit of unknown"}[own[0]]
    )


def _value(value: float | None) -> str:
    return "none of its own" if value is None else f"{value:.3f}"
