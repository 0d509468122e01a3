"""Ranges, the images they are measured on, the table that keeps them, and the search for layers to exclude."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from snl_edge.bundling.moved_thresholds import move_scale
from snl_edge.calibration import ranges
from snl_edge.calibration.histogram import BINS, Histogram
from snl_edge.calibration.images import candidates, choose_images
from snl_edge.calibration.measure import CalibrationConfig, calibrate_ranges, choose_method
from snl_edge.calibration.search import disproportionate, fewest_excluded, guess_excluded
from snl_edge.calibration.sensitivity import Damage, LayerSensitivity, Sensitivity, measure_sensitivity
from snl_edge.calibration.table import TensorRange, read_table
from snl_edge.data.layouts import open_dataset
from snl_edge.data.samples import Sample
from snl_edge.errors import ConfigError, DataError
from snl_edge.export.graphs import make_graphs
from snl_edge.export.qdq import Layer, find_layers, place, to_int8
from snl_edge.scoring.scale import ScoreScale


@pytest.fixture(scope="module")
def graph(run):
    return make_graphs(run, "fp32")[1]["fp32"]


def gathered(*parts) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.add(np.asarray(part, np.float32))
    return histogram


def test_a_histogram_is_the_same_in_any_order_and_never_grows():
    rng = np.random.default_rng(0)
    parts = [np.zeros(5), rng.normal(0, 0.01, 1000), rng.normal(0, 3, 1000), rng.normal(0, 0.2, (10, 10))]
    forth, back, whole = gathered(*parts), gathered(*parts[::-1]), gathered(np.concatenate([p.ravel() for p in parts]))
    np.testing.assert_array_equal(forth.counts, back.counts)
    np.testing.assert_array_equal(forth.counts, whole.counts)
    assert forth.counts.shape == (BINS,)
    assert forth.counts.sum() == 2105
    assert forth.largest <= forth.top < 2 * forth.largest
    values = np.abs(np.concatenate([p.ravel() for p in parts])).astype(np.float32)
    np.testing.assert_array_equal(forth.counts, np.histogram(values, BINS, (0, forth.top))[0])


def test_a_value_that_is_no_number_is_refused():
    with pytest.raises(DataError, match="no finite number"):
        gathered([1.0, np.nan])


def test_methods_clip_a_lone_outlier_and_keep_an_even_spread():
    rng = np.random.default_rng(0)
    outlier = ranges.candidates(gathered(rng.normal(0, 1, 200_000), [50.0]))
    assert outlier["max"] == 50
    assert outlier["percentile"] < outlier["entropy"] < 10
    assert 10 < outlier["mse"] < 30  # one value of 50 weighs as much as rounding all others
    even = ranges.candidates(gathered(rng.uniform(-2, 2, 200_000)))
    assert all(value == pytest.approx(2, rel=0.05) for value in even.values())
    assert ranges.candidates(gathered(np.zeros(8))) == {"max": 1.0}


def test_mse_is_the_smallest_squared_error_that_rounding_and_clipping_can_have():
    values = np.random.default_rng(0).laplace(0, 1, 100_000).astype(np.float32)

    def error(magnitude: float) -> float:
        step = magnitude / 127
        return float(np.mean(np.square(np.clip(np.rint(values / step), -127, 127) * step - values)))

    found = ranges.candidates(gathered(values))
    best = min(np.geomspace(0.1, 1, 64) * found["max"], key=error)
    assert error(found["mse"]) <= 1.02 * error(best)
    assert error(found["mse"]) < error(found["max"])


def test_the_widest_range_wins_among_those_that_cost_the_same():
    sizes = {"max": 8.0, "percentile": 5.0, "mse": 4.0}
    assert choose_method(sizes, {"max": 1.04, "percentile": 1.2, "mse": 1.0}) == "max"
    assert choose_method(sizes, {"max": 1.5, "percentile": 1.02, "mse": 1.0}) == "percentile"


def test_images_are_balanced_diverse_and_partly_damaged(line):
    samples = candidates(open_dataset(line).train, seed=0)
    embeddings = np.random.default_rng(0).normal(size=(len(samples), 4))
    embeddings[3] += 50  # the odd one of the first product must be among its first two
    images = choose_images(samples, embeddings, 6, seed=0)
    good = [image for image in images if image.damage == "none"]
    assert len({image.sample.path for image in good}) == len(good) == 6
    assert len({image.sample.product for image in good[:2]}) == 2
    counts = [sum(image.sample.product == product for image in good) for product in open_dataset(line).products]
    assert counts == [3, 3]
    assert samples[3] in [image.sample for image in good[:4]]
    damaged = images[6:]
    assert [image.damage for image in damaged] == ["paste", "noise", "light"]
    for image in damaged:
        assert image.donor.product != image.sample.product
        changed = image.read((64, 64)) != next(i for i in good if i.sample == image.sample).read((64, 64))
        assert changed.any()
        np.testing.assert_array_equal(image.read((64, 64)), image.read((64, 64)))


def test_more_images_than_there_are_means_all(line):
    samples = candidates(open_dataset(line).train, seed=0)
    images = choose_images(samples, np.random.default_rng(0).normal(size=(len(samples), 4)), 500, seed=0)
    assert sum(image.damage == "none" for image in images) == len(samples)


def test_same_images_and_seed_give_the_same_bytes_of_table_and_graph(graph, line, tmp_path):
    texts, models = [], []
    for name in ("one", "two"):
        table = calibrate_ranges(graph, open_dataset(line).train, CalibrationConfig(images=6))
        path = table.write(tmp_path / f"{name}.json")
        texts.append(path.read_bytes())
        models.append(to_int8(graph, read_table(path).ranges).SerializeToString(deterministic=True))
    assert texts[0] == texts[1]
    assert models[0] == models[1]
    table = read_table(tmp_path / "one.json")
    assert set(table.tensors) == set(place(graph, find_layers(graph)).readers)
    assert len(table.images) == 9
    for tensor in table.tensors.values():
        assert tensor.map_errors[tensor.method] <= 1.05 * min(tensor.map_errors.values())
    table.check_model(table.network_sha256, tmp_path)
    with pytest.raises(ConfigError, match=r"one\.json is the calibration table of another model"):
        table.check_model("0" * 64, tmp_path / "one.json")


@pytest.mark.parametrize("content", ["", "{}", '{"schema_version": 1, "tensors": {}}'])
def test_what_is_no_table_is_refused(tmp_path, content):
    (tmp_path / "table.json").write_text(content)
    with pytest.raises(ConfigError, match=r"table\.json is no calibration table"):
        read_table(tmp_path / "table.json")


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read calibration table .*none\.json.*snl-edge calibrate"):
        read_table(tmp_path / "none.json")


def test_images_of_other_products_are_refused(graph, line):
    samples = open_dataset(line).train
    (first, second) = sorted({sample.product for sample in samples})
    with pytest.raises(DataError, match=f"not of the model's products: they lack {second}"):
        calibrate_ranges(graph, [s for s in samples if s.product == first], CalibrationConfig(images=2))
    odd = [Sample(s.path, "spanner", "good") if s.product == first else s for s in samples]
    with pytest.raises(DataError, match=f"they lack {first} and show unlearned spanner"):
        calibrate_ranges(graph, odd, CalibrationConfig(images=2))


def test_an_unreadable_image_is_named(graph, line, tmp_path):
    samples = list(open_dataset(line).train)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    samples[0] = Sample(broken, samples[0].product, "good")
    with pytest.raises(DataError, match=r"1 faulty file.*broken\.png"):
        calibrate_ranges(graph, samples, CalibrationConfig(images=2))


def test_sensitivity_ranks_the_layer_whose_range_is_ruined(graph, line):
    """One layer's input is clipped to a twentieth: it must do the most damage, and excluding it must help the most."""
    table = calibrate_ranges(graph, open_dataset(line).train, CalibrationConfig(images=4))
    layers = find_layers(graph)
    victim = next(layer for layer in layers if layer.name.endswith("blocks.2.0.conv_pwl"))
    ruined = {**table.ranges, victim.input: table.ranges[victim.input] / 20}
    images = np.stack(
        [image.read((64, 64)) for image in choose_images(candidates(open_dataset(line).train, 0), np.eye(16), 2, 0)]
    )
    few = [layer for layer in layers if layer.name.startswith("teacher.backbone.blocks.2")]
    measured = measure_sensitivity(graph, few, ruined, images)
    assert measured.worst_first()[0].layer == victim.name
    assert max(measured.layers, key=lambda one: one.alone.map).layer == victim.name
    assert min(measured.layers, key=lambda one: one.excluded.map).excluded.map < 0.5 * measured.all_int8.map


