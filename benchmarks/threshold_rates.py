"""False rejects and escapes of thresholds that rest on few images, from scores that :mod:`.threshold_draws` kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from snl_edge.calibration.basis import RANGE
from snl_edge.calibration.score import calibrate_scores
from snl_edge.evaluation.threshold import operating_point

from .results import Result, require_result
from .tables import cell, table

KIND = "threshold_draws"
BUDGET = 0.01
OTHER_BUDGETS = (0.002, 0.05)
"""At which the rates of ``BUDGET`` are said to hold as odds (:func:`snl_edge.calibration.basis.expected_rates`)."""
Scores = dict[str, list[float]]
"""Raw scores by product."""


class Draw(BaseModel):
    """What one draw of ``images`` good images of each product gave."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int
    number: int
    """Of the draw, and the seed of its training."""
    settings: dict[str, object]
    """A draw of other settings is not used."""
    revision: str
    """Of the code that trained it."""
    held_out: Scores
    left_out: Scores
    good: Scores
    """Of good images that were not drawn."""
    defective: Scores


@dataclass(frozen=True)
class Kept:
    """What one threshold kept of its promise."""

    product: str
    method: str
    good: int
    false_rejects: int
    defective: int
    escapes: int
    ideal_escapes: int
    """Of the threshold that stops just the budget of these same good images."""
    certified: float

    @property
    def false_reject_rate(self) -> float:
        """As a fraction."""
        return self.false_rejects / self.good


def measure_rates(draws: Sequence[Draw]) -> dict[str, Any]:
    """By number of images: thresholds of all products of a draw together, and of each as a line of its own."""
    sizes: dict[str, Any] = {}
    for images in sorted({draw.images for draw in draws}):
        own = [draw for draw in draws if draw.images == images]
        ways = {"together": [kept for draw in own for kept in judge_together(draw, BUDGET)]}
        ways["alone"] = [kept for draw in own for kept in judge_alone(draw, BUDGET)]
        sizes[str(images)] = {
            "draws": len(own),
            "products": sorted({kept.product for kept in ways["together"]}),
            **{way: rates_of(kept) for way, kept in ways.items()},
            "other_budgets": {
                str(budget): {
                    "together": _mean(k.false_reject_rate for draw in own for k in judge_together(draw, budget)),
                    "alone": _mean(k.false_reject_rate for draw in own for k in judge_alone(draw, budget)),
                }
                for budget in OTHER_BUDGETS
            },
        }
    return {"budget": BUDGET, "sizes": sizes}


def judge_together(draw: Draw, budget: float) -> Iterator[Kept]:
    """The thresholds that training would have set."""
    calibration = calibrate_scores(draw.held_out, draw.left_out, budget)
    for product, value in calibration.product_thresholds.items():
        basis = calibration.product_bases[product]
        good, defective = draw.good[product], draw.defective.get(product, [])
        labels = [False] * len(good) + [True] * len(defective)
        scores = [*good, *defective]
        at = operating_point(scores, labels, value / calibration.gain)
        ideal = operating_point(scores, labels, float(np.quantile(good, 1 - budget)))
        yield Kept(
            product, basis.method, at.good, at.false_rejects, at.defective, at.escapes, ideal.escapes, basis.certified
        )


def judge_alone(draw: Draw, budget: float) -> Iterator[Kept]:
    """The thresholds of each product as if the line had no other; the model is that of all."""
    for product in draw.held_out:
        sets = {"held_out": draw.held_out, "left_out": draw.left_out}
        only = {name: {product: own[product]} if product in own else {} for name, own in sets.items()}
        yield from judge_together(draw.model_copy(update=only), budget)


def rates_of(kept: Sequence[Kept]) -> dict[str, Any]:
    """Means over thresholds, each counted alike, with the standard error of that of false rejects."""
    rates = np.array([one.false_reject_rate for one in kept])
    low, high = np.quantile(rates, [(1 - RANGE) / 2, (1 + RANGE) / 2])
    return {
        "thresholds": len(kept),
        "methods": {method: sum(one.method == method for one in kept) for method in sorted({k.method for k in kept})},
        "false_reject_rate": float(rates.mean()),
        "standard_error": float(rates.std(ddof=1) / math.sqrt(len(rates))) if len(rates) > 1 else None,
        "range": [float(low), float(high)],
        "worst": float(rates.max()),
        "false_rejects": sum(one.false_rejects for one in kept),
        "good": sum(one.good for one in kept),
        "escape_rate": _mean(one.escapes / one.defective for one in kept if one.defective),
        "ideal_escape_rate": _mean(one.ideal_escapes / one.defective for one in kept if one.defective),
        "certified": float(np.median([one.certified for one in kept])),
        "above_certified": sum(one.false_reject_rate > one.certified for one in kept),
    }


def thresholds_table(results: Mapping[str, Result], name: str) -> str:
    """One row per number of images.

    Raises:
        DataError: it has not been measured.
    """
    result = require_result(results, KIND, name)
    body = []
    for images, size in result.figures["sizes"].items():
        row = [images, str(len(size["products"]))]
        for way in ("together", "alone"):
            own = size[way]
            error = own["standard_error"]
            least, most = own["range"]
            row += [
                cell(own["false_reject_rate"]) + ("" if error is None else f" ± {cell(error)}"),
                f"{cell(least)} to {cell(most)}",
                cell(own["escape_rate"]),
            ]
        body.append([*row, cell(size["together"]["ideal_escape_rate"]), cell(size["together"]["certified"])])
    headings = [
        *("good images of each product", "products", "false rejects", "9 of 10 products", "escapes"),
        *("alone: false rejects", "9 of 10 products", "escapes", "escapes at exactly 1 %", "certain: at most"),
    ]
    training = result.settings["training"]
    size = "×".join(str(result.settings["model"][side]) for side in ("height", "width"))
    note = (
        f"<sub>{result.settings['preset']} preset, {size}, {training['steps']} steps of {training['batch_size']}, "
        f"{result.settings['draws']} draws of each number, {result.machine['processor']}, {result.created[:10]}, "
        f"revision {result.revision}; `{result.command}`</sub>\n"
    )
    return table(headings, body) + "\n" + note


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return float(np.mean(found)) if found else None
