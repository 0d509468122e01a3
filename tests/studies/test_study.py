"""The experiment runner on the synthetic line: one result a run, nothing done twice, one failure stops nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import cv2
import pytest
import torch
from conftest import SIZE

from snl_edge.data.layouts import open_dataset
from snl_edge.errors import CheckpointError, ConfigError, SnlEdgeError
from snl_edge.evaluation.interference import METRICS as PROBE_METRICS
from snl_edge.evaluation.results import METRICS
from snl_edge.model.config import SnlConfig, override
from snl_edge.model.presets import PRESETS
from snl_edge.training import loop
from snl_edge.training.checkpoint import load_model
from snl_edge.training.config import TrainingConfig
from snl_edge.training.loop import TrainingInterruptedError
from studies import trained_runs as runs_module
from studies.ablation import rows as rows_module
from studies.ablation import run as study_module
from studies.ablation.rows import CHANGES, LADDER, PLAIN, ROWS, choose_rows
from studies.ablation.run import study
from studies.result_files import ROOT, read_results

SMALL = [f"height={SIZE}", f"width={SIZE}", "student.embedding=32"]


@pytest.fixture
def call(line, tmp_path):
    """Runs a study of two rows, one seed and 8 steps; returns its results by file."""

    def run(**changes):
        options = {"rows": "rd,snl_rd", "seeds": "0", "settings": SMALL, "steps": 8, "batch_size": 4}
        folders = {"runs": tmp_path / "runs", "results": tmp_path / "results"}
        study(line, **{"name": "tiny", "preset": "edge", "again": False, **options, **folders, **changes})
        return read_results(tmp_path / "results")

    return run


@pytest.fixture
def trainings(monkeypatch):
    """Counts trainings, and which of them were resumed."""
    resumed: list[bool] = []
    original = runs_module.train

    def counted(*arguments, resume=False, **options):
        resumed.append(resume)
        return original(*arguments, resume=resume, **options)

    monkeypatch.setattr(runs_module, "train", counted)
    return resumed


def test_a_study_writes_one_result_a_run_and_does_nothing_twice(call, trainings, tmp_path):
    results = call()
    assert list(results) == ["tiny/rd-seed0.json", "tiny/snl_rd-seed0.json"]
    assert trainings == [False, False]
    for file, result in results.items():
        settings, figures = result.settings, result.figures
        assert result.kind == "experiment"
        assert f"{settings['study']}/{settings['row']}-seed{settings['seed']}.json" == file
        counts = {"name": "line", "products": 2, "train": 16, "test_good": 6, "test_defective": 8}
        assert {name: settings["data"][name] for name in counts} == counts
        assert set(METRICS) < set(figures["evaluation"]["mean"])
        assert set(PROBE_METRICS) == set(figures["interference"]["mean"])
        assert len(figures["evaluation"]["products"]) == len(figures["interference"]["products"]) == 2
        assert figures["training_seconds"] > 0
        assert figures["images_per_second"] > 0
    plain, snl = results.values()
    assert plain.settings["model"]["student"]["cram"] is None
    assert snl.settings["model"]["student"]["cram"]["centres"] == 50
    assert snl.figures["student_parameters"] > plain.figures["student_parameters"]

    assert call() == results
    assert len(trainings) == 2  # nothing more
    (tmp_path / "results" / "tiny" / "rd-seed0.json").unlink()
    measured = call(rows="rd")["tiny/rd-seed0.json"]
    assert len(trainings) == 2  # measured from the trained model
    assert measured.figures == plain.figures
    changed = call(rows="rd", steps=9)["tiny/rd-seed0.json"]
    assert changed.settings["training"]["steps"] == 9
    assert len(trainings) == 3  # other settings are another run


def test_results_of_other_images_labels_or_masks_are_not_its_own(line, tmp_path):
    """A study kept results after its test images had been exchanged: it compared the folder's name and counts."""
    copy = tmp_path / "line"
    shutil.copytree(line, copy)
    assert study_module.describe(open_dataset(copy)) == study_module.describe(open_dataset(line))
    known = [study_module.describe(open_dataset(copy))]
    test = {sample.is_good: sample.path for sample in open_dataset(copy).test}
    good, bad = test[True].read_bytes(), test[False].read_bytes()
    test[True].write_bytes(bad)
    test[False].write_bytes(good)
    known.append(study_module.describe(open_dataset(copy)))
    mask = next(copy.rglob("ground_truth/*/*"))
    mask.write_bytes(cv2.imencode(".png", 255 - cv2.imread(str(mask), cv2.IMREAD_UNCHANGED))[1].tobytes())
    known.append(study_module.describe(open_dataset(copy)))
    assert len({own["content"] for own in known}) == 3


def test_a_result_does_not_say_where_weights_lie(tmp_path):
    model = override(SnlConfig(), [f"teacher.weights={tmp_path}/resnet.pth"])
    experiment = study_module.Experiment("tiny", "rd", 0, "accurate", model, TrainingConfig(), {})
    assert experiment.settings["model"]["teacher"]["weights"] == "resnet.pth"
    assert str(tmp_path) not in str(experiment.settings)


def test_again_measures_what_has_a_result(call, trainings, monkeypatch):
    call(rows="rd")
    measured = []
    original = study_module.measure_interference
    monkeypatch.setattr(
        study_module, "measure_interference", lambda *a, **k: measured.append(a[2]) or original(*a, **k)
    )
    call(rows="rd", again=True)
    assert measured == [(SIZE, SIZE)]
    assert trainings == [False]


