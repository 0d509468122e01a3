"""The thresholds in force in a bundle, and what each of them can vouch for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from snl_edge.scoring.basis import percent
from snl_edge.scoring.scale import DECISION, ScoreScale

from .bundle import Bundle
from .thresholds import Thresholds

HEADINGS = ("product", "threshold", "good images", "certain (95 %): at most", "expected", "range", "from")


def threshold_table(bundle: Bundle) -> list[str]:
    """As `threshold_rows`, with the thresholds in force in the bundle, and who set them."""
    manifest = bundle.manifest
    last = {
        product: bundle.history.last(Thresholds(product_thresholds={product: None})) for product in manifest.products
    }
    setters = {product: change.author for product, change in last.items() if change is not None}
    in_force = {product: manifest.threshold_for(product) for product in manifest.products}
    return threshold_rows(manifest.products, manifest.score_scale, in_force, setters)


def threshold_rows(
    products: Sequence[str],
    score_scale: ScoreScale,
    in_force: Mapping[str, float] | None = None,
    setters: Mapping[str, str] | None = None,
) -> list[str]:
    """A line of headings and one per product; shares are of good parts rejected.

    What was found in training says nothing of a threshold ``in_force`` that one of the ``setters`` set since.
    """
    chosen = {product: score_scale.product_thresholds.get(product, DECISION) for product in products}
    cells = [
        HEADINGS,
        *(
            (p, *_vouched(score_scale, p, own, (in_force or chosen)[p], (setters or {}).get(p, "hand")))
            for p, own in chosen.items()
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if index in (0, len(widths) - 1) else text.rjust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _vouched(score_scale: ScoreScale, product: str, chosen: float, now: float, by: str) -> tuple[str, ...]:
    basis = score_scale.product_bases.get(product)
    if now != chosen:
        return f"{now:.3f}", *["–"] * 4, f"set by {by} (training chose {chosen:.3f})"
    if basis is None:
        return f"{now:.3f}", *["–"] * 4, "trained before this was recorded"
    least, most = map(percent, basis.expected_range)
    shares = percent(basis.certified), percent(basis.expected), f"{least} to {most}"
    images = f"{basis.images:,}{f' ({basis.cut} more left out)' if basis.cut else ''}"
    return f"{now:.3f}", images, *shares, basis.method
