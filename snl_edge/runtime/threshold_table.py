"""The thresholds in force in a bundle, and what each of them can vouch for."""

from __future__ import annotations

from snl_edge.calibration.basis import percent

from .manifest import Manifest
from .tuning import calibrated_threshold

HEADINGS = ("product", "threshold", "good images", "certain (95 %): at most", "expected", "range", "from")


def threshold_table(manifest: Manifest) -> list[str]:
    """A line of headings and one per product; shares are of good parts rejected.

    What was found in training says nothing of a threshold that somebody set since.
    """
    cells = [HEADINGS, *((product, *_vouched(manifest, product)) for product in manifest.products)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if index in (0, len(widths) - 1) else text.rjust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _vouched(manifest: Manifest, product: str) -> tuple[str, ...]:
    chosen, now = calibrated_threshold(manifest, product), manifest.threshold_for(product)
    basis = manifest.calibration.product_bases.get(product)
    if now != chosen:
        return f"{now:.3f}", *["–"] * 4, f"set by hand (training chose {chosen:.3f})"
    if basis is None:
        return f"{now:.3f}", *["–"] * 4, "trained before this was recorded"
    least, most = map(percent, basis.expected_range)
    shares = percent(basis.certified), percent(basis.expected), f"{least} to {most}"
    return f"{now:.3f}", f"{basis.images:,}", *shares, basis.method
