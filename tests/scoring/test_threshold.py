"""The threshold keeps its false-reject promise, and says when it can promise nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from snl_edge.errors import ConfigError, DataError
from snl_edge.evaluation.other_thresholds import other_thresholds
from snl_edge.scoring.basis import basis_of
from snl_edge.scoring.prediction_limit import WIDER
from snl_edge.scoring.scale import ScoreScale, fit_score_scale
from snl_edge.scoring.threshold import choose_product_thresholds, choose_threshold, operating_point, pool_scores
from snl_edge.training.threshold_findings import ENOUGH, threshold_findings, threshold_lines


def test_order_statistic_where_the_images_suffice():
    threshold = choose_threshold(np.arange(1, 100), 0.01)
    assert (threshold.method, threshold.value, threshold.good_images) == ("order statistic", 99, 99)
    assert choose_threshold(np.arange(1, 1000), 0.01).value == 990
    assert choose_threshold(np.arange(1, 99), 0.01).method == "extrapolated"


@pytest.mark.parametrize(("count", "budget"), [(13_000, 0.01), (4_000, 0.05), (1_000_000, 0.01)])
def test_any_number_of_images_serves(count, budget):
    """The bound overflowed from 12,891 images on at 1 %, from 3,619 on at 5 %: after all the training."""
    score_scale = fit_score_scale({"gear": np.linspace(1, 2, count).tolist()}, {}, budget)
    basis = score_scale.product_bases["gear"]
    assert (basis.images, basis.method) == (count, "order statistic")
    # Normal approximation of the binomial distribution: within a percent of itself at these numbers.
    assert basis.certified == pytest.approx(budget + 1.645 * (budget * (1 - budget) / count) ** 0.5, rel=0.01)
    assert basis.expected_range[0] < basis.expected <= budget * (1 + 1e-9) < basis.expected_range[1] <= basis.certified


def test_other_thresholds_stop_what_they_say():
    good, bad = np.linspace(0.1, 0.2, 40), np.array([0.15123, 0.1987, 0.3, 0.9])
    scores, defective = np.concatenate([good, bad]), np.arange(44) >= 40
    found = other_thresholds(scores, defective, 0.5, 0.01)
    assert [(other.rule, other.point.false_rejects, other.point.escapes) for other in found] == [
        ("in force", 0, 3),
        ("stops at most 1 % of good parts", 0, 2),
        ("stops at most 5 % of good parts", 2, 1),
        ("highest at which no defect escapes", 20, 0),
    ]
    assert [other.threshold for other in found] == [0.5, 0.2, 0.195, 0.151]
    for other in found:  # as it is told, not as it was found
        assert other.point == operating_point(scores, defective, other.threshold)
    # What runs scores twice as high as the graph for which thresholds are set.
    assert other_thresholds(2 * scores, defective, 1.0, 0.01, shift=2.0) == found
    assert [other.rule for other in other_thresholds(good, good < 0, 0.21, 0.01)] == [
        "in force",
        "stops at most 5 % of good parts",
    ]
    (alone,) = other_thresholds(bad, bad > 0, 0.1, 0.01)
    assert (alone.rule, alone.point.good) == ("in force", 0)


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
    assert threshold.method == "extrapolated"
    assert scores.max() <= threshold.value < 2 * scores.max()
    assert basis_of(threshold, 0.01).certified == pytest.approx(1 - 0.05 ** (1 / 20), abs=1e-9)


def test_bound_is_clopper_pearson():
    # 4 of 500 scores lie above it; the one-sided 95 % upper limit of 4 in 500 is 1.82 %.
    threshold = choose_threshold(np.arange(1, 501), 0.01)
    assert (threshold.value, threshold.exceeding) == (496, 4)
    assert basis_of(threshold, 0.01).certified == pytest.approx(0.01821, abs=2e-5)


def test_a_single_image_is_its_own_threshold():
    assert choose_threshold([0.3]).value == pytest.approx(0.3)


def test_products_get_thresholds_of_their_own_level_and_spread():
    """On average over many lines each product keeps about the budget, with its own order statistic or four images.

    New parts spread wider than the learned ones where a prediction limit takes them to do so.
    """
    rng = np.random.default_rng(1)
    # Level, spread, images.
    products = {"easy": (0.1, 0.04, 30), "hard": (0.4, 0.08, 30), "rare": (0.2, 0.06, 4), "many": (0.3, 0.05, 200)}

    def draw(name: str, count: int, wider: float = 1.0) -> np.ndarray:
        level, spread, _ = products[name]
        return level * np.exp(rng.normal(0, wider * spread, count))

    rates: dict[str, list[float]] = {name: [] for name in products}
    for _ in range(100):
        held_out = {name: draw(name, count) for name, (_, _, count) in products.items()}
        thresholds = choose_product_thresholds(held_out, 0.01)
        for name in products:
            new = draw(name, 2000, 1.0 if name == "many" else WIDER)
            rates[name].append(float((new > thresholds[name].value).mean()))
    for name in products:
        assert 0.001 < np.mean(rates[name]) < 0.02, (name, np.mean(rates[name]))


def test_a_product_with_enough_images_answers_for_itself():
    """Its tail may be longer than that of all the others together."""
    rng = np.random.default_rng(2)
    wide = np.exp(rng.standard_t(2, 150) / 10)
    thresholds = choose_product_thresholds({"wide": wide, "narrow": np.exp(rng.normal(0, 0.02, 50))}, 0.01)
    assert thresholds["wide"] == choose_threshold(wide, 0.01)


def test_left_out_images_tell_the_spread_and_held_out_ones_the_level():
    rng = np.random.default_rng(3)
    levels = {"easy": 0.1, "hard": 0.4, "rare": 0.2}
    left_out = {name: 0.9 * level * np.exp(rng.normal(0, 0.05, 200)) for name, level in levels.items()}
    del left_out["rare"]
    held_out = {name: level * np.exp(rng.normal(0, 0.05, 20)) for name, level in levels.items()}
    pooled = pool_scores(held_out, left_out).scores
    for name, own in left_out.items():
        assert np.allclose(pooled[name][:20], held_out[name])
        assert np.median(pooled[name]) == pytest.approx(levels[name], rel=0.03)  # not the student's 0.9 of it
        assert np.std(np.log(pooled[name][20:])) == pytest.approx(np.std(np.log(own)))
    assert np.allclose(pooled["rare"], held_out["rare"])


def test_without_left_out_images_held_out_ones_stand_alone():
    pool = pool_scores({"gear": [0.2, 0.3]}, {})
    assert pool.scores["gear"] == pytest.approx([0.2, 0.3])
    assert pool.level_variance == 0


def test_two_low_held_out_images_do_not_pull_all_others_down():
    """A paper's few images that look cleaner than the rest made the threshold stop 7 % of good ones."""
    rng = np.random.default_rng(4)
    left_out = np.exp(rng.normal(0, 0.08, 18))
    pool = pool_scores({"paper": [0.6, 0.65]}, {"paper": left_out})
    assert 0.8 < np.median(pool.scores["paper"][2:] / left_out) < 1
    assert pool.level_variance > 0.001


