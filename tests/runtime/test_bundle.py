"""Writing, opening and adjusting bundles."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract_graph import write_contract_bundle, write_contract_graph
from engines import write_engine
from resealed import edit_manifest

from snl_edge.errors import BundleError, ConfigError, EngineError, OutputError
from snl_edge.inspection.inspect import describe
from snl_edge.runtime.arguments import require_threshold
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.bundle_writer import write_bundle
from snl_edge.runtime.engine_record import pack, read_engine
from snl_edge.runtime.manifest import FILE, BundleContent, Manifest, sha256_of
from snl_edge.runtime.threshold_history import FILE as HISTORY

pytestmark = pytest.mark.everywhere


def _flip_a_byte(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)


def test_written_bundle_opens_with_what_was_given(tmp_path: Path) -> None:
    written = write_contract_bundle(tmp_path / "line", metrics={"image_auroc": 0.98}, threshold=0.6)
    opened = Bundle.open(tmp_path / "line")
    assert opened == written
    assert opened.manifest.threshold == 0.6
    assert opened.manifest.metrics == {"image_auroc": 0.98}
    assert sha256_of(opened.graph("fp16")) == opened.graph_sha256("fp16")
    assert opened.engines() == []
    assert stat.S_IMODE((tmp_path / "line").stat().st_mode) & stat.S_IRUSR


def test_other_users_of_the_device_may_read_it(tmp_path: Path) -> None:
    previous = os.umask(0o022)
    try:
        write_contract_bundle(tmp_path / "line")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "line").stat().st_mode) == 0o755


@pytest.mark.parametrize("name", ["fp32.onnx", "fp16.onnx", FILE])
@pytest.mark.parametrize("position", [0, -2])
def test_one_changed_byte_is_found(tmp_path: Path, name: str, position: int) -> None:
    write_contract_bundle(tmp_path / "line")
    _flip_a_byte(tmp_path / "line" / name, position)
    with pytest.raises(BundleError, match=f"{name} is damaged.*[Cc]opy the bundle again"):
        Bundle.open(tmp_path / "line")


@pytest.mark.parametrize("name", ["fp32.onnx", FILE])
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_contract_bundle(tmp_path / "line")
    (tmp_path / "line" / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing.*snl-edge"):
        Bundle.open(tmp_path / "line")


def test_manifest_of_a_newer_version_asks_for_an_upgrade(tmp_path: Path) -> None:
    write_contract_bundle(tmp_path / "line")
    edit_manifest(tmp_path / "line", schema_version=4, something_new=1)
    with pytest.raises(BundleError, match=r"schema version 4.*pip install --upgrade snl-edge"):
        Bundle.open(tmp_path / "line")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"colour": "red"}, "colour: Extra inputs"),
        ({"threshold": -1}, "threshold: .*greater than 0"),
        ({"unknown_limit": 0}, "unknown_limit: .*greater than 0"),
        ({"unknown_limit": "far"}, "unknown_limit: .*valid number"),
        ({"input": {"height": 0, "width": 8, "max_batch": 1}}, "input.height"),
        ({"product_thresholds": {"nut": 0.4}}, "names 'nut', which is not under products"),
        ({"graphs": {"fp32": "../fp32.onnx"}}, "does not stay inside the bundle"),
        ({"graphs": {"fp32": "/etc/passwd"}}, "does not stay inside the bundle"),
        ({"graphs": {"fp32": "other.onnx"}}, "other.onnx has no SHA-256"),
        ({"schema_version": "one"}, "schema_version"),
    ],
)
def test_manifest_that_cannot_be_is_refused_in_one_line(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    write_contract_bundle(tmp_path / "line")
    edit_manifest(tmp_path / "line", **changes)
    with pytest.raises(BundleError, match=says) as caught:
        Bundle.open(tmp_path / "line")
    assert "\n" not in str(caught.value)
    assert FILE in str(caught.value)


@pytest.mark.parametrize("content", ["[]", "null", "3"])
def test_manifest_that_is_no_object_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(BundleError, match="is not valid"):
        Bundle.open(tmp_path)


def test_threshold_is_kept_and_can_differ_by_product(tmp_path: Path) -> None:
    changed = write_contract_bundle(tmp_path / "line").set_threshold(0.7).set_threshold(0.4, "bolt")
    opened = Bundle.open(tmp_path / "line").manifest
    assert opened == changed.manifest
    assert opened.threshold_for(None) == 0.7
    assert opened.threshold_for("bolt") == 0.4
    assert opened.threshold_for("washer") == 0.7


def test_threshold_that_cannot_be_leaves_the_manifest_alone(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    for value in (0.0, -0.5, float("nan"), float("inf"), 1e300):
        with pytest.raises(ConfigError, match="cannot be a threshold"):
            bundle.set_threshold(value)
        with pytest.raises(ConfigError, match="is no threshold"):
            require_threshold(value)
    with pytest.raises(ConfigError, match="unknown product 'nut'.*bolt, washer"):
        bundle.set_threshold(0.5, "nut")
    assert Bundle.open(tmp_path / "line") == bundle


def test_a_threshold_that_passes_everything_is_refused_wherever_it_was_written(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    for change in ({"threshold": 1e300}, {"product_thresholds": {"bolt": 1e300}}, {"unknown_limit": 1e300}):
        edit_manifest(tmp_path / "line", **(json.loads(bundle.manifest.model_dump_json(by_alias=True)) | change))
        with pytest.raises(BundleError, match="less than or equal to 100"):
            Bundle.open(tmp_path / "line")


def test_unknown_limit_is_kept_and_must_be_a_distance(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    assert bundle.manifest.unknown_limit == 1.0
    for value in (0.0, -1.0, float("nan"), float("inf")):
        plain = "all parts would be above it, or none. Give a number above 0 and up to 100"
        with pytest.raises(ConfigError, match=f"cannot be the limit of unknown products: {plain}, such as 1"):
            bundle.set_unknown_limit(value)
        with pytest.raises(ConfigError, match=f"cannot be a threshold: {plain}, such as 0.5"):
            bundle.set_threshold(value, "bolt")
    assert bundle.set_unknown_limit(1.3) == Bundle.open(tmp_path / "line")
    assert Bundle.open(tmp_path / "line").manifest.unknown_limit == 1.3


def test_bundle_whose_graphs_recognise_nothing_is_refused(tmp_path: Path) -> None:
    write_contract_bundle(tmp_path / "line")
    edit_manifest(tmp_path / "line", schema_version=1)
    with pytest.raises(BundleError, match=r"schema version 1: .*recognise products.*build again"):
        Bundle.open(tmp_path / "line")


@pytest.fixture
def read_only_bundle() -> Iterator[Bundle]:
    """A bundle in a folder that may not be written, by root neither (who becomes nobody for the test)."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    bundle = write_contract_bundle(place / "line")
    (place / "line").chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield bundle
    finally:
        if is_root:
            os.seteuid(0)
        (place / "line").chmod(0o755)
        shutil.rmtree(place)


