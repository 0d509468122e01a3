"""Drift: do the parts still look as they did in training? Light ages, lenses get dirty, suppliers change."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np
from pydantic import Field

from ...runtime.manifest import Manifest
from ..control.interface import Check
from ..pipeline.parts import Part
from ..records.record import Record
from ..settings import Settings

_LEAST_SPREAD = 0.05
"""Of the mean: a reference of a few images that hardly spreads must not alarm at every breath."""
_ADVICE = {
    "score": "look at recent parts, or train again with some of them",
    "product_distance": "the parts look different: new material or tool?",
    "brightness": "check lamp and exposure",
    "focus": "check focus, and clean the lens",
}


class DriftSettings(Settings):
    """When parts count as having drifted from what the model was trained on."""

    window: int = Field(default=200, ge=20)
    """The last so many parts of a product are looked at."""
    limit: float = Field(default=2.0, gt=0)
    """Alarm when their median is so many standard deviations from the mean in training."""
    focus_every: int = Field(default=10, ge=1)
    """Measure the focus of each n-th part."""


class Drift:
    """Watches score, product distance, brightness and focus of each product. Any thread may call any method."""

    def __init__(self, settings: DriftSettings) -> None:
        self._settings = settings
        self._windows: dict[tuple[str, str], deque[float]] = {}
        self._lock = threading.Lock()

    def take(self, part: Part, record: Record) -> None:
        """Takes a judged part into account."""
        if record.product is None or record.score is None:
            return
        values = (
            ("score", record.score),
            ("product_distance", record.product_distance),
            ("brightness", part.brightness),
            ("focus", part.focus),
        )
        with self._lock:
            for feature, value in values:
                if value is not None:
                    key = record.product, feature
                    window = self._windows.get(key)
                    if window is None:
                        window = self._windows[key] = deque(maxlen=self._settings.window)
                    window.append(value)

    def reset(self) -> None:
        """Forgets everything: another recipe judges by another reference."""
        with self._lock:
            self._windows.clear()

    def checks(self, manifest: Manifest) -> list[Check]:
        """One line for each product seen lately."""
        with self._lock:
            medians = {
                key: float(np.median(window)) for key, window in self._windows.items() if self._is_full(key[1], window)
            }
            seen = sorted({product for product, _ in self._windows})
        if manifest.reference is None:
            text = "the bundle has no reference to compare with; train and build again to get one"
            return [Check("drift", "warning", text)] if seen else []
        return [self._check(product, medians, manifest) for product in seen]

    def _is_full(self, feature: str, window: deque[float]) -> bool:
        wanted = self._settings.window
        return len(window) >= (max(20, wanted // self._settings.focus_every) if feature == "focus" else wanted)

    def _check(self, product: str, medians: dict[tuple[str, str], float], manifest: Manifest) -> Check:
        reference = (manifest.reference or {}).get(product)
        if reference is None:
            return Check(f"drift {product}", "warning", "the bundle has no reference of this product")
        moved: list[str] = []
        compared = 0
        for feature, spread in reference.features.items():
            median = medians.get((product, feature))
            if median is None:
                continue
            compared += 1
            deviations = (median - spread.mean) / max(spread.std, _LEAST_SPREAD * abs(spread.mean), 1e-9)
            if abs(deviations) > self._settings.limit:
                moved.append(
                    f"{feature} is {median:.3g}, in training {spread.mean:.3g} ± {spread.std:.2g}: {_ADVICE[feature]}"
                )
        if moved:
            return Check(f"drift {product}", "warning", "; ".join(moved))
        if not compared:
            return Check(f"drift {product}", "ok", f"waiting for {self._settings.window} parts")
        return Check(f"drift {product}", "ok", f"the last {self._settings.window} parts look as in training")
