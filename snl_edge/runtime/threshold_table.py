"""The thresholds in force in a bundle, and what each of them can vouch for."""

from __future__ import annotations

import math

from snl_edge.calibration.basis import ThresholdBasis, percent
from snl_edge.calibration.score import DECISION

from .manifest import Manifest

HEADINGS = ("product", "threshold", "good images", "certain (95 %): at most", "expected", "range", "from")
COMMON = "(no threshold of its own)"


def threshold_table(manifest: Manifest) -> list[str]:
    """A line per product, and one for parts without a threshold of their own; shares are of good parts rejected.

    What was measured in training says nothing of a threshold that somebody set since.
    """
    calibration = manifest.calibration
    rows = [
        (
            product,
            manifest.threshold_for(product),
            calibration.product_thresholds.get(product, DECISION),
            calibration.product_bases.get(product),
        )
        for product in manifest.products
    ]
    rows.append((COMMON, manifest.threshold, DECISION, calibration.basis))
    cells = [HEADINGS] + [
        (name, f"{value:.3f}", *_vouched(value, trained, basis)) for name, value, trained, basis in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if index in (0, len(widths) - 1) else text.rjust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _vouched(value: float, trained: float, basis: ThresholdBasis | None) -> tuple[str, ...]:
    if not math.isclose(value, trained, rel_tol=1e-9):
        return *["–"] * 4, "set by hand"
    if basis is None:
        return *["–"] * 4, "not recorded: trained before it was"
    images = f"{basis.images:,}" + ("" if basis.groups == basis.images else f" ({basis.groups:,} different)")
    least, most = basis.expected_range
    return (
        images,
        percent(basis.certified),
        percent(basis.expected),
        f"{percent(least)} to {percent(most)}",
        basis.method,
    )
