"""Outside baselines: what needs no anomalib, and, where their environment is, one small real run."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from snl_edge.errors import ConfigError
from studies.peers import environment
from studies.peers.patches import choose_patches
from studies.peers.quality import MODELS, VERDICTS, choose_models, parse_seeds, without_verdicts
from studies.result_files import ROOT, read_results
from studies.speed.training import measure, summarise


def test_the_environment_shares_torch_with_ours_and_pins_anomalib():
    import torch

    wanted = environment.requirements()
    assert f"torch=={torch.__version__.split('+')[0]}" in wanted
    assert all("==" in requirement for requirement in wanted)


def test_an_environment_is_ready_only_if_whole_and_of_these_requirements(tmp_path):
    assert not environment.is_ready(tmp_path, ("anomalib==2.7.0",))
    (tmp_path / environment.READY).write_text("anomalib==2.7.0\ntorch==2.0.0\n")
    assert environment.is_ready(tmp_path, ("anomalib==2.7.0", "torch==2.0.0"))
    assert not environment.is_ready(tmp_path, ("anomalib==2.7.0", "torch==2.1.0"))


def test_without_uv_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="Pip install uv"):
        environment.find_uv()


def test_inside_the_environment_the_command_just_goes_on(monkeypatch):
    from pathlib import Path

    monkeypatch.setattr("os.execve", lambda *arguments: pytest.fail("started again"))
    environment.enter_environment(Path(sys.prefix))


def test_models_and_seeds_are_checked_before_anything_runs():
    assert choose_models("anomalib_stfpm, anomalib_stfpm") == ("anomalib_stfpm",)
    assert parse_seeds("0,1, 2") == (0, 1, 2)
    with pytest.raises(ConfigError, match="anomalib_padim"):
        choose_models("anomalib_padim")
    with pytest.raises(ConfigError, match="--seeds 0,x"):
        parse_seeds("0,x")


def test_peers_claim_no_verdicts():
    row = {"image_auroc": 0.9, "threshold": 0.5, "false_reject_rate": 1.0, "false_rejects": 3, "good": 3}
    figures = without_verdicts({"mean": row, "products": {"gear": row}})
    for entry in (figures["mean"], figures["products"]["gear"]):
        assert entry["image_auroc"] == 0.9
        assert entry["good"] == 3
        assert not any(entry[key] for key in VERDICTS if key in entry)


def test_candidates_are_as_many_as_asked_and_the_same_for_a_seed():
    chosen = choose_patches(5_000, seed=1, most=300)
    assert chosen.sum() == 300
    assert (chosen == choose_patches(5_000, seed=1, most=300)).all()
    assert (chosen != choose_patches(5_000, seed=2, most=300)).any()
    assert choose_patches(20, seed=0, most=300).all()


def test_speeds_are_compared_within_a_round():
    turns: list[str] = []
    contenders = {name: lambda _, name=name: turns.append(name) for name in ("snl", "anomalib_rd")}
    speeds = measure(contenders, rounds=2, steps=1, batch_size=4)
    assert turns == ["snl", "anomalib_rd", "snl", "anomalib_rd", "anomalib_rd", "snl"]  # a warm-up of each comes first
    assert [len(values) for values in speeds.values()] == [2, 2]
    figures = summarise({"snl": [2.0, 8.0, 3.0], "anomalib_rd": [1.0, 2.0, 3.0]})
    assert figures["speedup"]["snl"]["rounds"] == [2.0, 4.0, 1.0]
    assert figures["speedup"]["snl"]["median"] == 2.0
    assert figures["images_per_second"]["anomalib_rd"]["lowest"] == 1.0


@pytest.mark.skipif(
    not environment.is_ready(environment.ENVIRONMENT, environment.requirements()),
    reason="no .venv-peers: python -m studies.peers.quality makes it",
)
def test_anomalib_trains_on_our_images_and_our_metrics_judge_it(line, tmp_path):
    command = [sys.executable, "-m", "studies.peers.quality", str(line), "--name", "tiny", "--seeds", "3"]
    options = ["--steps", "3", "--batch-size", "4", "--results", str(tmp_path)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=900, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "tiny").glob("*.json"))
    assert [file.name for file in files] == sorted(f"{model}-seed3.json" for model in MODELS)
    for file in files:
        result = json.loads(file.read_text())
        assert result["kind"] == "experiment"
        assert result["versions"]["anomalib"] == "2.7.0"
        assert result["settings"]["model"]["backbone"] == "tf_efficientnet_lite0"
        assert set(result["figures"]["evaluation"]["products"]) == {folder.name for folder in line.iterdir()}
        assert 0 <= result["figures"]["evaluation"]["mean"]["pixel_auroc"] <= 1
    assert len(read_results(tmp_path)) == len(MODELS)
