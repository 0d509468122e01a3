"""What lies in a run's folder already: refused, kept, replaced or told to be outdated, never silently used."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from conftest import short_training, small_model

pytest.importorskip("torch")

import numpy as np
import torch
from typer.testing import CliRunner

from snl_edge.bundling.build import build
from snl_edge.cli.app import app
from snl_edge.data.layouts import open_dataset
from snl_edge.errors import BundleError, ConfigError, OutputError
from snl_edge.inspection.inspect import describe
from snl_edge.model.config import SnlConfig, override
from snl_edge.runtime.bundle import Bundle
from snl_edge.training.checkpoint import load_model, read_checkpoint, save_weights
from snl_edge.training.config import TrainingConfig
from snl_edge.training.image_record import read_run_images
from snl_edge.training.loop import train
from snl_edge.training.preparation import _earlier_roles, _forgotten
from snl_edge.training.reference import load_reference
from snl_edge.training.resume import run_identity
from snl_edge.training.run_folder import require_free
from snl_edge.training.switch import staging, switch


def test_training_refuses_a_folder_that_holds_a_run(snl_edge, run, line, tmp_path):
    with pytest.raises(OutputError, match=r"holds a finished run.*--replace"):
        train(small_model(), short_training(), open_dataset(line), run)
    (tmp_path / "resume.safetensors").touch()
    with pytest.raises(OutputError, match=r"holds an interrupted run.*--resume"):
        require_free(tmp_path)
    refused = snl_edge("train", line, "--out", run)
    assert refused.returncode
    assert "holds a finished run" in refused.stderr.strip().splitlines()[-1]


def test_thresholds_set_by_hand_outlive_a_build_and_not_a_training(run, line, tmp_path, capsys):
    own = tmp_path / "run"
    shutil.copytree(run, own)
    bundle = Bundle.open(build(own, None, "fp32", engine=False))
    product, other = bundle.manifest.products[:2]
    trained = bundle.manifest.threshold_for(product)
    bundle.set_threshold(0.7, product).set_unknown_limit(1.5)
    rebuilt = Bundle.open(build(own, None, "fp32", engine=False)).manifest
    assert "set by hand are kept: " + product + " 0.700, limit of unknown 1.500" in capsys.readouterr().err
    assert (rebuilt.threshold_for(product), rebuilt.unknown_limit) == (0.7, 1.5)
    assert rebuilt.threshold_for(other) == rebuilt.score_scale.product_thresholds[other]
    reset = Bundle.open(own / "bundle").with_tuning_reset().manifest
    assert (reset.threshold_for(product), reset.unknown_limit) == (trained, 1.0)

    (own / "report").mkdir()
    (own / "report" / "metrics.json").write_text("{}")
    trained = train(small_model(), short_training(steps=2), open_dataset(line), own, replace=True, start_from=run)
    assert not (own / "report").exists()
    said = " ".join(capsys.readouterr().err.split())
    assert "report is removed: it told of the earlier model" in said
    assert "refused from now on" in said
    with pytest.raises(BundleError, match="trained again since"):
        Bundle.open(own / "bundle")
    assert trained.training.start_weights == read_checkpoint(run).weights_sha256
    again = Bundle.open(build(own, None, "fp32", engine=False)).manifest
    assert (
        f"set by hand are not kept, as they were chosen for another model: {product} 0.700" in capsys.readouterr().err
    )
    assert again.product_thresholds == again.score_scale.product_thresholds

    (before, _), (after, _) = load_model(run), load_model(own)
    moved = [
        torch.dist(a, b) / a.norm()
        for a, b in zip(before.student.parameters(), after.student.parameters(), strict=True)
    ]
    assert 0 < torch.stack(moved).median() < 0.2  # two steps on from where the first run ended


def test_a_bundle_with_earlier_thresholds_of_its_run_is_refused(run, tmp_path):
    own = tmp_path / "run"
    shutil.copytree(run, own)
    folder = build(own, None, "fp32", engine=False)
    checkpoint = json.loads((own / "checkpoint.json").read_text())
    checkpoint["calibration"]["raw_threshold"] *= 1.1
    (own / "checkpoint.json").write_text(json.dumps(checkpoint))
    with pytest.raises(BundleError, match="thresholds were set again since"):
        Bundle.open(folder)
    assert Bundle.open(Path(shutil.move(folder, tmp_path / "device"))).manifest.name == "run"


def test_a_student_built_otherwise_is_no_start(run, line, tmp_path):
    with pytest.raises(ConfigError, match=r"does not fit.*height, width"):
        train(
            override(small_model(), ["height=96", "width=96"]),
            short_training(),
            open_dataset(line),
            tmp_path / "new",
            start_from=run,
        )


def test_what_a_new_run_forgets_of_the_one_it_starts_from_is_said(run, line):
    before = read_run_images(run).images
    kept = [entry for entry in before if entry.product == before[0].product][:3]
    (found,) = _forgotten(before, [entry.product for entry in kept], [entry.sha256 for entry in kept])
    other = ({entry.product for entry in before} - {before[0].product}).pop()
    assert found.text.startswith(f"{len(before) - 3} of the {len(before)} images of the run that is trained on")
    assert f"it will not know {other} any more" in found.text
    assert not _forgotten(before, [entry.product for entry in before], [entry.sha256 for entry in before])
    renamed = ["wheel" if entry.product == other else entry.product for entry in before]
    assert not _forgotten(before, renamed, [entry.sha256 for entry in before])


def test_inspect_tells_doubts_products_and_what_was_trained_on(run):
    found, checkpoint = describe(run), read_checkpoint(run)
    assert found.record["training"]["camera"]["copies"] == 2
    assert found.lines[:3] == [f"run {run}: intact", "", f"{len(checkpoint.doubts)} doubts:"]
    text = "\n".join(found.lines)
    assert text.index("products and thresholds") < text.index("trained on 14 good images of 2 products")
    assert f"  {checkpoint.products[0]}".ljust(14) + "7 trained on, 1 held out" in text
    assert "student.cram  centres 8" in text
    assert max(map(len, found.lines)) < 400
    assert len(found.lines) < 50


def test_what_a_run_learned_is_not_held_out_where_its_product_has_another_name(run):
    before = read_run_images(run).images
    hashes = [entry.sha256 for entry in before]
    assert _earlier_roles(before, hashes, np.arange(len(before))) == {i: e.role for i, e in enumerate(before)}
    copied = before[0].model_copy(update={"product": "copy", "role": "held_out"})
    learned = before[0].model_copy(update={"role": "trained"})
    for both in ((copied, learned), (learned, copied)):
        assert _earlier_roles(both, hashes[:1], np.zeros(1, int)) == {0: "trained"}


class Killed(BaseException):
    """As `kill -9`: nothing of ours takes it for an error."""


def test_a_kill_leaves_the_whole_old_run_or_the_whole_new_one(run, tmp_path, monkeypatch):
    model, old = load_model(run)
    next(model.student.parameters()).data += 1
    renamed, replaced = Path.replace, 0

    def replace_until_killed(source, target):
        nonlocal replaced
        if replaced == kill:
            raise Killed
        replaced += 1
        return renamed(source, target)

    changed, found = None, []
    for kill in range(20):
        folder = tmp_path / str(kill)
        shutil.copytree(run, folder, copy_function=os.link)
        replaced, killed = 0, False
        monkeypatch.setattr(Path, "replace", replace_until_killed)
        try:
            weights, digest = save_weights(model, folder)
            name = read_run_images(folder).model_copy(update={"weights_sha256": digest}).write(folder)
            changed = old.model_copy(update={"weights": weights, "weights_sha256": digest, "images": name})
            with staging(folder) as stage:
                shutil.copytree(run / "reference", stage / "reference")
                switch(changed, stage, folder, ("reference", "ignored"))
        except Killed:
            killed = True
        monkeypatch.setattr(Path, "replace", renamed)
        _, loaded = load_model(folder)
        assert loaded in (old, changed)
        assert read_run_images(folder).weights_sha256 == loaded.weights_sha256
        assert len(load_reference(folder)) == len(old.products)
        found.append(loaded == old)
        if not killed:
            break
    assert found == sorted(found, reverse=True)
    assert (found[0], found[-1]) == (True, False)
    assert not {path.name for path in folder.iterdir()} & {old.weights, old.images, ".next"}


def test_products_that_training_found_by_itself_are_found_again(run, line, tmp_path, capsys):
    """As `train --cluster` names them: no folder is called so."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    checkpoint = read_checkpoint(folder)
    for path in (folder / "checkpoint.json", folder / checkpoint.images):
        text = path.read_text()
        for number, product in enumerate(checkpoint.products, start=1):
            text = text.replace(f'"{product}"', f'"cluster-{number}"')
        path.write_text(text)
    polygon = ("--polygon", "0,32 64,32 64,64 0,64", "--data", line)
    result = CliRunner().invoke(app, ["ignore", str(folder), "--product", "cluster-2", *map(str, polygon)])
    assert result.exit_code == 0, (result.output, result.exception)
    assert "does not count" in result.stderr
    assert f"{checkpoint.products[1]} as cluster-2" in " ".join(result.stderr.split())
    assert list(read_checkpoint(folder).ignored) == ["cluster-2"]


def test_training_on_takes_the_settings_of_the_run_it_starts_from(snl_edge, run, line, tmp_path):
    done = snl_edge("train", line, "--start-from", run, "--steps", 1, "--batch-size", 4, "--out", tmp_path / "more")
    assert done.returncode == 0, done.stderr
    assert read_checkpoint(tmp_path / "more").model == read_checkpoint(run).model


def test_a_training_that_an_earlier_version_began_is_known_again() -> None:
    """Its hash is of the settings under the names of then."""
    model, training = SnlConfig(), TrainingConfig()
    settings = model.model_dump()
    settings["damage"] = settings.pop("corruption")
    earlier = json.dumps([settings, training.model_dump(exclude={"device", "cache_gib"}), []], sort_keys=True)
    assert run_identity(model, training, [], []) == hashlib.sha256(earlier.encode()).hexdigest()
