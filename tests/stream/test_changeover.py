"""Changeover as a procedure: golden samples decide before another recipe or threshold takes force."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from lines import SIDE, line_config, picture, running, wait_for, write_picture

from snl_edge.errors import BusyError, ConfigError
from snl_edge.runtime.bundle import Bundle
from snl_edge.service.check import check_line
from snl_edge.stream.config.line_config import LineConfig
from snl_edge.stream.control.interface import Check
from snl_edge.stream.journal.journal import AuditEntry
from snl_edge.stream.line import RunningLine
from snl_edge.stream.pipeline.golden import NOTHING_CHECKED
from snl_edge.stream.steering import steering
from studies.small_bundle import write_small_bundle


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    """``a`` and ``b`` judge alike; ``blind`` passes what the samples say is to be rejected."""
    folder = tmp_path / "bundles"
    write_small_bundle(folder / "a", SIDE)
    shutil.copytree(folder / "a", folder / "b")
    shutil.copytree(folder / "a", folder / "blind")
    Bundle.open(folder / "blind").set_threshold(90.0)
    write_picture(tmp_path / "golden" / "good", "plain", picture(0))
    write_picture(tmp_path / "golden" / "reject", "spotted", picture(1, spot=True))
    (tmp_path / "parts").mkdir()
    return folder


def line_of(bundles: Path, **changes: object) -> LineConfig:
    folder = bundles.parent
    watched = {"source": {"type": "folder", "path": folder / "parts", "watch": True, "poll_s": 0.02}}
    golden = {"golden": {"folder": folder / "golden", "pause_on_failure": True}}
    return line_config(bundles / "a", folder, camera=watched, **{**golden, **changes})


def told(line: RunningLine, name: str) -> Check | None:
    return next((check for check in line.status().checks if check.name == name), None)


def refusals(line: RunningLine) -> list[AuditEntry]:
    return [entry for entry in line.journal.audits() if entry.action == "refused"]


def test_a_recipe_that_fails_its_golden_samples_does_not_take_over(bundles: Path) -> None:
    with running(line_of(bundles)) as line:
        with pytest.raises(ConfigError, match=r"does not pass its golden samples: 1 of 2 samples: reject/spotted\.png"):
            line.change_recipe(bundles / "blind", "anna")
        assert line.state.recipe.path == bundles / "a"
        assert line.status().state == "running"
        check = told(line, "recipe change")
        assert check is not None
        assert check.light == "warning"
        assert f"{bundles / 'blind'} was refused to anna on 20" in check.text
        assert f"{bundles / 'a'} goes on: recipe small does not pass" in check.text
        (entry,) = refusals(line)
        assert (entry.actor, entry.detail["change"]) == ("anna", "recipe")
        assert "reject/spotted.png is good" in str(entry.detail["why"])
        write_picture(bundles.parent / "parts", "one", picture(2, spot=True))
        wait_for(lambda: line.recorder.committed == 1)
        assert line.journal.after(0, 9)[0].record.verdict == "reject"
        assert line.change_recipe(bundles / "b", "anna") == Check("self-test", "ok", "2 samples judged rightly")
        assert told(line, "recipe change") is None
        assert told(line, "self-test") == Check("self-test", "ok", "2 samples judged rightly")
        changed = next(entry for entry in line.journal.audits() if entry.action == "recipe")
        assert changed.detail["golden"] == "2 samples judged rightly"


def test_a_recipe_with_samples_of_its_own_is_judged_by_these(bundles: Path) -> None:
    """The folder is that of the bundle: all of these have one name in their manifests."""
    samples = bundles.parent / "golden"
    for name in ("b", "blind"):
        write_picture(samples / name / "good", "also fine", picture(3, spot=True))
    config = line_of(bundles, dashboard={"port": 0, "bundles": bundles})
    with running(config) as line:
        with pytest.raises(ConfigError, match=r"1 samples of .*golden/b: good/also fine\.png .* a folder b below"):
            line.change_recipe(bundles / "b", "anna")
        assert line.change_recipe(bundles / "blind", "anna").text == f"1 samples of {samples / 'blind'} judged rightly"


def test_samples_of_no_bundle_are_told(bundles: Path) -> None:
    samples = bundles.parent / "golden"
    for name in ("small", "b", ".hidden"):  # "small" is the name in the manifests, and no bundle's folder
        write_picture(samples / name / "good", "any", picture(0))
    said = "; folders there of no bundle, never judged: "
    with running(line_of(bundles)) as line:  # without a folder of bundles there is its own alone
        assert line.self_test("anna").text == f"2 samples judged rightly{said}b, small"
        check = line.set_threshold(0.6, "gear", "anna")
        assert check == told(line, "self-test")
        assert check is not None
        assert check.text.endswith(said + "b, small")
    config = line_of(bundles, dashboard={"port": 0, "bundles": bundles})
    found = next(one.text for one in check_line(config, connect=False) if one.subject == "self-test")
    assert found == f"1 good and 1 reject samples, judged at start and on demand{said}small"


def test_without_golden_samples_nothing_is_checked_and_it_says_so(bundles: Path) -> None:
    with running(line_of(bundles, golden=None)) as line:
        assert line.change_recipe(bundles / "blind", "anna") == NOTHING_CHECKED
        assert line.set_threshold(80.0, None, "anna", confirmed=True) == NOTHING_CHECKED
        assert line.set_threshold(0.6, None, "anna") is None
        found = [entry.detail.get("golden") for entry in line.journal.audits() if entry.action == "threshold"]
        assert found[:2] == [None, "no golden samples: nothing was checked"]


def test_an_unusual_threshold_by_which_a_sample_flips_is_refused(bundles: Path) -> None:
    write_picture(bundles.parent / "golden" / "good", "never was", picture(4, spot=True))  # wrong before and after
    with running(line_of(bundles, golden={"folder": bundles.parent / "golden"})) as line:
        before = (bundles / "a" / "thresholds.jsonl").read_bytes()
        for value, name in ((90.0, "reject/spotted.png is good"), (1e-6, "good/plain.png is reject")):
            with pytest.raises(ConfigError, match=f"1 of 3 golden samples would be judged wrongly: {name}"):
                line.set_threshold(value, "gear", "anna", confirmed=True)
        assert (bundles / "a" / "thresholds.jsonl").read_bytes() == before
        assert line.status().threshold_version == 1
        assert [entry.detail["change"] for entry in refusals(line)] == ["threshold"] * 2
        check = line.set_threshold(0.15, "gear", "anna", confirmed=True)
        assert check is not None
        assert check.text.startswith("1 of 3 samples, as before: good/never was.png is reject")
        assert told(line, "self-test") == check
        assert line.set_threshold(0.5, "gear", "anna") == check  # the usual ones are tried, too
        assert [entry.detail.get("golden") for entry in line.journal.audits() if entry.action == "threshold"][:2] == [
            check.text
        ] * 2


def test_a_usual_threshold_by_which_a_sample_flips_is_refused_too(bundles: Path) -> None:
    with running(line_of(bundles)) as line:
        before = (bundles / "a" / "thresholds.jsonl").read_bytes()
        with pytest.raises(ConfigError, match=r"1 of 2 golden .* wrongly: reject/spotted\.png is good .*: nothing was"):
            line.set_threshold(0.74, "gear", "anna")
        assert (bundles / "a" / "thresholds.jsonl").read_bytes() == before
        assert told(line, "self-test") == Check("self-test", "ok", "2 samples judged rightly")
        assert [entry.detail["change"] for entry in refusals(line)] == ["threshold"]
        assert line.set_threshold(0.6, "gear", "anna") == told(line, "self-test")
        line.change_recipe(bundles / "b", "anna")
        assert line.status().state == "running"


def test_a_sample_lost_before_the_start_is_no_licence_to_lose_it(bundles: Path) -> None:
    Bundle.open(bundles / "a").set_threshold(0.74, "gear")
    with running(line_of(bundles, golden={"folder": bundles.parent / "golden"})) as line:
        wait_for(lambda: getattr(told(line, "self-test"), "light", None) == "failed")
        with pytest.raises(ConfigError, match=r"spotted\.png is good .*; 1 of them already are, and were not by"):
            line.set_threshold(0.9, "gear", "anna", confirmed=True)
        assert line.status().product_thresholds == {"gear": 0.74}
        assert line.set_threshold(0.5, "gear", "anna") == Check("self-test", "ok", "2 samples judged rightly")
        assert told(line, "self-test") == Check("self-test", "ok", "2 samples judged rightly")


def test_parts_are_judged_while_a_recipe_is_checked_and_a_second_change_is_told_to_wait(
    bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checking, judged = threading.Event(), threading.Event()
    real = steering.self_test

    def waits(*arguments: object) -> Check:
        checking.set()
        assert judged.wait(20)
        return real(*arguments)  # pyright: ignore[reportArgumentType]

    with running(line_of(bundles)) as line:
        monkeypatch.setattr(steering, "self_test", waits)
        change = threading.Thread(target=line.change_recipe, args=(bundles / "b", "anna"))
        change.start()
        assert checking.wait(20)
        check = told(line, "recipe change")
        assert check is not None
        assert f"{bundles / 'b'} is being loaded and checked, for anna" in check.text
        write_picture(bundles.parent / "parts", "one", picture(2, spot=True))
        wait_for(lambda: line.recorder.committed == 1)
        for second in (
            lambda: line.change_recipe(bundles / "b", "ben"),
            lambda: line.set_threshold(0.6, None, "ben"),
            lambda: line.self_test("ben"),
        ):
            with pytest.raises(BusyError, match="is running"):
                second()
        line.pause(True, "ben")  # which waits for nothing
        line.pause(False, "ben")
        assert line.state.recipe.path == bundles / "a"
        judged.set()
        change.join(20)
        assert line.state.recipe.path == bundles / "b"
        assert not refusals(line)


def test_the_same_refusal_in_a_loop_does_not_fill_the_audit(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snl_edge.stream.steering import audit as module

    with running(line_of(bundles)) as line:

        def ask() -> None:
            with pytest.raises(ConfigError):
                line.set_threshold(99.0, None, "anna")

        for _ in range(5):
            ask()
        assert len(refusals(line)) == 1
        monkeypatch.setattr(module, "AGAIN_S", 0.0)
        ask()
        assert [entry.detail.get("more") for entry in refusals(line)] == [4, None]
