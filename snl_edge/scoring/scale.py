"""The scale on which 0.5 decides: score = 0.5 · raw / raw threshold.

One gain for map and score keeps their order and their zero (a perfect student scores 0), so a pixel above
0.5 on the map is a pixel that by itself would reject the part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from .basis import ThresholdBasis, basis_of
from .threshold import choose_product_thresholds, choose_threshold, pool_scores

PositiveNumber = Annotated[float, Field(gt=0, allow_inf_nan=False)]
DECISION = 0.5
"""The default threshold on the score scale."""


class ScoreScale(BaseModel):
    """How a raw score becomes one on this scale, and what the thresholds rest on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    raw_threshold: PositiveNumber
    """For a part of unknown product: 0.5 on the score scale."""
    product_thresholds: dict[str, PositiveNumber] = {}
    """For a part of known product, on the score scale."""
    false_reject_budget: float = Field(ge=0, le=1)
    good_images: int = Field(ge=0)
    """Held-out images and left-out training images together."""
    method: str
    basis: ThresholdBasis | None = None
    """Of the threshold for a part of unknown product; None in files from before it was recorded."""
    product_bases: dict[str, ThresholdBasis] = {}

    @property
    def gain(self) -> float:
        """Factor from the raw to the score scale."""
        return DECISION / self.raw_threshold


def fit_score_scale(
    held_out: Mapping[str, Sequence[float]],
    left_out: Mapping[str, Sequence[float]],
    false_reject_budget: float,
    stood_out: Mapping[str, Sequence[float]] | None = None,
) -> ScoreScale:
    """The scale from raw scores, by product, of good images; one score for each part, however many show it.

    Args:
        held_out: scores of images that nothing was fitted to.
        left_out: of training images, judged by a memory without their own patches; products may be missing.
        false_reject_budget: share of good parts that may be rejected.
        stood_out: of parts that are in neither because they stood out.

    Raises:
        DataError, ConfigError: as :func:`snl_edge.scoring.threshold.choose_product_thresholds`.
    """
    good = pool_scores(held_out, left_out)
    common = choose_threshold([score for scores in good.scores.values() for score in scores], false_reject_budget)
    products = choose_product_thresholds(good.scores, false_reject_budget, good.level_variance, stood_out)
    return ScoreScale(
        raw_threshold=common.value,
        product_thresholds={name: DECISION * own.value / common.value for name, own in products.items()},
        false_reject_budget=false_reject_budget,
        good_images=common.good_images,
        method=common.method,
        basis=basis_of(common, false_reject_budget),
        product_bases={name: basis_of(own, false_reject_budget) for name, own in products.items()},
    )