def test_a_cheap_layer_that_does_much_of_the_damage_stays_fp16_without_being_asked():
    layers = [
        Layer(name, name, "Conv", name, name, macs)
        for name, macs in (("delicate", 10), ("heavy", 900), ("second", 5), ("third", 80), ("meek", 5))
    ]

    def tensor(error: float, *read_by: str) -> TensorRange:
        return TensorRange(read_by=read_by, method="max", range=1.0, largest=1.0, map_errors={"max": error, "mse": 9.0})

    tensors = {
        "a": tensor(1.0, "delicate"),
        "b": tensor(0.5, "heavy"),  # does much, but computes nearly everything
        "c": tensor(0.4, "second"),
        "d": tensor(0.3, "third", "addition"),  # read by others as well
        "e": tensor(0.05, "meek"),
    }
    assert disproportionate(layers, tensors) == ("delicate", "second")
    assert disproportionate(layers, {**tensors, "f": tensor(9.0, "heavy")}) == ()  # beside it all others are small


@dataclass(frozen=True)
class Outcome:
    passed: bool


@pytest.mark.parametrize("guess", [1, 4, 30])
@pytest.mark.parametrize("needed", [0, 1, 3, 8, 10])
def test_the_search_spares_as_few_as_needed(needed, guess):
    asked: list[int] = []

    def attempt(excluded: tuple[str, ...]) -> Outcome:
        asked.append(len(excluded))
        return Outcome(len(excluded) >= needed)

    search = fewest_excluded([str(n) for n in range(20)], attempt, guess)
    assert search.excluded == tuple(str(n) for n in range(needed))
    assert search.outcome.passed
    assert search.judged == len(asked) == len(set(asked)) <= 8


