"""What a threshold rests on, and how many good parts it may stop: what is certain, and what is to be expected."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from snl_edge.counted import counted

from .expected_rates import expected_rates
from .intervals import upper_bound
from .threshold import Method, Threshold

CONFIDENCE = 0.95
"""Of what is called certain."""
RANGE = 0.9
"""Share of thresholds whose false rejects keep within the range that is expected."""
Rate = Annotated[float, Field(ge=0, le=1)]


class ThresholdBasis(BaseModel):
    """What one threshold rests on, and the shares of good parts that lie above it: false rejects."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method
    images: int = Field(gt=0)
    """Good images of the product, each judged as a new one; several that show one part count once."""
    cut: int = Field(default=0, ge=0)
    """Parts beside these that were left out because they stood out, and may be good."""
    certified: Rate
    """With a confidence of 95 % no more good parts than these lie above the threshold, whatever their distribution;
    what was left out counts as good parts above it."""
    expected: Rate
    expected_range: tuple[Rate, Rate]
    """9 of 10 thresholds that rest on so many images keep within it."""

    @property
    def measured(self) -> bool:
        """Whether ``expected`` was measured on other products, not derived from these images."""
        return self.method != "order statistic" or self.cut > 0

    def __str__(self) -> str:
        certain, about, least, most = map(percent, (self.certified, self.expected, *self.expected_range))
        left_out = f", {self.cut} more left out" if self.cut else ""
        return (
            f"from {counted(self.images, 'good image')}{left_out}; at most {certain} false rejects are certain (95 %), "
            f"about {about} expected ({least} to {most}, {self.method})"
        )


def basis_of(threshold: Threshold, budget: float) -> ThresholdBasis:
    """What ``threshold``, set for this budget, rests on."""
    exceeding, images, cut = threshold.exceeding, threshold.good_images, threshold.cut
    expected, likely = (
        order_statistic_rates(exceeding, images)
        if threshold.method == "order statistic" and not cut
        else expected_rates(images, budget)
    )
    return ThresholdBasis(
        method=threshold.method,
        images=images,
        cut=cut,
        certified=certified_bound(exceeding + cut, images + cut),
        expected=expected,
        expected_range=likely,
    )


def certified_bound(exceeding: int, images: int) -> float:
    """Clopper-Pearson: the share of new parts above a threshold that ``exceeding`` of ``images`` good ones exceed.

    One-sided, with 95 % confidence; exact for an order statistic whatever the distribution of scores is (its share
    follows a beta distribution), at any number of images.
    """
    return upper_bound(exceeding, images, 1 - CONFIDENCE) if exceeding < images else 1.0


def order_statistic_rates(exceeding: int, images: int) -> tuple[float, tuple[float, float]]:
    """Mean and range of the share of new parts above an order statistic that ``exceeding`` of ``images`` exceed."""
    low, high = (upper_bound(exceeding, images, 1 - share) for share in ((1 - RANGE) / 2, (1 + RANGE) / 2))
    return (exceeding + 1) / (images + 1), (low, high)


def percent(share: float) -> str:
    """A share in percent, with as many digits as it deserves."""
    value = 100 * share
    return f"{value:.0f} %" if value >= 10 else f"{value:.1f} %" if value >= 0.095 else f"{value:.2g} %"
