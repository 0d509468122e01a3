"""False rejects and escapes of thresholds that rest on few images, from scores that :mod:`.draws` kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from snl_edge.benchmarks.results import Result
from snl_edge.benchmarks.tables import origin, table
from snl_edge.scoring.basis import RANGE
from snl_edge.scoring.scale import fit_score_scale
from snl_edge.scoring.threshold import operating_point
from snl_edge.training.config import TrainingConfig

from ..result_files import require_result
from ..tables import cell

KIND = "threshold_draws"
BUDGET = 0.01
OTHER_BUDGETS = (0.002, 0.05)
"""At which the rates of ``BUDGET`` are said to hold as odds (:func:`snl_edge.scoring.basis.expected_rates`)."""
WHOLE = 0
"""Images of a draw that takes them all."""
RESAMPLED = 100
"""Draws from the scores of the model that learned all images."""
LEAST_LEFT = 8
"""Scores that judge the threshold set from the others."""
HELD_OUT = TrainingConfig().holdout
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
    stood_out: Scores
    """Of parts left out because they stood out."""
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


def measure_rates(draws: Sequence[Draw], images: Sequence[int]) -> dict[str, Any]:
    """By number of images: thresholds of all products of a draw together, and of each as a line of its own.

    ``drawn``: a model was trained for each draw. ``resampled``: from the scores of the one that learned all images.
    """
    sizes: dict[str, Any] = {}
    (whole,) = (draw for draw in draws if draw.images == WHOLE)
    for number in sorted(images):
        ways = {
            "drawn": [draw for draw in draws if draw.images == number],
            "resampled": list(resample(whole, number)),
        }
        sizes[str(number)] = {name: _ways(own) if own else None for name, own in ways.items()}
    return {
        "budget": BUDGET,
        "resampled": RESAMPLED,
        "trained_at": sorted({draw.revision for draw in draws}),
        "sizes": sizes,
    }


def _ways(draws: Sequence[Draw]) -> dict[str, Any]:
    rates = {
        name: {
            **rates_of([kept for draw in draws for kept in judge(draw, BUDGET)]),
            "other_budgets": {
                str(budget): _mean(kept.false_reject_rate for draw in draws for kept in judge(draw, budget))
                for budget in OTHER_BUDGETS
            },
        }
        for name, judge in (("together", judge_together), ("alone", judge_alone))
    }
    return {"draws": len(draws), "products": sorted(draws[0].held_out), **rates}


def resample(whole: Draw, images: int) -> Iterator[Draw]:
    """``RESAMPLED`` draws of ``images`` of the left-out scores of each product that has ``LEAST_LEFT`` more."""
    rng = np.random.default_rng(images)
    pools = {product: own for product, own in whole.left_out.items() if len(own) >= images + LEAST_LEFT}
    held = max(1, round(HELD_OUT * images))
    for number in range(RESAMPLED if pools else 0):
        mixed = {product: rng.permutation(own).tolist() for product, own in pools.items()}
        yield whole.model_copy(
            update={
                "images": images,
                "number": number,
                "held_out": {product: own[:held] for product, own in mixed.items()},
                "left_out": {product: own[held:images] for product, own in mixed.items() if images - held > 1},
                "stood_out": {},  # of what judges the thresholds the top is cut, too
                "good": {product: own[images:] for product, own in mixed.items()},
            }
        )


def judge_together(draw: Draw, budget: float) -> Iterator[Kept]:
    """The thresholds that training would have set."""
    score_scale = fit_score_scale(draw.held_out, draw.left_out, budget, draw.stood_out)
    for product, value in score_scale.product_thresholds.items():
        basis = score_scale.product_bases[product]
        good, defective = draw.good[product], draw.defective.get(product, [])
        labels = [False] * len(good) + [True] * len(defective)
        scores = [*good, *defective]
        at = operating_point(scores, labels, value / score_scale.gain)
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
    """Two rows per number of images: thresholds of all products together, and of each alone.

    Raises:
        DataError: it has not been measured.
    """
    result = require_result(results, KIND, name)
    body = []
    for images, size in result.figures["sizes"].items():
        first = size["drawn"] or size["resampled"]
        if first is None:
            continue  # no product has so many
        for way in ("together", "alone"):
            drawn, again = ((size[name] or {}).get(way) for name in ("drawn", "resampled"))
            products = f"{len(first['products'])} products"
            body.append(
                [
                    f"{images}, {products if way == 'together' else 'each alone'}",
                    "–" if again is None else cell(again["false_reject_rate"]),
                    "–" if again is None else " to ".join(map(cell, again["range"])),
                    "–" if again is None else cell(again["escape_rate"]),
                    "–" if again is None else cell(again["ideal_escape_rate"]),
                    "–" if drawn is None else f"{cell(drawn['false_reject_rate'])} ± {cell(drawn['standard_error'])}",
                    "–" if drawn is None else cell(drawn["escape_rate"]),
                    "–" if drawn is None else cell(drawn["ideal_escape_rate"]),
                    cell(first[way]["certified"]),
                ]
            )
    training, model = result.settings["training"], result.settings["model"]
    escapes = ("escapes", "at exactly 1 %")
    headings = [
        *("good images of each product", "resampled: false rejects", "9 of 10", *escapes),
        *("trained: false rejects", *escapes, "certain (95 %)"),
    ]
    note = (
        f"<sub>{result.settings['preset']} preset, {model['width']}×{model['height']}, {training['steps']} steps of "
        f"{training['batch_size']}, {result.settings['draws']} training for each number of images, "
        f"{result.figures['resampled']} from the scores of one model of all images, "
        f"{result.machine['processor']}, {origin(result)}</sub>\n"
    )
    return table(headings, body) + "\n" + note


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return float(np.mean(found)) if found else None