def test_a_search_that_finds_nothing_says_so():
    search = fewest_excluded(list("abcdefgh"), lambda excluded: Outcome(False))
    assert not search.outcome.passed
    assert search.excluded == tuple("abcd")


def test_worst_first_is_by_what_sparing_takes_away():
    one, two = (
        LayerSensitivity(layer=name, macs=1, alone=Damage(map=alone, score=0), excluded=Damage(map=excluded, score=0))
        for name, alone, excluded in (("one", 0.1, 0.3), ("two", 0.2, 0.1))
    )
    ranked = Sensitivity(all_int8=Damage(map=0.4, score=0), layers=(one, two)).worst_first()
    assert [layer.layer for layer in ranked] == ["two", "one"]


def test_the_guess_takes_away_as_much_damage_as_wanted():
    layers = tuple(
        LayerSensitivity(
            layer=str(n), macs=1, alone=Damage(map=0.1, score=0), excluded=Damage(map=(1 - n / 10) ** 0.5, score=0)
        )
        for n in (4, 3, 2, 1)
    )
    whole = Sensitivity(all_int8=Damage(map=1.0, score=0), layers=layers)
    assert [guess_excluded(whole, share) for share in (1.0, 0.9, 0.78, 0.5, 0.0)] == [0, 1, 1, 3, 4]


def test_thresholds_move_with_the_scores_of_their_product():
    before = ScoreScale(
        raw_threshold=2.0,
        product_thresholds={"a": 0.4, "b": 0.6},
        false_reject_budget=0.01,
        good_images=6,
        method="test",
    )
    exact = {"a": [0.1, 0.2, 0.3], "b": [0.1, 0.2, 0.3]}
    own = {"a": [0.11, 0.22, 0.33], "b": [0.1, 0.2, 0.3]}
    after = move_scale(before, exact, own)
    raw = {product: value * after.raw_threshold for product, value in after.product_thresholds.items()}
    assert raw["a"] == pytest.approx(1.1 * 0.4 * 2)
    assert raw["b"] == pytest.approx(0.6 * 2)
