"""`inspect` of a bundle: a screen for who stands at the line, all of it for who asks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from contract_graph import write_contract_bundle
from engines import write_engine
from typer.testing import CliRunner

from snl_edge.cli import app
from snl_edge.inspection.inspect import describe
from snl_edge.runtime.manifest import FILE as MANIFEST
from snl_edge.runtime.manifest import Lineage
from snl_edge.runtime.signature import TRUSTED_KEYS
from snl_edge.runtime.signing import sign_bundle
from snl_edge.runtime.signing_keys import make_key_pair

MANY = tuple(f"part {number}" for number in range(200))
LINEAGE = Lineage(
    images=240,
    trained_images=216,
    images_sha256="1f" * 32,
    steps=1200,
    seed=7,
    trained="2026-11-28T08:00:00+00:00",
    revision="75e28c6307cd",
    host="station3",
)


def test_two_hundred_products_fit_a_screen_with_what_was_changed_first(tmp_path: Path) -> None:
    bundle = write_contract_bundle(
        tmp_path / "line",
        products=MANY,
        doubts=tuple(f"doubt {number}" for number in range(30)),
        gates={"fp16": {"failures": []}, "int8": {"failures": ["too far"]}},
        versions={"snl-edge": "0.1.0", "torch": "2.6"},
        weights_sha256="ab" * 32,
        lineage=LINEAGE,
    )
    write_engine(bundle)
    for number in range(9):
        bundle = bundle.set_threshold(0.6 + number / 100, "part 150", by="Anna", why="lot 7")
    found = describe(bundle.path)
    assert len(found.short) <= 40
    assert max(map(len, found.short)) <= 200
    text = "\n".join(found.short)
    assert found.short.index("200 products, with the thresholds in force") < 10
    assert "part 150  0.680 (set by Anna on 2" in text
    assert "; training chose 0.500)" in text
    assert "and 190 more, 0 of them changed or doubtful" in text
    assert "fp16 passed, int8 FAILED, and shipped with --force" in text
    assert "data       240 images, 216 of them trained on; record 1f1f1f1f1f1f1f1f" in text
    assert "contract, 1200 steps, seed 7, 2026-11-28T08:00:00+00:00; weights abababababababab" in text
    assert "on station3; snl-edge 0.1.0, torch 2.6" in text
    assert f"digest     {bundle.root}" in text
    assert "9 changes of thresholds since the build" in text
    assert "set part 150 0.670 → 0.680, by Anna: lot 7" in text
    assert found.short[-1] == f"all of it: snl-edge inspect {bundle.path} --long"
    assert len(found.lines) > 240
    assert sum("by Anna: lot 7" in line for line in found.lines) == 9
    assert len(found.record["changes"]) == 9
    assert found.record["lineage"]["host"] == "station3"
    printed = [CliRunner().invoke(app, ["inspect", str(bundle.path), *more]).stdout for more in ([], ["--long"])]
    assert [one.splitlines() for one in printed] == [found.short, found.lines]


def test_a_signature_is_told_and_one_that_does_not_hold_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TRUSTED_KEYS, raising=False)
    bundle = write_contract_bundle(tmp_path / "line")
    (tmp_path / "trusted").mkdir()
    shutil.move(make_key_pair(tmp_path / "key"), tmp_path / "trusted")
    assert describe(bundle.path).record["signature"] == "not signed"
    sign_bundle(bundle.path, tmp_path / "key", "Anna")
    assert "not checked, as SNL_EDGE_TRUSTED_KEYS names no keys here" in describe(bundle.path).record["signature"]
    monkeypatch.setenv(TRUSTED_KEYS, str(tmp_path / "trusted"))
    found = describe(bundle.path)
    assert "signed by Anna on " in found.record["signature"]
    assert "which is trusted here" in found.record["signature"]
    assert found.record["refused"] is None
    write_engine(bundle)
    assert "covered by no signature" in describe(bundle.path).record["engines"][0]["state"]
    (bundle.path / "signature.json").unlink()
    assert describe(bundle.path).short[0].startswith(f"refused for use: bundle {bundle.path} is not signed")


def test_of_a_manifest_without_a_digest_is_said_that_nothing_vouches_for_it(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    content = {**json.loads((bundle.path / MANIFEST).read_text()), "schema_version": 2}
    del content["digest"]
    (bundle.path / MANIFEST).write_text(json.dumps(content))
    (bundle.path / "thresholds.jsonl").unlink()
    said = "nothing vouches for the numbers in its manifest (schema version 2): build it again from its run"
    assert describe(bundle.path).short[1] == said
    assert any(said in line for line in describe(bundle.path).lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ["infer", "x.png", "--bundle", "{}"],
        ["threshold", "{}"],
        ["sign", "{}", "--key", "key"],
        ["stream", "rejudge", "journal", "--bundle", "{}"],
        ["stream", "run", "line.yaml"],
        ["stream", "demo", "--bundle", "{}"],
        ["bench", "{}"],
    ],
)
def test_a_run_given_for_a_bundle_is_named_with_its_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    from snl_edge.stream.config.line_config import LineConfig

    monkeypatch.chdir(tmp_path)
    run = tmp_path / "line 3"
    run.mkdir()
    (run / "checkpoint.json").write_text("{}")
    make_key_pair(tmp_path / "key")
    (tmp_path / "x.png").write_bytes(b"")
    (tmp_path / "journal").mkdir()
    monkeypatch.setattr("snl_edge.stream.journal.soundness.require_journal", lambda folder: None)
    source = {"type": "folder", "path": str(tmp_path)}
    line = {"bundle": str(run), "cameras": [{"name": "top", "source": source}], "dashboard": None}
    assert LineConfig.model_validate(line)
    (tmp_path / "line.yaml").write_text(json.dumps(line))  # JSON is YAML
    asked = [word.format(run) for word in arguments]
    refused = CliRunner().invoke(app, asked).exception
    assert str(refused).startswith(f"{run} is a run that has no bundle yet. Build it: snl-edge build '{run}'"), refused
    bundle = write_contract_bundle(tmp_path / "made").path
    shutil.move(bundle, run / "bundle")
    refused = CliRunner().invoke(app, asked).exception
    assert str(refused) == f"{run} is a run; its bundle is {run}/bundle. Give {run}/bundle.", refused
