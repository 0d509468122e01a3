"""The scale on which 0.5 decides: calibrated = 0.5 · raw / raw threshold.

One gain for map and score keeps their order and their zero (a perfect student scores 0), so a pixel above
0.5 on the map is a pixel that by itself would reject the part.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from snl_edge.errors import ConfigError
from snl_edge.evaluation.threshold import Threshold

DECISION = 0.5
"""The default threshold on the calibrated scale."""


class ScoreCalibration(BaseModel):
    """How the raw score became the calibrated one, and what the threshold rests on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    raw_threshold: float
    false_reject_budget: float
    good_images: int
    method: str

    @property
    def gain(self) -> float:
        """Factor from the raw to the calibrated scale."""
        return DECISION / self.raw_threshold


def calibrate_scores(threshold: Threshold) -> ScoreCalibration:
    """The calibration that puts ``threshold`` (on raw scores) at 0.5.

    Raises:
        ConfigError: the threshold is not positive, so the model tells nothing apart.
    """
    if not threshold.value > 0:
        raise ConfigError(
            f"the raw threshold is {threshold.value}",
            "a trained student never matches perfectly",
            "train for more steps",
        )
    return ScoreCalibration(
        raw_threshold=threshold.value,
        false_reject_budget=threshold.budget,
        good_images=threshold.good_images,
        method=threshold.method,
    )
