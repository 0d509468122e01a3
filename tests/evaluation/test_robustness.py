"""What a camera changes: copies that training learns from, and how verdicts move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SIZE, short_training

from snl_edge.data.camera_changes import CameraChange
from snl_edge.data.layouts import open_dataset
from snl_edge.data.loader import ImageStore
from snl_edge.evaluation.evaluate import evaluate
from snl_edge.evaluation.report import write_report
from snl_edge.evaluation.robustness import CHANGES, UNTOUCHED, measure_robustness
from snl_edge.evaluation.run import open_subject
from snl_edge.image import read_image
from snl_edge.training.camera_changes import CameraCopies, draw_change, threshold_images, with_copies
from snl_edge.training.checkpoint import Checkpoint, load_model, read_checkpoint
from snl_edge.training.config import CameraConfig
from snl_edge.training.image_record import find_images
from snl_edge.training.recognition import learn_products


@pytest.fixture(scope="module")
def part(line: Path):
    return read_image(open_dataset(line).train[0].path)


def changed(part, scale: float = 1.0, **change):
    return CameraChange(**change).apply(part, np.random.default_rng(0), scale)


def test_a_change_of_nothing_changes_nothing(part):
    np.testing.assert_array_equal(changed(part), part)


def test_light_is_a_factor_on_each_channel(part):
    np.testing.assert_array_equal(changed(part, gain=1.5), np.minimum(np.rint(part * np.float32(1.5)), 255))
    warm = changed(part, warmth=0.5).astype(float) - part
    assert warm[..., 0].mean() > 0 > warm[..., 2].mean()
    assert not warm[..., 1].any()


def test_what_turns_and_shifts_leaves_no_seam():
    """A picture that is bright everywhere has no dark corner, however it lies."""
    bright = np.full((SIZE, SIZE, 3), 200, np.uint8)
    assert (changed(bright, turn=30, shift=(9, -7)) == 200).all()
    spot = np.zeros((SIZE, SIZE, 3), np.uint8)
    spot[20, 30] = 255
    assert changed(spot, shift=(4, -2))[18, 34, 0] == 255
    assert changed(spot, scale=2.0, shift=(4, -2))[16, 38, 0] == 255


def test_noise_blur_and_jpeg_are_as_strong_as_they_say(part):
    flat = np.full((SIZE, SIZE, 3), 128, np.uint8)
    assert changed(flat, noise=4.0).std() == pytest.approx(4, rel=0.05)
    assert changed(part, blur=1.0).astype(float).std() < part.std()
    losses = [np.abs(changed(part, jpeg=quality).astype(float) - part).mean() for quality in (95, 80, 50)]
    assert 0 < losses[0] < losses[1] < losses[2]
    np.testing.assert_array_equal(changed(part, noise=4.0), changed(part, noise=4.0))


def test_copies_stand_behind_the_images_and_are_always_the_same(line):
    store = ImageStore(open_dataset(line).train[:3], (SIZE, SIZE), budget=2**30)
    copies = CameraCopies(store, CameraConfig(copies=2), seed=0)
    assert len(copies) == 9
    assert [sample.path for sample in copies.samples[3:6]] == [sample.path for sample in store.samples]
    everything = copies.batch(range(9))
    np.testing.assert_array_equal(everything[:3], store.batch(range(3)))
    np.testing.assert_array_equal(everything[[7]], CameraCopies(store, CameraConfig(), seed=0).batch([7]))
    assert len({image.tobytes() for image in everything}) == 9
    assert threshold_images(store, short_training()) is store
    every = short_training(camera=CameraConfig(thresholds=True))
    moments = threshold_images(store, every)  # by turns as it is, as its first copy, as its second
    np.testing.assert_array_equal(moments.batch(range(3)), everything[[0, 4, 8]])
    still = short_training(camera=None)
    assert with_copies(store, still) is store
    np.testing.assert_array_equal(threshold_images(store, still).batch(range(3)), everything[:3])


def test_changes_stay_within_what_was_asked_for():
    config = CameraConfig(gain=0.1, warmth=0.05, turn=2, shift=3, blur=0.5, noise=2, jpeg=90)
    drawn = [draw_change(config, np.random.default_rng(seed)) for seed in range(200)]
    assert all(1 / 1.1 <= change.gain <= 1.1 and abs(change.turn) <= 2 for change in drawn)
    assert max(abs(length) for change in drawn for length in change.shift) <= 3
    assert max(change.blur for change in drawn) <= 0.5
    assert min(change.jpeg for change in drawn if change.jpeg is not None) >= 90
    assert min(change.gain for change in drawn) < 0.95
    assert max(change.gain for change in drawn) > 1.05


def test_good_parts_are_known_whatever_the_camera_changes(run, line):
    """Noise alone made good parts unknown, and a JPEG at the model's size took them most of the way."""
    model, checkpoint = load_model(run)
    good = [read_image(sample.path) for sample in open_dataset(line).test if sample.is_good]
    noisy, compressed = (
        torch.from_numpy(np.stack([changed(part, **how) for part in good])) for how in ({"noise": 8.0}, {"jpeg": 80})
    )
    with torch.no_grad():
        assert (model(noisy)[3] <= 1).all()
        assert model(compressed)[3].median() < 0.45
        dataset = open_dataset(line)
        still = checkpoint.training.model_copy(update={"camera": None})
        store = ImageStore(find_images(run, dataset).of("trained"), model.config.size, 0)
        learn_products(model, store, range(len(store)), still)
        assert (model(noisy)[3] > 1).float().mean() >= 0.3
        assert model(compressed)[3].median() > 0.55


def test_a_run_of_before_was_trained_without_changes(run):
    stored = read_checkpoint(run).model_dump()
    assert stored["training"]["camera"] == CameraConfig().model_dump()
    del stored["training"]["camera"]
    assert Checkpoint.model_validate(stored).training.camera is None


def test_verdicts_under_each_change_are_counted_and_shown(run, line, tmp_path):
    dataset, subject = open_dataset(line), open_subject(run)
    samples = [*dataset.test[:9]]
    changes = {name: CHANGES[name] for name in (UNTOUCHED, "15 % more light", "noise (4 grey levels)")}
    black = {"the light is out": CameraChange(gain=0.0)}
    seen: list[tuple[int, int]] = []
    robustness = measure_robustness(
        subject.predict,
        subject.rules,
        samples,
        subject.size,
        changes={**changes, **black},
        batch_size=4,
        progress=lambda *a: seen.append(a),
    )
    evaluation = evaluate(subject.predict, samples, subject.size, rules=subject.rules)
    assert robustness.outcome(UNTOUCHED) == evaluation.outcome()
    assert seen[-1] == (36, 36)
    good = sum(sample.is_good for sample in samples)
    assert robustness.outcome("the light is out").falsely_unknown == good
    assert robustness.mean("the light is out") == 1
    figures = robustness.figures()["the light is out"]
    assert figures["falsely_stopped"]["count"] == good
    assert set(figures["products"]) == {sample.product for sample in samples}
    html, _ = write_report(evaluation, tmp_path, title="t", provenance={}, robustness=robustness.for_report())
    page = html.read_text()
    assert f"{good} of {good} good parts unknown" in page
    assert "15 % more light" in page
