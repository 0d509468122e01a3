"""The history of thresholds: nothing of it is lost, changed or taken from elsewhere unseen."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from contract_graph import write_contract_bundle

from snl_edge.errors import BundleError, ConfigError, OutputError
from snl_edge.runtime import threshold_history
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.manifest import FILE as MANIFEST
from snl_edge.runtime.manifest import sha256_of
from snl_edge.runtime.manifest_file import manifest_text, parse_manifest, read_manifest
from snl_edge.runtime.threshold_history import FILE, parse_history
from snl_edge.runtime.tuning import Tuning, tuning_of
from snl_edge.stream.steering.thresholds import thresholds_in_force

FORK = multiprocessing.get_context("fork")
"""Processes that have imported everything already: what is tested is what they do at once."""


def set_many(bundle: Path, own: int, each: int) -> None:
    for number in range(each):
        opened = Bundle.open(bundle)
        value = 0.2 + (own * each + number) / 1e5
        opened.set_threshold(value, opened.manifest.products[own], by=f"setter {own}", why=str(number))


def setters(bundle: Path, processes: int, each: int) -> float:
    """Sets thresholds of the bundle's products from several processes at once; seconds."""
    begin = time.monotonic()
    running = [FORK.Process(target=set_many, args=(bundle, own, each)) for own in range(processes)]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * processes
    return time.monotonic() - begin


def none_is_lost(folder: Path, processes: int, each: int) -> None:
    products = tuple(f"part {own}" for own in range(processes))
    bundle = write_contract_bundle(folder / "line", products=products)
    seconds = setters(bundle.path, processes, each)
    print(f"{processes * each} changes by {processes} processes in {seconds:.1f} s")
    found = Bundle.open(bundle.path)
    made = {(own.by, own.why) for own in found.history.changes}
    assert made == {(f"setter {own}", str(number)) for own in range(processes) for number in range(each)}
    assert len(found.history.changes) == processes * each
    for own, product in enumerate(products):
        assert found.manifest.threshold_for(product) == 0.2 + (own * each + each - 1) / 1e5


def test_no_change_of_eight_processes_is_lost(tmp_path: Path) -> None:
    none_is_lost(tmp_path, 8, 25)


@pytest.mark.skipif("SNL_EDGE_LONG" not in os.environ, reason="a minute; SNL_EDGE_LONG=1 runs it")
def test_no_change_of_a_thousand_is_lost(tmp_path: Path) -> None:
    none_is_lost(tmp_path, 8, 125)


def test_what_was_changed_by_whom_and_why_is_kept_and_the_manifest_is_as_the_build_wrote_it(tmp_path: Path) -> None:
    built = write_contract_bundle(tmp_path / "line")
    before = (built.path / MANIFEST).read_bytes()
    built.set_threshold(0.6, "bolt", by="Anna", why="scratches of lot 7").set_unknown_limit(1.2)
    reset = Bundle.open(built.path).with_tuning_reset().save(by="Ben")
    first, second, third = reset.history.changes
    assert (first.line, first.by, first.why, first.kind) == (1, "Anna", "scratches of lot 7", "set")
    assert (first.before.plain(), first.after.plain()) == (
        {"product_thresholds": {"bolt": None}},
        {"product_thresholds": {"bolt": 0.6}},
    )
    assert first.previous == built.root == built.built.digest
    assert second.by.endswith(f"@{os.uname().nodename}")
    assert (second.previous, third.kind, third.by) == (first.digest, "reset", "Ben")
    assert third.before.plain()["product_thresholds"] == {"bolt": 0.6}
    assert not tuning_of(reset.manifest)
    assert reset.manifest.product_thresholds == {}
    assert (built.path / MANIFEST).read_bytes() == before
    assert Bundle.open(built.path) == reset