@pytest.mark.parametrize("count", [3, 5, 20, 50])
@pytest.mark.parametrize("others", [0, 9])
def test_few_images_keep_the_budget_on_average(count, others):
    """A product alone, or among nine whose spreads differ threefold."""
    rng = np.random.default_rng(count)
    rates = []
    for _ in range(240 // (1 + others)):
        spreads = dict(zip("abcdefghij"[: 1 + others], 0.12 * 3 ** rng.uniform(-0.5, 0.5, 1 + others), strict=True))
        held_out = {p: np.exp(s * rng.normal(size=max(1, count // 10))) for p, s in spreads.items()}
        left_out = {p: np.exp(s * rng.normal(size=count - len(held_out[p])) - 0.05) for p, s in spreads.items()}
        pool = pool_scores(held_out, left_out)
        thresholds = choose_product_thresholds(pool.scores, 0.01, pool.level_variance)
        rates += [float((np.exp(s * rng.normal(size=1000)) > thresholds[p].value).mean()) for p, s in spreads.items()]
    assert np.mean(rates) < (0.02 if count >= ENOUGH else 0.05)
    assert np.mean(rates) > 0.002


def test_images_left_out_because_they_stood_out_count_by_their_own_scores():
    """Of 200 good images six that stood out are left out: the 1 % of the others is 4 % of what comes. They once counted
    as if they lay beyond all others, which let defects escape where they scored no more than these."""
    rng = np.random.default_rng(3)
    rates, blind = [], []
    for _ in range(20):
        scores = {name: np.sort(np.exp(rng.normal(0, 0.1, 200))) for name in "abcd"}
        kept = {name: own[:-6] for name, own in scores.items()}
        stood_out = {name: own[-6:] for name, own in scores.items()}
        thresholds = choose_product_thresholds(kept, 0.01, stood_out=stood_out)
        assert all(threshold.cut == 6 for threshold in thresholds.values())
        rates += [float(np.mean(np.exp(rng.normal(0, 0.1, 1000)) > own.value)) for own in thresholds.values()]
        blind += [
            float(np.mean(np.exp(rng.normal(0, 0.1, 1000)) > own.value))
            for own in choose_product_thresholds(kept, 0.01).values()
        ]
    assert np.mean(blind) > 0.03
    assert np.mean(rates) < 0.015  # the bound on those left out costs a little
    basis = basis_of(thresholds["a"], 0.01)
    assert basis.certified > 0.04  # the six may all be good
    assert "6 more left out" in str(basis)
    # By their own scores: as if nothing had been left out. Where they score like the others they change nothing.
    assert thresholds["a"].value == pytest.approx(choose_threshold(scores["a"], 0.01).value, rel=0.03)
    like = {name: np.median(own) * np.ones(6) for name, own in kept.items()}
    assert choose_product_thresholds(kept, 0.01, stood_out=like)["a"].value == kept["a"].max()
    # What lies far out raises no threshold: only the limit that the others give is reached.
    defective = choose_product_thresholds(kept, 0.01, stood_out={name: 9 * np.ones(6) for name in kept})
    assert kept["a"].max() <= defective["a"].value < 1.1 * math.exp(0.1 * 2.33)


@pytest.mark.parametrize(("good", "left_out"), [(5, 2), (20, 3), (95, 5), (120, 6)])
def test_images_that_stood_out_never_lower_a_threshold(good, left_out):
    """Counted as further good images they made the limits of few images tighter, by up to a tenth."""
    rng = np.random.default_rng(1)
    for _ in range(40):
        scores = {name: np.exp(rng.normal(0, 0.1, good)) for name in "ab"}
        stood_out = {"a": 1.5 * scores["a"].max() * np.ones(left_out)}
        alone, together = (choose_product_thresholds(scores, 0.01, stood_out=own) for own in (None, stood_out))
        assert together["a"].value >= alone["a"].value
        assert (together["a"].cut, together["a"].good_images) == (left_out, good)
        assert together["b"] == alone["b"]


def test_a_left_out_image_without_a_score_is_named():
    good = {"gear": np.linspace(1, 2, 30)}
    with pytest.raises(DataError, match="product gear has no score above 0"):
        choose_product_thresholds(good, stood_out={"gear": [0.0]})
    with pytest.raises(DataError, match="no finite number|no score above 0"):
        choose_product_thresholds(good, stood_out={"gear": [math.nan]})


def test_one_bad_image_does_not_widen_the_limit():
    """A defect among 30 good images is far out: its product's threshold stays where the others put it."""
    rng = np.random.default_rng(7)
    good = {name: np.exp(rng.normal(0, 0.1, 30)) for name in "abcde"}
    clean = choose_product_thresholds(good)["a"].value
    spoiled = choose_product_thresholds({**good, "a": np.append(good["a"], 5.0)})["a"]
    assert clean <= spoiled.value < 1.25 * clean
    assert spoiled.exceeding >= 1


def test_one_image_of_each_product_leaves_room_above_it():
    thresholds = choose_product_thresholds({"gear": [0.2], "nut": [0.4]}, 0.01)
    assert 0.25 < thresholds["gear"].value < 0.6
    assert thresholds["nut"].value == pytest.approx(2 * thresholds["gear"].value)


def scale_of(**images: int) -> ScoreScale:
    rng = np.random.default_rng(11)
    return fit_score_scale({name: np.exp(rng.normal(-1, 0.1, own)).tolist() for name, own in images.items()}, {}, 0.01)


def test_products_with_few_images_are_doubted_by_name():
    score_scale = scale_of(gear=5, nut=19, bolt=20, washer=150)
    first, second = threshold_findings(score_scale)
    assert "product gear: its threshold rests on only 5 good images: expect " in first.text
    assert "of good parts to be stopped at a budget of 1.0 %, and" in first.text
    assert first.text.endswith("give at least 20")
    assert "product nut" in second.text
    assert first.kind == second.kind
    assert threshold_findings(scale_of(bolt=20)) == []


def test_what_thresholds_rest_on_is_said_in_a_few_lines():
    score_scale = scale_of(gear=37, **{f"part{n}": 150 for n in range(100)})
    basis = score_scale.product_bases["gear"]
    assert (basis.method, basis.images) == ("common tail", 37)
    assert basis.certified == pytest.approx(0.078, abs=0.0005)
    lines = threshold_lines(score_scale)
    assert len(lines) <= 5
    assert lines[1].startswith(
        f"  gear: {score_scale.product_thresholds['gear']:.3f} from 37 good images; at most 7.8 %"
    )
    assert "98 more from 150 good images" in lines[-1]


def test_what_a_threshold_rests_on_travels_and_older_files_open():
    score_scale = scale_of(gear=5, nut=150)
    assert ScoreScale.model_validate_json(score_scale.model_dump_json()) == score_scale
    older = score_scale.model_dump(exclude={"basis", "product_bases"})
    assert ScoreScale.model_validate(older).product_bases == {}
    assert threshold_findings(ScoreScale.model_validate(older)) == []


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
