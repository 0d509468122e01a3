"""Probes of cross-class interference, judged by detectors whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from snl_edge.contract.graph import Prediction
from snl_edge.data.layouts import open_dataset
from snl_edge.errors import DataError
from snl_edge.evaluation.interference import METRICS, make_probes, measure_interference, mix, paste
from snl_edge.evaluation.run import open_subject

SIZE = (64, 96)


def predicted(maps) -> Prediction:
    """Maps with their maxima as scores; no product is recognised."""
    count = len(maps)
    return Prediction(maps, maps.max((1, 2)), np.zeros(count, np.int32), np.zeros(count, np.float32))


def test_probes_are_made_of_two_products(line):
    dataset = open_dataset(line)
    probes = list(make_probes(dataset.test, SIZE))
    assert [p.kind for p in probes] == ["good", "mixed", "pasted"] * 6  # 3 good images of 2 products
    for good, mixed, pasted in zip(probes[::3], probes[1::3], probes[2::3], strict=True):
        assert good.product == mixed.product == pasted.product
        assert not good.foreign.any()
        assert mixed.foreign.all()
        assert pasted.foreign.sum() == 16 * 16
        assert np.array_equal(pasted.image[~pasted.foreign], good.image[~pasted.foreign])
        assert np.abs(pasted.image[pasted.foreign].astype(int) - good.image[pasted.foreign]).mean() > 1
        twice = 2 * mixed.image.astype(int) - good.image  # the other image, but for rounding
        others = [p.image for p in probes if p.kind == "good" and p.product != good.product]
        assert any(np.abs(twice - other).max() <= 1 for other in others)


def test_probes_depend_on_the_seed_alone(line):
    samples = open_dataset(line).test
    first, again, other = (
        [p.image for p in make_probes(s, SIZE, seed=seed)]
        for s, seed in ((samples, 0), (samples[::-1], 0), (samples, 1))
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_perfect_detector_flags_every_probe(line):
    samples = open_dataset(line).test
    known = {probe.image.tobytes(): probe.foreign.astype(np.float32) for probe in make_probes(samples, SIZE)}

    def predict(images):
        assert len(images) <= 4
        maps = np.stack([known[image.tobytes()] for image in images])
        return predicted(maps)

    seen = []
    found = measure_interference(
        predict, samples, SIZE, batch_size=4, progress=lambda done, total: seen.append((done, total))
    )
    assert found.mean == pytest.approx({**dict.fromkeys(METRICS, 1.0), "mixed_verdict_auroc": np.nan}, nan_ok=True)
    assert [p.images for p in found.products.values()] == [3, 3]
    assert seen[-1] == (18, 18)


def test_what_looks_like_no_product_is_ranked_by_the_verdict(line):
    """A mixture may score like a good part and be stopped all the same: like no product that the engine knows."""
    samples = open_dataset(line).test
    mixed = {probe.image.tobytes() for probe in make_probes(samples, SIZE) if probe.kind == "mixed"}

    def predict(images):
        strange = np.array([image.tobytes() in mixed for image in images], np.float32)
        return predicted(np.ones(images.shape[:3], np.float32))._replace(product_distance=strange)

    found = measure_interference(predict, samples, SIZE, objection=lambda made: np.maximum(0.5, made.product_distance))
    assert (found.mean["mixed_image_auroc"], found.mean["mixed_verdict_auroc"]) == (0.5, 1.0)
    assert found.figures()["mean"]["mixed_verdict_auroc"] == 1.0


def test_a_detector_that_sees_nothing_is_at_chance(line):
    found = measure_interference(
        lambda images: predicted(np.ones(images.shape[:3], np.float32)),
        open_dataset(line).test,
        SIZE,
        most=2,
    )
    assert found.mean == pytest.approx(
        {
            **{"mixed_image_auroc": 0.5, "mixed_verdict_auroc": np.nan, "pasted_image_auroc": 0.5},
            **{"pasted_pixel_auroc": 0.5, "pasted_aupro": 0.15},
        },
        nan_ok=True,
    )
    assert [p.images for p in found.products.values()] == [2, 2]


def test_a_product_without_good_images_is_shown_and_one_product_is_refused(line):
    dataset = open_dataset(line)
    first, second = dataset.products
    only = [s for s in dataset.test if s.product == first or not s.is_good]
    with pytest.raises(DataError, match=f"good test images are there of {first}, two products are needed"):
        list(make_probes(only, SIZE))
    third = [type(s)(s.path, "bare", s.defect, s.mask) for s in dataset.test if not s.is_good and s.product == second]
    found = measure_interference(
        lambda images: predicted(images.mean(3, dtype=np.float32)),
        [*dataset.test, *third],
        SIZE,
    )
    figures = found.figures()
    assert figures["products"]["bare"] == {**dict.fromkeys(METRICS), "images": 0}
    assert figures["mean"]["mixed_image_auroc"] is not None


def test_a_patch_is_put_where_it_can_be_seen():
    """Both pictures are black but for a corner: most places would put black on black."""
    image, donor = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    donor[:24, :24] = 200
    changed = [paste(image, donor, np.random.default_rng(seed))[0].any() for seed in range(20)]
    assert np.mean(changed) > 0.9


def test_halves_are_rounded_alike():
    a, b = np.full((2, 2, 3), 255, np.uint8), np.full((2, 2, 3), 254, np.uint8)
    assert np.array_equal(mix(a, b), mix(b, a))
    assert (mix(a, b) == 255).all()


def test_what_a_verdict_holds_against_a_part_is_above_one_where_a_line_stops_it(run, line):
    subject = open_subject(run)
    probes = list(make_probes(open_dataset(line).test, subject.size))
    noise = np.random.default_rng(0).integers(0, 256, (1, *subject.size, 3), np.uint8)
    prediction = subject.predict(np.concatenate([np.stack([probe.image for probe in probes]), noise]))
    held = subject.objection(prediction)
    decisions = [
        subject.rules.decide(*outputs)
        for outputs in zip(prediction.score, prediction.product, prediction.product_distance, strict=True)
    ]
    assert [not decision.good for decision in decisions] == (held > 1).tolist()
    assert len({decision.kind for decision in decisions}) > 1