def test_a_line_says_by_whom_thresholds_were_set_that_it_did_not_set(journal, tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line").set_threshold(0.6, "bolt", by="Anna")
    told = thresholds_in_force(journal, bundle, "start").told
    assert told.startswith("bolt 0.600 set by Anna on 2")
    assert told.endswith(f", in {bundle.path}")
    told = thresholds_in_force(journal, bundle.set_threshold(0.7, "bolt", by="Ben"), "start").told
    assert "they were changed elsewhere (last by Ben on 2" in told


def test_a_change_that_changes_nothing_or_cannot_be_told_is_not_written(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line").set_threshold(0.6, "bolt")
    content = (bundle.path / FILE).read_bytes()
    assert bundle.set_threshold(0.6, "bolt") == bundle
    for by in ("\x1b[31mAnna", "x" * 501):
        with pytest.raises(ConfigError, match="cannot be put on record"):
            bundle.set_threshold(0.7, "bolt", by=by)
    assert (bundle.path / FILE).read_bytes() == content


def test_a_line_that_a_power_cut_left_is_not_in_force_is_said_and_is_removed_by_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = write_contract_bundle(tmp_path / "line").set_threshold(0.6, "bolt")
    file = bundle.path / FILE
    whole = file.read_bytes()
    other = bundle.set_threshold(0.8, "bolt")
    longer = file.read_bytes()
    for end in (*range(len(whole) + 1, len(longer), 40), len(longer) - 1):
        file.write_bytes(longer[:end])
        caplog.clear()
        found = Bundle.open(bundle.path)
        assert found.manifest == bundle.manifest
        assert f"cut off as it was written, as by a power cut ({end - len(whole)} bytes)" in caplog.text
    again = found.set_threshold(0.7, "washer")
    assert file.read_bytes().startswith(whole)
    assert Bundle.open(bundle.path) == again != other
    assert [own.line for own in again.history.changes] == [1, 2]


@pytest.mark.parametrize(("size", "says"), [(1 << 21, "its last line has .* bytes, and no end"), (1 << 30, "1.0 GiB")])
def test_a_history_of_any_size_is_not_read(tmp_path: Path, size: int, says: str) -> None:
    """Zeros at its end, as a broken disk or a copy that failed leaves them, are no power cut's half line."""
    bundle = write_contract_bundle(tmp_path / "line").set_threshold(0.45)
    os.truncate(bundle.path / FILE, size)
    with pytest.raises(BundleError, match=says):
        Bundle.open(bundle.path)


def test_a_disk_that_is_full_leaves_the_history_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = write_contract_bundle(tmp_path / "line").set_threshold(0.6, "bolt")
    content = (bundle.path / FILE).read_bytes()
    write = os.write
    monkeypatch.setattr(threshold_history.os, "write", lambda file, data: write(file, data[:20]))
    with pytest.raises(OutputError, match=r"cannot write .*thresholds\.jsonl: No space left"):
        bundle.set_threshold(0.7, "bolt")
    assert (bundle.path / FILE).read_bytes() == content


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda lines: [lines[0], lines[2]], "line 2 of .* does not follow: lines before it are missing"),
        (lambda lines: lines[1:], "line 1 of .* does not follow: lines before it are missing"),
        (lambda lines: [lines[0], lines[0], *lines[1:]], "line 2 of .* does not follow"),
        (lambda lines: [lines[0].replace(b"0.6", b"0.9"), *lines[1:]], "line 1 of .* is damaged: its digest"),
        (lambda lines: [lines[0].replace(b'": ', b'":'), *lines[1:]], "line 1 of .* is damaged: it is not as it was"),
        (lambda lines: [*lines[:2], b"", lines[2]], "line 3 of .* is damaged"),
    ],
)
def test_a_damaged_line_refuses_the_bundle_with_a_remedy(tmp_path: Path, damage, says: str) -> None:
    bundle = write_contract_bundle(tmp_path / "line").set_threshold(0.6, "bolt")
    bundle.set_threshold(0.7, "bolt").set_threshold(0.8, "washer")
    file = bundle.path / FILE
    lines = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([*damage(lines), b""]))
    with pytest.raises(BundleError, match=f"{says}.*empty file"):
        Bundle.open(bundle.path)
    with pytest.raises(BundleError, match=says):
        bundle.set_threshold(0.75, "bolt")
    file.write_bytes(b"")
    assert Bundle.open(bundle.path).manifest == bundle.built


