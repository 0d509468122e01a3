"""What thresholds can vouch for, in words: a few lines after training, and doubts where images are too few."""

from __future__ import annotations

from snl_edge.counted import counted
from snl_edge.data.findings import Finding
from snl_edge.scoring.basis import ThresholdBasis, percent
from snl_edge.scoring.scale import ScoreScale

ENOUGH = 20
"""Good images of a product from which on its threshold keeps the budget on average, within the error of the measurement
(docs/thresholds.md)."""
NAMED = 3
"""Products that are named; the others are counted."""
KIND = "thresholds"


def threshold_findings(score_scale: ScoreScale) -> list[Finding]:
    """A finding for each product whose threshold rests on fewer than ``ENOUGH`` good images, the fewest first."""
    budget = percent(score_scale.false_reject_budget)
    return [
        Finding(
            KIND,
            f"product {product}: its threshold rests on only {counted(basis.images, 'good image')}: expect "
            f"{percent(basis.expected_range[0])} to {percent(basis.expected_range[1])} of good parts to be stopped "
            f"at a budget of {budget}, and more defects to escape than with more images; give at least {ENOUGH}",
        )
        for product, basis in _least_sure(score_scale)
        if basis.images < ENOUGH
    ]


def threshold_lines(score_scale: ScoreScale) -> list[str]:
    """What the thresholds rest on, those of the fewest images by name."""
    bases = _least_sure(score_scale)
    if not bases:
        return [f"thresholds from {counted(score_scale.good_images, 'good image')} ({score_scale.method})"]
    products = f"{len(bases)} products" if len(bases) > 1 else "one product"
    lines = [
        f"thresholds for a budget of {percent(score_scale.false_reject_budget)} false rejects, from "
        f"{counted(score_scale.good_images, 'good image')} of {products}:"
    ]
    lines += [f"  {product}: {score_scale.product_thresholds[product]:.3f} {basis}" for product, basis in bases[:NAMED]]
    if rest := bases[NAMED:]:
        fewest = min(basis.images for _, basis in rest)
        lines.append(f"  {len(rest)} more from {fewest} good images or more each; snl-edge threshold BUNDLE names all")
    return lines


def _least_sure(score_scale: ScoreScale) -> list[tuple[str, ThresholdBasis]]:
    return sorted(score_scale.product_bases.items(), key=lambda item: (item[1].images, -item[1].certified, item[0]))
