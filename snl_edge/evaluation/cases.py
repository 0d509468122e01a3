"""One judged image: what was said of it, with and without being told the product, and the pictures worth a look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snl_edge.data.samples import Sample
from snl_edge.runtime.manifest import Manifest, Precision
from snl_edge.runtime.verdict import Decision, decide

Kind = Literal["false stop", "escape", "detection", "not stopped"]
KINDS: tuple[Kind, ...] = ("false stop", "escape", "detection", "not stopped")


@dataclass(frozen=True)
class Rules:
    """What a device decides by: the manifest and precision of what runs, and a threshold in place of its own."""

    manifest: Manifest
    precision: Precision = "fp32"
    threshold: float | None = None

    def decide(self, score: np.float32, nearest: np.int32, distance: np.float32, named: str | None = None) -> Decision:
        """As :func:`snl_edge.runtime.verdict.decide`, of the graph's outputs for one image."""
        return decide(self.manifest, self.precision, score, nearest, distance, named, self.threshold)

    def shift(self, product: str) -> float:
        """Scores of ``product`` in what runs, as multiples of those of the FP32 graph, for which thresholds are set."""
        return self.manifest.threshold_for(product, self.precision) / self.manifest.threshold_for(product)


@dataclass(frozen=True)
class Case:
    """One judged image."""

    sample: Sample
    score: float
    named: Decision | None
    """With the product that its folder names; None where the model never learned that."""
    recognised: Decision | None
    """As a device decides that is not told the product; None where nothing recognises products."""
    nearest: str | None
    """The learned product it comes closest to; None where nothing recognises products."""
    product_distance: float

    @property
    def reject(self) -> bool:
        """By the threshold of the product that its folder names."""
        return self.named is not None and self.named.reject

    @property
    def verdict(self) -> Decision:
        """What a line sees: with the product recognised, or named where nothing recognises it."""
        found = self.recognised or self.named
        assert found is not None
        return found

    @property
    def kind(self) -> Kind | None:
        """Right or wrong, and how; None of a part that rightly passes or is of a product never learned and stopped."""
        stopped = not self.verdict.good
        if self.named is None:
            return None if stopped else "not stopped"
        if self.sample.is_good:
            return "false stop" if stopped else None
        return "detection" if stopped else "escape"

    @property
    def excess(self) -> float:
        """Above 1 it was stopped: the score in thresholds, or the product distance of an unknown product."""
        found = self.verdict
        if found.kind == "unknown" or found.threshold is None:
            return found.product_distance
        return found.score / found.threshold


@dataclass(frozen=True)
class Picture:
    """What the report shows of a case: input ``uint8 [H, W, 3]``, map ``float32 [H, W]``, mask ``bool [H, W]``.

    Where no mask is known it is empty.
    """

    case: Case
    image: NDArray[np.uint8]
    anomaly_map: NDArray[np.float32]
    mask: NDArray[np.bool_]


class Gallery:
    """Keeps up to ``shown`` pictures each: worst false stops, worst escapes, clearest detections."""

    def __init__(self, shown: int) -> None:
        self._shown = shown
        self._kinds: dict[Kind, list[Picture]] = {kind: [] for kind in KINDS}

    def offer(self, picture: Picture) -> None:
        """Keeps the picture if it is among the worst or clearest so far."""
        kind = picture.case.kind
        if kind is None:
            return
        kept = self._kinds[kind]
        # Slices of a batch would keep the whole batch alive.
        kept.append(Picture(picture.case, picture.image.copy(), picture.anomaly_map.copy(), picture.mask))
        kept.sort(key=lambda p: p.case.excess, reverse=kind in ("false stop", "detection"))
        del kept[self._shown :]

    def chosen(self) -> tuple[Picture, ...]:
        """What was kept, in the order of ``KINDS``."""
        return tuple(picture for kept in self._kinds.values() for picture in kept)