def test_read_only_bundle_opens_and_refuses_changes(read_only_bundle: Bundle) -> None:
    assert Bundle.open(read_only_bundle.path) == read_only_bundle
    with pytest.raises(OutputError, match=r"cannot write .*thresholds\.jsonl: Permission denied"):
        read_only_bundle.set_threshold(0.6)


def test_bundle_replaces_a_bundle_as_a_whole(tmp_path: Path) -> None:
    write_contract_bundle(tmp_path / "line", threshold=0.6)
    (tmp_path / "line" / "engines").mkdir()
    (tmp_path / "line" / "engines" / "old.engine").write_bytes(b"old")
    write_contract_bundle(tmp_path / "line", threshold=0.8)
    assert Bundle.open(tmp_path / "line").manifest.threshold == 0.8
    assert sorted(path.name for path in (tmp_path / "line").iterdir()) == ["fp16.onnx", "fp32.onnx", FILE, HISTORY]
    assert [path.name for path in tmp_path.iterdir()] == ["line"]


def test_what_people_keep_in_a_bundle_outlives_a_build_but_not_a_report_of_another_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = tmp_path / "line"
    write_contract_bundle(line, weights_sha256="a" * 64)
    for name in ("notes.txt", "report/index.html", "report/metrics.json", "verdicts/1.png", "engines/x.engine"):
        (line / name).parent.mkdir(exist_ok=True)
        (line / name).write_text(name)
    write_contract_bundle(line, weights_sha256="a" * 64)
    kept = {path.relative_to(line).as_posix() for path in line.rglob("*") if path.is_file()}
    assert kept >= {"notes.txt", "report/index.html", "report/metrics.json", "verdicts/1.png"}
    assert "engines/x.engine" not in kept
    assert "report is kept: the same model" in " ".join(capsys.readouterr().err.split())
    write_contract_bundle(line, weights_sha256="b" * 64)
    assert "report is removed: it tells of another model" in " ".join(capsys.readouterr().err.split())
    assert not (line / "report").exists()
    assert (line / "verdicts" / "1.png").read_text() == "verdicts/1.png"
    (line / "int8.onnx").write_text("somebody's own")
    before = Bundle.open(line)
    with pytest.raises(BundleError, match=r"int8\.onnx is none of the bundle's files"):
        write_contract_bundle(line, attachments={"int8.onnx": "x"})
    assert Bundle.open(line) == before
    assert (line / "int8.onnx").read_text() == "somebody's own"