def test_a_history_of_another_bundle_or_none_is_refused(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line").set_threshold(0.6, "bolt")
    other = write_contract_bundle(tmp_path / "other", doubts=("another one",))
    shutil.copy(bundle.path / FILE, other.path / FILE)
    with pytest.raises(BundleError, match="does not follow: it belongs to another bundle"):
        Bundle.open(other.path)
    (other.path / FILE).unlink()
    with pytest.raises(BundleError, match="is missing: the thresholds in force are unknown"):
        Bundle.open(other.path)


def test_a_build_that_replaces_a_damaged_history_says_that_its_thresholds_are_not_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_contract_bundle(tmp_path / "line").set_threshold(0.6, "bolt")
    (bundle.path / "notes.txt").write_text("mine")
    (bundle.path / FILE).write_bytes(b"{}\n")
    again = write_contract_bundle(bundle.path, kept_tuning=lambda earlier: tuning_of(earlier.manifest))
    said = " ".join(capsys.readouterr().err.split())
    assert "thresholds set in the bundle" in said
    assert "are not kept: line 1 of" in said
    assert not again.history.changes
    assert (bundle.path / "notes.txt").read_text() == "mine"


def test_a_rebuild_keeps_who_set_each_value_that_it_keeps_and_why(
    tmp_path: Path, journal, snl_edge: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    old = write_contract_bundle(tmp_path / "line").set_threshold(0.6, "washer", by="Anna", why="scratches of lot 7")
    old = old.set_threshold(0.55, "bolt", by="Anna").set_unknown_limit(1.3, by="Ben", why="new lamp")
    old = old.set_threshold(0.65, "bolt", by="Carla", why="dents").with_tuning_reset("washer").save(by="Carla")
    old = old.set_threshold(0.7, "washer", by="Anna", why="scratches again")
    *_, limit, bolt, _, washer = old.history.changes
    for doubt in ("new", "newer"):  # a second rebuild keeps what the first one kept
        new = write_contract_bundle(old.path, doubts=(doubt,), kept_tuning=lambda own: tuning_of(own.manifest))
        kept = new.history.changes
        for one, before in zip(kept, (limit, bolt, washer), strict=True):
            assert (one.kind, one.by, one.why, one.time, one.after) == (
                "kept",
                before.by,
                before.why,
                before.time,
                before.after,
            )
        assert kept[0].previous == new.built.digest
        assert [str(own) for own in kept] == [
            "limit of unknown 1.000 → 1.300",
            "bolt none of its own → 0.650",
            "washer none of its own → 0.700",
        ]
    set_by = {name: f"set by {own.by} on {own.time}, kept by a build" for name, own in (("bolt", bolt), ("l", limit))}
    told = thresholds_in_force(journal, new, "start").told
    assert f"bolt 0.650 {set_by['bolt']}" in told
    assert f"limit of unknown 1.300 {set_by['l']}" in told
    assert f"{set_by['bolt']} (training chose 0.500)" in (shown := snl_edge("threshold", new.path).stdout)
    assert f"1.300, {set_by['l']}" in shown
    assert set_by["bolt"] in (inspected := snl_edge("inspect", new.path).stdout)
    assert set_by["l"] in inspected
    assert ": dents" in inspected
    assert "0 changes of thresholds since the build, 3 kept from before it" in inspected


def test_a_value_that_nobody_is_known_to_have_set_is_kept_in_the_builder_s_name(tmp_path: Path) -> None:
    old = write_contract_bundle(tmp_path / "line", unknown_limit=1.2)
    new = write_contract_bundle(old.path, kept_tuning=lambda earlier: tuning_of(earlier.manifest))
    (kept,) = new.history.changes
    assert kept.by.endswith(f"@{os.uname().nodename}")
    assert kept.why == f"it stood in the bundle of {old.built.created}, which does not say who set it"


def test_a_build_says_which_engines_and_that_a_signature_go_with_the_earlier_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    write_contract_bundle(bundle.path)
    assert "earlier" not in capsys.readouterr().err
    (bundle.path / "engines").mkdir()
    (bundle.path / "engines" / "orin.engine").write_bytes(b"engine")
    (bundle.path / "signature.json").write_text("{}")
    write_contract_bundle(bundle.path)
    said = " ".join(capsys.readouterr().err.split())
    assert "the earlier bundle's engine orin.engine removed, made of its graphs" in said
    assert f": on each device, `snl-edge build {bundle.path}`" in said
    assert f"this one has none: snl-edge sign {bundle.path} --key FILE" in said
    assert not (bundle.path / "engines").exists()


def test_whoever_opened_a_bundle_that_was_built_anew_sets_nothing_in_it(tmp_path: Path) -> None:
    old = write_contract_bundle(tmp_path / "line").set_threshold(0.6, "bolt", by="Anna")
    new = write_contract_bundle(old.path, doubts=("another",), kept_tuning=lambda earlier: tuning_of(earlier.manifest))
    (kept,) = new.history.changes
    assert (kept.kind, kept.after.plain()) == ("kept", {"product_thresholds": {"bolt": 0.6}})
    assert kept.by == "Anna"
    assert new.manifest.threshold_for("bolt") == 0.6
    assert new.built.product_thresholds == {}
    with pytest.raises(BundleError, match="was built again since it was opened"):
        old.set_threshold(0.7, "bolt")
    assert Bundle.open(new.path) == new


def test_a_change_waits_for_a_build_that_takes_the_folder_s_place(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    begin, said = FORK.Event(), FORK.Queue()

    def set_one() -> None:
        begin.wait(30)
        try:
            bundle.set_threshold(0.6, by="late")
        except BundleError as error:
            said.put(str(error))

    setter = FORK.Process(target=set_one)
    setter.start()  # before the lock is taken, which a forked process would hold, too

    def keep(earlier: Bundle) -> Tuning:
        begin.set()
        setter.join(0.2)
        assert setter.is_alive()  # it waits
        return tuning_of(earlier.manifest)

    write_contract_bundle(bundle.path, doubts=("new",), kept_tuning=keep)
    setter.join(30)
    assert "was built again since it was opened" in said.get(timeout=30)
    assert not Bundle.open(bundle.path).history.changes


def test_a_bundle_of_version_2_keeps_its_manifest_and_gets_a_history(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    file = bundle.path / MANIFEST
    content = {**json.loads(file.read_text()), "schema_version": 2, "threshold": 0.55}
    del content["digest"]
    file.write_text(json.dumps(content, indent=2))
    (bundle.path / FILE).unlink()
    opened = Bundle.open(bundle.path)
    assert (opened.manifest.threshold, opened.root) == (0.55, sha256_of(file))
    changed = opened.set_threshold(0.6, by="Anna")
    assert changed == Bundle.open(bundle.path)
    assert changed.history.changes[0].previous == sha256_of(file)
    assert changed.history.changes[0].before.threshold == 0.55
    assert json.loads(file.read_text())["threshold"] == 0.55
    file.write_text(json.dumps({**content, "threshold": 0.7}))
    with pytest.raises(BundleError, match="does not follow: it belongs to another bundle"):
        Bundle.open(bundle.path)


def test_one_who_waits_for_the_lock_gives_up_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snl_edge.runtime import file_lock

    bundle = write_contract_bundle(tmp_path / "line")
    monkeypatch.setattr(file_lock, "PATIENCE_S", 0.05)
    with file_lock.locked(bundle.path / FILE, os.O_RDWR):
        with pytest.raises(OutputError, match="another process has been holding it"):
            bundle.set_threshold(0.6)
        with pytest.raises(BundleError, match="another process has been holding it"):
            Bundle.open(bundle.path)
    (bundle.path / FILE).unlink()
    os.mkfifo(bundle.path / FILE)
    with pytest.raises(BundleError, match="no regular file"):
        Bundle.open(bundle.path)


def flips(content: bytes) -> Iterator[tuple[int, bytes]]:
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << (bit % 8)
        yield bit, bytes(changed)


def test_every_flipped_bit_of_a_manifest_is_refused_or_without_effect(tmp_path: Path) -> None:
    """Without effect: what is read is the same. SNL_EDGE_TEST_BUNDLE gives another manifest."""
    bundle = write_contract_bundle(
        tmp_path / "line",
        product_thresholds={"bolt": 0.4375, "washer": 1e-05},
        gates={"fp16": {"failures": [], "images": 40, "verdict_flips": 0}},
        metrics={"image_auroc": 0.98},
        doubts=("größer als 1",),
        weights_sha256="a" * 64,
    ).path
    path = Path(os.environ.get("SNL_EDGE_TEST_BUNDLE", bundle)) / MANIFEST
    content, written = path.read_bytes(), read_manifest(path)
    unseen = refused = 0
    for bit, changed in flips(content):
        try:
            assert parse_manifest(changed, path) == written, bit
            unseen += 1
        except BundleError:
            refused += 1
    print(f"{refused} flips of a manifest refused, {unseen} without effect, of {8 * len(content)} bits")
    assert refused > 0.99 * (refused + unseen)


def test_every_flipped_bit_of_a_history_is_refused(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line").set_threshold(0.6, "bolt", by="Jörg J.", why="Just 1 e-3")
    bundle = bundle.set_threshold(0.7, by="Jim").set_unknown_limit(1.2, by="Jim")
    path = bundle.path / FILE
    for bit, changed in flips(path.read_bytes()):
        with pytest.raises(BundleError):
            pytest.fail(f"bit {bit} gives {parse_history(path, changed, bundle.root)}")


def test_a_manifest_s_text_reads_back_as_it_was_and_repeated_keys_are_refused(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line", metrics={"small": 1e-7, "große": [1, 2.5, None, True]})
    assert (bundle.path / MANIFEST).read_text() == manifest_text(bundle.built)
    text = (bundle.path / MANIFEST).read_text()
    (bundle.path / MANIFEST).write_text(text.replace('"name"', '"threshold": 0.5,\n  "name"'))
    with pytest.raises(BundleError, match="'threshold' stands there twice"):
        Bundle.open(bundle.path)
    (bundle.path / MANIFEST).write_text(text.replace("1e-07", "1E-7"))
    assert Bundle.open(bundle.path) == bundle
    (bundle.path / MANIFEST).write_text(
        text.replace('"bolt"', '"x"').replace('"washer"', '"bolt"').replace('"x"', '"washer"')
    )
    with pytest.raises(BundleError, match="its digest is not that of what it says.*snl-edge build RUN"):
        Bundle.open(bundle.path)
