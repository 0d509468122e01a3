"""The threshold keeps its false-reject promise, and says when it can promise nothing."""

from __future__ import annotations

import numpy as np
import pytest

from snl_edge.errors import ConfigError, DataError
from snl_edge.evaluation.threshold import choose_product_thresholds, choose_threshold, operating_point, pool_scores


def test_order_statistic_where_the_images_suffice():
    threshold = choose_threshold(np.arange(1, 100), 0.01)
    assert (threshold.method, threshold.value, threshold.good_images) == ("order statistic", 99, 99)
    assert choose_threshold(np.arange(1, 1000), 0.01).value == 990
    assert choose_threshold(np.arange(1, 99), 0.01).method == "log-normal tail"


def test_new_good_parts_stay_within_the_budget():
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(400):
        threshold = choose_threshold(rng.gamma(2.0, size=150), 0.02)
        rates.append(float((rng.gamma(2.0, size=2000) > threshold.value).mean()))
    assert np.mean(rates) <= 0.02
    assert np.mean(rates) > 0.005  # not bought with an absurdly high threshold


def test_few_images_extrapolate_and_admit_it():
    scores = np.exp(np.random.default_rng(0).normal(-1, 0.2, 20))
    threshold = choose_threshold(scores, 0.01)
    assert threshold.method == "log-normal tail"
    assert scores.max() <= threshold.value < 2 * scores.max()
    assert threshold.false_reject_bound == pytest.approx(1 - 0.05 ** (1 / 20), abs=1e-6)


def test_bound_is_clopper_pearson():
    # 4 of 500 scores lie above it; the one-sided 95 % upper limit of 4 in 500 is 1.82 %.
    threshold = choose_threshold(np.arange(1, 501), 0.01)
    assert threshold.value == 496
    assert threshold.false_reject_bound == pytest.approx(0.01821, abs=2e-4)


def test_a_single_image_is_its_own_threshold():
    assert choose_threshold([0.3]).value == pytest.approx(0.3)


def test_products_get_thresholds_of_their_own_level_and_spread():
    """On average over many lines each product keeps about the budget, with its own order statistic or four images."""
    rng = np.random.default_rng(1)
    # Level, spread, images.
    products = {"easy": (0.1, 0.04, 30), "hard": (0.4, 0.08, 30), "rare": (0.2, 0.06, 4), "many": (0.3, 0.05, 200)}

    def draw(name: str, count: int) -> np.ndarray:
        level, spread, _ = products[name]
        return level * np.exp(rng.normal(0, spread, count))

    rates: dict[str, list[float]] = {name: [] for name in products}
    for _ in range(100):
        held_out = {name: draw(name, count) for name, (_, _, count) in products.items()}
        thresholds = choose_product_thresholds(held_out, 0.01)
        for name in products:
            rates[name].append(float((draw(name, 2000) > thresholds[name]).mean()))
    for name in products:
        assert 0.003 < np.mean(rates[name]) < 0.025, (name, np.mean(rates[name]))


def test_a_product_with_enough_images_answers_for_itself():
    """Its tail may be longer than that of all the others together."""
    rng = np.random.default_rng(2)
    wide = np.exp(rng.standard_t(2, 150) / 10)
    thresholds = choose_product_thresholds({"wide": wide, "narrow": np.exp(rng.normal(0, 0.02, 50))}, 0.01)
    assert thresholds["wide"] == choose_threshold(wide, 0.01).value


def test_left_out_images_tell_the_spread_and_held_out_ones_the_level():
    rng = np.random.default_rng(3)
    levels = {"easy": 0.1, "hard": 0.4, "rare": 0.2}
    left_out = {name: 0.9 * level * np.exp(rng.normal(0, 0.05, 200)) for name, level in levels.items()}
    del left_out["rare"]
    held_out = {name: level * np.exp(rng.normal(0, 0.05, 20)) for name, level in levels.items()}
    pooled = pool_scores(held_out, left_out)
    for name, own in left_out.items():
        assert np.allclose(pooled[name][:20], held_out[name])
        assert np.median(pooled[name]) == pytest.approx(levels[name], rel=0.03)  # not the student's 0.9 of it
        assert np.std(np.log(pooled[name][20:])) == pytest.approx(np.std(np.log(own)))
    assert np.allclose(pooled["rare"], held_out["rare"])


def test_without_left_out_images_held_out_ones_stand_alone():
    assert pool_scores({"gear": [0.2, 0.3]}, {})["gear"] == pytest.approx([0.2, 0.3])


def test_one_image_of_each_product_leaves_room_above_it():
    thresholds = choose_product_thresholds({"gear": [0.2], "nut": [0.4]}, 0.01)
    assert 0.21 < thresholds["gear"] < 0.25
    assert thresholds["nut"] == pytest.approx(2 * thresholds["gear"])


def test_a_product_without_positive_scores_is_refused():
    with pytest.raises(DataError, match="above 0"):
        choose_product_thresholds({"dead": [0.0, 0.0]})


def test_operating_point_counts():
    point = operating_point([0.1, 0.6, 0.5, 0.9], [False, False, True, True], 0.5)
    assert (point.false_rejects, point.escapes, point.good, point.defective) == (1, 1, 2, 2)
    assert (point.false_reject_rate, point.escape_rate) == (0.5, 0.5)
    assert np.isnan(operating_point([0.1], [False], 0.5).escape_rate)


@pytest.mark.parametrize("scores", [[], [0.1, np.nan], [np.inf]])
def test_scores_that_say_nothing_are_refused(scores):
    with pytest.raises(DataError):
        choose_threshold(scores)


@pytest.mark.parametrize("budget", [0, 1, -0.1, 2])
def test_impossible_budgets_are_refused(budget):
    with pytest.raises(ConfigError, match="impossible"):
        choose_threshold([0.1, 0.2], budget)
