"""The measurement of thresholds from few images: what is drawn, what is kept, and what is counted."""

from __future__ import annotations

import numpy as np
import pytest

from snl_edge.benchmarks.results import Result
from snl_edge.data.samples import GOOD, Dataset, Sample
from snl_edge.errors import DataError
from snl_edge.scoring.expected_rates import EXPECTED
from studies.result_files import find_result, read_results
from studies.thresholds import draws as threshold_draws
from studies.thresholds import rates as threshold_rates
from studies.thresholds.rates import WHOLE, Draw, judge_alone, judge_together, measure_rates


def drawn(images: int, number: int = 0) -> Draw:
    rng = np.random.default_rng((images, number))

    def scores(count: int) -> dict[str, list[float]]:
        return {name: np.exp(level + 0.08 * rng.normal(size=count)).tolist() for name, level in LEVELS.items()}

    defective = {name: [10.0, 10.0, 0.01, 0.01] for name in LEVELS}
    learned = images or 40
    return Draw(
        images=images,
        number=number,
        settings={"steps": 3},
        revision="abc",
        held_out=scores(max(1, learned // 10)),
        left_out=scores(learned - max(1, learned // 10)),
        stood_out={},
        good=scores(50) if images != WHOLE else {},
        defective=defective,
    )


LEVELS = {"gear": -1.0, "nut": 0.5}


def test_all_good_images_of_a_size_are_drawn_or_judged(tmp_path):
    train = [
        Sample(tmp_path / f"{name}{n:03}.png", name, GOOD) for name, own in (("a", 60), ("b", 12)) for n in range(own)
    ]
    test = [Sample(tmp_path / f"test{n}.png", "a", GOOD) for n in range(3)]
    dataset = Dataset(tmp_path, "mvtec", tuple(train), tuple(test))
    images, rest = threshold_draws.choose_images(dataset, 10, 0)
    assert [sample.product for sample in images] == ["a"] * 10  # b has too few to judge it by
    assert sorted((*images, *rest), key=lambda s: s.path) == sorted((*train[:60], *test), key=lambda s: s.path)
    assert images != threshold_draws.choose_images(dataset, 10, 1)[0]
    assert threshold_draws.choose_images(dataset, WHOLE, 0) == (train, [])


def test_only_a_draw_of_the_same_settings_is_used_again(tmp_path):
    path = tmp_path / "10-0.json"
    assert threshold_draws.read_draw(path, {}) is None
    path.write_text(drawn(10).model_dump_json())
    assert threshold_draws.read_draw(path, {"steps": 3}) == drawn(10)
    assert threshold_draws.read_draw(path, {"steps": 4}) is None
    path.write_text("{")
    with pytest.raises(DataError, match="is no draw"):
        threshold_draws.read_draw(path, {"steps": 3})


def test_false_rejects_and_escapes_are_those_of_the_products_own_thresholds():
    draw = drawn(20)
    for judge in (judge_together, judge_alone):
        for kept in judge(draw, 0.01):
            assert (kept.good, kept.defective, kept.escapes) == (50, 4, 2)
            assert kept.false_rejects <= 5
    spoiled = draw.model_copy(update={"good": {name: [9.0] * 10 for name in LEVELS}})
    assert [kept.false_reject_rate for kept in judge_together(spoiled, 0.01)] == [1.0, 1.0]


def test_what_users_are_told_to_expect_is_what_was_measured():
    found = find_result(read_results(), threshold_rates.KIND, "real10")
    assert found is not None
    sizes = {int(images): [own for own in size.values() if own] for images, size in found[1].figures["sizes"].items()}
    told = {rates.images: rates for rates in EXPECTED}
    assert set(told) == set(sizes)
    for images, rates in told.items():
        ways = [measured[way] for measured in sizes[images] for way in ("together", "alone")]
        assert rates.mean == pytest.approx(max(way["false_reject_rate"] for way in ways), abs=0.0006)
        assert rates.low == pytest.approx(min(way["range"][0] for way in ways), abs=0.0006)
        assert rates.high == pytest.approx(max(way["range"][1] for way in ways), abs=0.0006)


def test_what_was_not_trained_is_a_dash_in_the_table(monkeypatch):
    monkeypatch.setattr(threshold_rates, "RESAMPLED", 4)
    figures = measure_rates([drawn(WHOLE), drawn(5), drawn(5, 1)], [5, 30])
    assert figures["sizes"]["5"]["drawn"]["together"]["thresholds"] == 4
    assert figures["sizes"]["5"]["resampled"]["alone"]["thresholds"] == 8
    assert figures["sizes"]["30"] == {"drawn": None, "resampled": None}  # 36 left-out scores: 6 remain
    figures["sizes"]["20"] = {**measure_rates([drawn(WHOLE)], [20])["sizes"]["20"]}
    del figures["sizes"]["30"]
    settings = {"preset": "edge", "model": {"width": 64, "height": 64}, "training": {"steps": 3, "batch_size": 16}}
    result = Result(
        kind=threshold_rates.KIND,
        name="line",
        created="2026-11-28",
        revision="abc",
        command="here",
        machine={"processor": "any"},
        versions={},
        settings={**settings, "draws": 2},
        figures=figures,
    )
    rows = threshold_rates.thresholds_table({"line.json": result}, "line").splitlines()[2:6]
    assert [row.split("|")[1].strip() for row in rows] == [
        f"{images}, {way}" for images in (5, 20) for way in ("2 products", "each alone")
    ]
    assert rows[2].split("|")[6].strip() == "–"
    assert "±" in rows[0]
