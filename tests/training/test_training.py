"""Training as a user sees it: repeatable, interruptible, with thresholds, and helpful when something is wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SIZE, short_training, small_model

from snl_edge.data.layouts import open_dataset
from snl_edge.data.loader import ImageStore
from snl_edge.errors import CheckpointError, ConfigError, DataError, OutputError
from snl_edge.model.snl import Snl
from snl_edge.training import finish, loop
from snl_edge.training.checkpoint import load_model, read_checkpoint
from snl_edge.training.feature_cache import FeatureSource
from snl_edge.training.loop import augmentation, batch_sampler, learning_rate, train


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return load_model(run)[0].state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_run_folder_holds_a_checkpoint_with_thresholds(run):
    checkpoint = read_checkpoint(run)
    assert len(checkpoint.products) == 2
    assert checkpoint.training_images == 14  # 8 a product, one of each held out
    assert checkpoint.score_scale.good_images == 16  # the memory can leave each of the 14 out
    assert checkpoint.score_scale.raw_threshold > 0
    stored = json.loads((run / "checkpoint.json").read_text())  # the file keeps the name of before
    assert stored["calibration"] == checkpoint.score_scale.model_dump(mode="json")
    assert "score_scale" not in stored
    assert {basis.images for basis in checkpoint.score_scale.product_bases.values()} == {8}
    assert sum("threshold rests on only 8 good images" in doubt for doubt in checkpoint.doubts) == 2
    assert {path.name for path in run.iterdir()} >= {"checkpoint.json", "losses.png", "reference", checkpoint.weights}
    assert not (run / "resume.safetensors").exists()


def test_training_lowers_the_loss(line, tmp_path, monkeypatch):
    history: list[dict[str, float]] = []
    monkeypatch.setattr(finish, "draw_curves", lambda entries, target: history.extend(entries))
    train(small_model(), short_training(steps=41), open_dataset(line), tmp_path)
    assert history[-1]["total"] < 0.8 * history[0]["total"]


def test_same_seed_same_model(line, run, tmp_path):
    train(small_model(), short_training(), open_dataset(line), tmp_path / "again")
    assert same(weights_of(run), weights_of(tmp_path / "again"))
    train(small_model(), short_training(seed=1), open_dataset(line), tmp_path / "other")
    assert not same(weights_of(run), weights_of(tmp_path / "other"))


def test_cached_features_are_those_of_the_teacher_rounded_to_fp16(line):
    samples = list(open_dataset(line).train)
    model = Snl(small_model())
    features = {}
    for gib in (0.0, 1.0):
        store, budget = ImageStore(samples, model.config.size, budget=0), int(gib * 2**30)
        source = FeatureSource(model, store, short_training(), torch.device("cpu"), budget)
        assert source.caches == (gib > 0)
        source.prepare(4, lambda done, total: None)
        features[gib] = source.batch([5, 2], augmentation(short_training(), 0))[1]
    for exact, cached in zip(features[0.0], features[1.0], strict=True):
        torch.testing.assert_close(cached, exact, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("direction", ["reverse", "forward"])
def test_interrupted_and_resumed_equals_uninterrupted(line, tmp_path, monkeypatch, direction):
    model = small_model().model_copy(deep=True)
    model = type(model).model_validate(
        {**model.model_dump(), "student": {**model.student.model_dump(), "direction": direction}}
    )
    dataset = open_dataset(line)
    train(model, short_training(), dataset, tmp_path / "whole")

    def stop_at_four(terms, *rest):
        stop_at_four.calls += 1
        if stop_at_four.calls == 4:
            signal.raise_signal(signal.SIGINT)
        return original(terms, *rest)

    stop_at_four.calls = 0
    original = loop.snl_loss
    monkeypatch.setattr(loop, "snl_loss", stop_at_four)
    with pytest.raises(loop.TrainingInterruptedError, match=r"after 4 of 12 steps.*--resume"):
        train(model, short_training(), dataset, tmp_path / "parts")
    assert not (tmp_path / "parts" / "checkpoint.json").exists()
    monkeypatch.setattr(loop, "snl_loss", original)
    train(model, short_training(), dataset, tmp_path / "parts", resume=True)
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts"))


def test_ctrl_c_on_the_command_line_is_one_line_and_resumable(line, tmp_path):
    command = [
        sys.executable,
        "-m",
        "snl_edge",
        "train",
        str(line),
        "--preset",
        "edge",
        "--size",
        str(SIZE),
        "--out",
        "run",
    ]
    command += ["--steps", "100000", "--batch-size", "4"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    heard = ""
    deadline = time.monotonic() + 120
    while "training on" not in heard and time.monotonic() < deadline:
        heard += process.stderr.readline()
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert rest.strip().splitlines()[-1].startswith("snl-edge: training interrupted after")
    assert (tmp_path / "run" / "resume.safetensors").is_file()


def test_resume_refuses_other_settings_and_nothing(line, tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match="nothing to resume"):
        train(small_model(), short_training(), open_dataset(line), tmp_path, resume=True)

    def stop(*arguments):
        signal.raise_signal(signal.SIGINT)
        return loss(*arguments)

    loss = loop.snl_loss
    monkeypatch.setattr(loop, "snl_loss", stop)
    with pytest.raises(loop.TrainingInterruptedError):
        train(small_model(), short_training(), open_dataset(line), tmp_path)
    with pytest.raises(CheckpointError, match="belongs to another run"):
        train(small_model(), short_training(seed=5), open_dataset(line), tmp_path, resume=True)
    state = tmp_path / "resume.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"resume\.safetensors is damaged"):
        train(small_model(), short_training(), open_dataset(line), tmp_path, resume=True)


def test_a_damaged_checkpoint_says_so(run, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    weights = copy / read_checkpoint(copy).weights
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=rf"{weights.name} are damaged"):
        load_model(copy)
    weights.unlink()
    with pytest.raises(CheckpointError, match="are missing"):
        load_model(copy)
    weights.write_bytes(whole)
    text = (copy / "checkpoint.json").read_text()
    (copy / "checkpoint.json").write_text(text[:200])
    with pytest.raises(CheckpointError, match=r"checkpoint\.json is damaged"):
        load_model(copy)
    content = json.loads(text)
    content["training"]["steps"] = -1
    (copy / "checkpoint.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"training\.steps"):
        load_model(copy)
    with pytest.raises(CheckpointError, match="no readable checkpoint"):
        load_model(tmp_path)


def test_bad_images_stop_training_before_it_starts(line, tmp_path):
    import shutil

    copy = tmp_path / "line"
    shutil.copytree(line, copy)
    broken = sorted(copy.rglob("train/good/*.png"))[0]
    broken.write_bytes(b"not an image")
    with pytest.raises(DataError, match=broken.name):
        train(small_model(), short_training(), open_dataset(copy), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_written_is_known_before_the_first_step(line, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(loop, "snl_loss", lambda *_: pytest.fail("a step was trained for nothing"))
    with pytest.raises(OutputError, match="cannot write"):
        train(small_model(), short_training(), open_dataset(line), tmp_path / "file" / "run")


def test_quarter_turns_need_a_square(line, tmp_path):
    model = type(small_model()).model_validate({**small_model().model_dump(), "width": 96})
    with pytest.raises(ConfigError, match="square"):
        train(model, short_training(augment="dihedral"), open_dataset(line), tmp_path)


def test_augmented_training_runs(line, tmp_path):
    train(small_model(), short_training(augment="dihedral", steps=3), open_dataset(line), tmp_path)
    assert read_checkpoint(tmp_path).training.augment == "dihedral"


def test_augmentation_moves_pixels_only():
    pixels = torch.arange(2 * 3 * 8 * 8).float().view(2, 3, 8, 8)
    seen = set()
    for step in range(64):
        moved = augmentation(short_training(augment="dihedral"), step)(pixels)
        assert torch.equal(moved.flatten(2).sort(2).values, pixels.flatten(2).sort(2).values)
        seen.add(tuple(moved[0, 0].flatten().tolist()))
    assert len(seen) == 8  # the eight symmetries of the square
    assert torch.equal(augmentation(short_training(), 0)(pixels), pixels)


def test_batches_are_balanced_over_products_and_repeatable(line):
    samples = list(open_dataset(line).train)
    few = [s for s in samples if s.product == samples[0].product][:2] + [
        s for s in samples if s.product != samples[0].product
    ]
    draw = batch_sampler(few, short_training(batch_size=2), range(len(few)))
    assert draw(7) == draw(7)
    counts = np.zeros(2)
    for step in range(2000):
        for index in draw(step):
            counts[int(few[index].product == samples[0].product)] += 1
    assert counts.min() / counts.max() > 0.7  # 2 against 8 images, yet nearly as often


def test_learning_rate_rises_then_falls():
    training = short_training(steps=100, learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(step, training) for step in range(100)]
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 0.02


def test_images_beyond_the_budget_are_read_again(line):
    samples = open_dataset(line).train
    kept, reread = ImageStore(samples, (SIZE, SIZE), budget=2**30), ImageStore(samples, (SIZE, SIZE), budget=1000)
    assert kept.cached_bytes > 0
    assert reread.cached_bytes == 0
    np.testing.assert_array_equal(kept.batch([3, 1]), reread.batch([3, 1]))
    np.testing.assert_array_equal(kept.batch([3, 1]), kept.batch([3, 1]))