def test_a_bundle_of_an_earlier_model_is_shown_and_said_to_be_refused(tmp_path: Path) -> None:
    doubt = "gear: 2 of 40 training images look unlike all others"
    bundle = write_contract_bundle(tmp_path / "run" / "bundle", weights_sha256="a" * 64, doubts=(doubt,))
    whole = describe(bundle.path)
    assert whole.record["refused"] is None
    assert (whole.lines[0], whole.lines[2:4]) == (f"bundle {bundle.path}: intact", ["1 doubt:", f"  {doubt}"])
    headings = [line for line in whole.lines if line and not line.startswith(" ")]
    assert headings[2:5] == [
        "products and thresholds, for a budget of 1.0 % false rejects",
        "unknown products",
        "input",
    ]
    assert any(line.split()[:2] == ["bolt", "0.500"] for line in whole.lines)
    later = {"calibration": bundle.manifest.score_scale.model_dump(), "weights_sha256": "b" * 64}
    (tmp_path / "run" / "checkpoint.json").write_text(json.dumps(later))
    with pytest.raises(BundleError, match="is not of the model"):
        Bundle.open(bundle.path)
    stale = describe(bundle.path)
    assert stale.lines[0].startswith("refused for use: it is not of the model in")
    assert "the run was trained again since" in stale.lines[0]
    assert stale.lines[1:] == whole.lines
    assert stale.record["refused"] in stale.lines[0]


def test_files_keep_the_name_that_the_score_scale_has_had_in_them(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    scale = bundle.manifest.score_scale.model_dump(mode="json")
    for said in (json.loads((bundle.path / FILE).read_text()), describe(bundle.path).record):
        assert said["calibration"] == scale
        assert said["calibrations"] == {}
        assert not said.keys() & {"score_scale", "score_scales"}
    other = {**scale, "raw_threshold": 0.7}
    edit_manifest(bundle.path, calibration=other, calibrations={"fp32": other})
    read = Bundle.open(bundle.path).manifest
    assert read.score_scale.raw_threshold == read.score_scales["fp32"].raw_threshold == 0.7


def test_folder_that_is_no_bundle_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "line").mkdir()
    (tmp_path / "line" / "photo.png").write_bytes(b"precious")
    with pytest.raises(BundleError, match="exists and is no bundle"):
        write_contract_bundle(tmp_path / "line")
    assert (tmp_path / "line" / "photo.png").read_bytes() == b"precious"