def test_a_row_that_changes_the_map_alone_shares_the_trained_model(line, call, trainings, tmp_path):
    own, shown = "snl_rd_surprise", "snl_rd_surprise_bare_student"
    results = call(rows=f"{shown},{own}", settings=SMALL)
    assert list(results) == [f"tiny/{own}-seed0.json", f"tiny/{shown}-seed0.json"]
    assert trainings == [False]
    (model, whole), (student, alone) = (load_model(tmp_path / "runs" / "tiny" / f"{row}-seed0") for row in (own, shown))
    for name, tensor in student.student.state_dict().items():
        torch.testing.assert_close(tensor, model.student.state_dict()[name], rtol=0, atol=0)
    assert (alone.model.anomaly_map.memory_weight, alone.model.anomaly_map.surprise) == (0, 0)
    assert alone.score_scale.raw_threshold != whole.score_scale.raw_threshold  # set again
    with pytest.raises(CheckpointError, match="more than its anomaly map"):
        runs_module.shown_otherwise(
            tmp_path / "runs" / "tiny" / f"{own}-seed0", PRESETS["edge"], open_dataset(line), tmp_path / "other"
        )
    assert not (tmp_path / "other").exists()


def test_an_interrupted_study_goes_on_with_the_same_command(call, trainings, monkeypatch, tmp_path):
    calls = []
    original = loop.snl_loss

    def stop_at_four(*arguments):
        calls.append(1)
        if len(calls) == 4:
            signal.raise_signal(signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(loop, "snl_loss", stop_at_four)
    with pytest.raises(TrainingInterruptedError, match=r"after 4 of 8 steps.*the same command"):
        call(rows="rd")
    assert not (tmp_path / "results").exists()
    assert list(call(rows="rd")) == ["tiny/rd-seed0.json"]
    assert trainings == [False, True]
    assert len(calls) == 8


def test_a_state_of_other_settings_is_not_resumed(call, trainings, monkeypatch):
    original = loop.snl_loss
    monkeypatch.setattr(loop, "snl_loss", lambda *a: signal.raise_signal(signal.SIGINT) or original(*a))
    with pytest.raises(TrainingInterruptedError):
        call(rows="rd")
    monkeypatch.setattr(loop, "snl_loss", original)
    assert call(rows="rd", steps=9)["tiny/rd-seed0.json"].settings["training"]["steps"] == 9
    assert trainings == [False, True, False]  # tried, and started again


def test_seeds_come_one_after_the_other_and_a_failure_stops_nothing(line, call, monkeypatch):
    order = []

    def run_experiment(experiment, dataset, run):
        order.append(experiment.label)
        if experiment.label == "fd-seed0":
            raise ConfigError("the loss became nan", "no reason")
        if experiment.label == "fd-seed1":
            raise RuntimeError("out of memory\nmore words")
        return {
            "evaluation": {"mean": dict.fromkeys(METRICS, 1.0)},
            "interference": {"mean": dict.fromkeys(PROBE_METRICS)},
        }

    monkeypatch.setattr(study_module, "run_experiment", run_experiment)
    words = r"2 of 4 runs failed: fd-seed0 \(the loss became nan\); fd-seed1 \(RuntimeError: out of memory\)"
    with pytest.raises(SnlEdgeError, match=words):
        call(rows="fd,rd", seeds="0,1")
    assert order == ["fd-seed0", "rd-seed0", "fd-seed1", "rd-seed1"]
    order.clear()
    with pytest.raises(SnlEdgeError, match="2 of 4"):
        call(rows="fd,rd", seeds="0,1")
    assert order == ["fd-seed0", "fd-seed1"]  # the failed ones only


def test_a_wrong_row_is_one_clear_line(line, tmp_path):
    command = [sys.executable, "-m", "studies.ablation.run", str(line), "--name", "tiny", "--rows", "rd,snl_xy"]
    place = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **place)
    assert done.returncode == 1
    assert done.stderr.startswith("studies.ablation.run: there is no row snl_xy. Choose among ladder, changes, all, rd")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("runs*"))


@pytest.mark.parametrize(("option", "value"), [("seeds", "0,one"), ("seeds", ""), ("name", "../up"), ("rows", "")])
def test_other_wrong_options_are_refused_before_anything_runs(call, option, value, tmp_path):
    with pytest.raises(ConfigError):
        call(**{option: value})
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("preset", PRESETS)
def test_rows_state_every_switch_of_snl(preset):
    for name, row in ROWS.items():
        assert {"student.direction", *PLAIN} <= set(row.model), name
        model, training = row.configure(PRESETS[preset], TrainingConfig(seed=3))
        assert isinstance(model, SnlConfig)
        assert training.seed == 3
    ladder = [ROWS[name].configure(PRESETS[preset], TrainingConfig())[0] for name in LADDER]
    assert [m.student.direction for m in ladder] == ["reverse"] * 6 + ["forward"] * 6
    for *steps, default in (ladder[:6], ladder[6:]):
        parts = [(m.loss.channel, m.student.cram, m.corruption.paste, m.memory) for m in (*steps, default)]
        climbed = [[n > i for i in range(4)] for n in range(5)]
        assert [[bool(part) for part in row] for row in parts] == [*climbed, [False, True, True, True]]


def test_groups_of_rows():
    assert choose_rows(["rd", "ladder"])[:2] == ("rd", "rd_channel")
    assert choose_rows(["all"]) == tuple(ROWS) == (*LADDER, *CHANGES)
    assert all("-" not in name for name in rows_module.ROWS)  # file and table names join with it