def test_failing_to_write_leaves_the_old_bundle(tmp_path: Path) -> None:
    old = write_contract_bundle(tmp_path / "line")
    graph = write_contract_graph(tmp_path / "graph.onnx")
    with pytest.raises(BundleError, match=r"missing\.onnx is missing"):
        write_bundle(
            tmp_path / "line",
            {"fp32": graph, "fp16": tmp_path / "missing.onnx"},
            BundleContent(
                name="new", input=old.manifest.input, products=("nut",), score_scale=old.manifest.score_scale
            ),
        )
    assert Bundle.open(tmp_path / "line") == old
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graph.onnx", "line"]


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write .*line: "):
        write_contract_bundle(tmp_path / "file" / "line")


def test_unknown_precision_names_those_present(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    with pytest.raises(BundleError, match="no int8 graph: it has fp32, fp16"):
        bundle.graph("int8")


def test_engines_are_read_with_their_side_files(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    record = write_engine(bundle)
    assert bundle.engines() == [record]
    assert read_engine(bundle.engine_path(record), record) == b"engine"


def test_packed_engine_comes_unpacked_or_says_that_it_cannot(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    record = write_engine(bundle, pack(b"engine")).model_copy(update={"packed": True})
    assert read_engine(bundle.engine_path(record), record) == b"engine"
    half = write_engine(bundle, pack(b"engine")[:-4]).model_copy(update={"packed": True})
    with pytest.raises(EngineError, match=r"cannot be unpacked.*snl-edge build"):
        read_engine(bundle.engine_path(half), half)


def test_changed_or_missing_engine_says_how_to_build_it_again(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    record = write_engine(bundle)
    path = bundle.engine_path(record)
    _flip_a_byte(path, 2)
    rebuild = f"snl-edge build {bundle.path} --precision fp16"
    with pytest.raises(EngineError, match=f"{path} is damaged.*{rebuild}"):
        read_engine(path, record)
    path.unlink()
    with pytest.raises(EngineError, match=f"cannot read engine {path}.*{rebuild}"):
        read_engine(path, record)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"flavour": "onnxruntime"}, "flavour"),
        ({"compute_capabilities": ["sm87"]}, "compute_capabilities"),
        ({"profiles": [{"min": 1, "opt": 8, "max": 4}]}, "ascending order"),
        ({"profiles": [{"min": 2, "opt": 4, "max": 4}]}, "no profile takes batch 1"),
        ({"profiles": [{"min": 1, "opt": 1, "max": 1}, {"min": 3, "opt": 4, "max": 4}]}, "no profile takes batch 2"),
        ({"file": "../other.engine"}, "file"),
        ({"file": "other.engine"}, "describes other.engine"),
    ],
)
def test_side_file_that_cannot_be_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    record = write_engine(bundle)
    side = bundle.engine_path(record).with_suffix(".json")
    side.write_text(json.dumps({**record.model_dump(mode="json"), **changes}))
    with pytest.raises(EngineError, match=f"{side} is not valid: .*{says}"):
        bundle.engines()


def test_what_helps_is_named_as_it_works_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build without an engine is named where none can be built; one into the bundle's own place."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    run = tmp_path / "line 3"
    bundle = write_contract_bundle(run / "bundle").path
    (bundle / "fp32.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=r"is damaged.* build it again from its run: snl-edge build RUN --onnx-only"):
        Bundle.open(bundle)
    (run / "checkpoint.json").write_text("{}")
    with pytest.raises(BundleError, match=f"from its run: snl-edge build '{run}' --onnx-only\\.$"):
        Bundle.open(bundle)
    bundle = bundle.rename(run / "other")
    with pytest.raises(BundleError, match=f"snl-edge build '{run}' --onnx-only --out '{run}/other'\\.$"):
        Bundle.open(bundle)
    (bundle / FILE).write_bytes(b"{")
    with pytest.raises(BundleError, match="or remove it and build it again from its run: snl-edge build"):
        Bundle.open(bundle)


def test_manifest_is_frozen() -> None:
    assert Manifest.model_config.get("frozen")
