"""What people choose on a line outlives it: recipe, pause, shadow mode, thresholds, against what its file says."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lines import line_config, picture, running, wait_for, write_picture
from resealed import edit_manifest

from snl_edge.service.check import check_line
from snl_edge.stream.config.line_config import LineConfig
from snl_edge.stream.control.interface import Check
from snl_edge.stream.line import RunningLine
from studies.small_bundle import write_small_bundle


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    """Two recipes: ``a``, which the line's file names, and ``b``."""
    for name, side in (("a", 64), ("b", 96)):
        write_small_bundle(tmp_path / "bundles" / name, side)
    (tmp_path / "parts").mkdir()
    return tmp_path / "bundles"


def line_of(bundles: Path, recipe: str = "a", **changes: object) -> LineConfig:
    folder = bundles.parent
    watched = {"source": {"type": "folder", "path": folder / "parts", "watch": True, "poll_s": 0.02}}
    return line_config(bundles / recipe, folder, camera=watched, **changes)


def told(line: RunningLine, name: str) -> Check | None:
    return next((check for check in line.status().checks if check.name == name), None)


def text(line: RunningLine, name: str) -> str:
    check = told(line, name)
    assert check is not None
    return check.text


def test_recipe_pause_shadow_mode_and_thresholds_outlive_the_line(
    bundles: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(line_of(bundles)) as line:
        assert not {"recipe", "pause", "shadow mode"} & {check.name for check in line.status().checks}
        line.change_recipe(bundles / "b", "anna")
        line.set_threshold(0.6, None, "anna")
        line.set_shadow(True, "ben")
        line.pause(True, "ben")
        assert text(line, "pause").startswith("paused by ben on 20")
    with running(line_of(bundles)) as line:
        status = line.status()
        assert line.state.recipe.path == bundles / "b"
        assert (status.state, status.shadow, status.threshold) == ("paused", True, 0.6)
        assert f"{bundles / 'b'}, chosen by anna on 20" in text(line, "recipe")
        kept = {one.subject: one.text for one in check_line(line_of(bundles), connect=False)}
        assert kept["kept recipe"] == text(line, "recipe")
        assert kept["kept pause"] == text(line, "pause")
        assert f"not {bundles / 'a'}, which the line's file names" in text(line, "recipe")
        assert "recipe: " + text(line, "recipe") in caplog.text
        assert "thresholds: other products 0.600, set by anna on 20" in caplog.text
        assert text(line, "pause").startswith("paused by ben on 20")
        assert text(line, "shadow mode").startswith("on, set by ben on 20")
        write_picture(bundles.parent / "parts", "one", picture(0))
        wait_for(lambda: line.recorder.committed == 1)
        assert line.journal.after(0, 9)[0].record.reason == "paused"
        line.pause(False, "anna")
        line.set_shadow(False, "anna")
        line.change_recipe(bundles / "a", "anna")
        assert not {"recipe", "pause", "shadow mode"} & {check.name for check in line.status().checks}
    with running(line_of(bundles)) as line:
        assert line.state.recipe.path == bundles / "a"
        assert (line.status().state, line.status().shadow) == ("running", False)


def test_the_lines_file_counts_once_somebody_has_changed_it(bundles: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_small_bundle(bundles / "c", 80)
    with running(line_of(bundles, shadow=True)) as line:
        line.change_recipe(bundles / "b", "anna")
        line.set_shadow(False, "anna")
    with running(line_of(bundles, "c", shadow=True)) as line:
        assert line.state.recipe.path == bundles / "c"
        assert not line.status().shadow  # of that the file says what it said
        check = told(line, "recipe")
        assert check is not None
        assert check.light == "warning"
        assert f"{bundles / 'c'}: the line's file was changed since {bundles / 'b'} was chosen by anna" in check.text
        assert "recipe: " + check.text in caplog.text
        found = next(entry for entry in line.journal.audits() if entry.actor == "line's file")
        assert (found.action, found.detail) == ("recipe", {"before": str(bundles / "b"), "after": str(bundles / "c")})
    with running(line_of(bundles, shadow=False)) as line:  # the earlier choice does not come back with the earlier file
        assert line.state.recipe.path == bundles / "a"
        assert told(line, "recipe") is None


@pytest.mark.parametrize("loss", ["gone", "damaged", "unsuitable"])
def test_a_chosen_recipe_that_cannot_run_is_not_replaced_in_silence(bundles: Path, loss: str) -> None:
    with running(line_of(bundles)) as line:
        line.change_recipe(bundles / "b", "anna")
    config = line_of(bundles)
    if loss == "gone":
        shutil.move(bundles / "b", bundles / "aside")
    elif loss == "damaged":
        (bundles / "b" / "manifest.json").write_text("{}")
    else:
        shutil.rmtree(bundles / "b")
        bolts = write_small_bundle(bundles / "b", 96)
        edit_manifest(bolts.path, products=["bolt"])
        camera = config.cameras[0].model_copy(update={"product": "gear"})
        config = config.model_copy(update={"cameras": (camera,)})
    with running(config) as line:
        check = told(line, "recipe")
        assert check is not None
        assert check.light == "failed"
        assert f"{bundles / 'b'}, chosen by anna on 20" in check.text
        assert "cannot be run" in check.text
        assert line.status().state == "paused"
        write_picture(bundles.parent / "parts", "one", picture(0))
        wait_for(lambda: line.recorder.committed == 1)
        assert line.journal.after(0, 9)[0].record.reason == "paused"
    if loss == "gone":  # back again: nothing is left of it
        shutil.move(bundles / "aside", bundles / "b")
        with running(config) as line:
            assert (line.state.recipe.path, line.status().state) == (bundles / "b", "running")
        shutil.rmtree(bundles / "b")
    with running(config) as line:
        if loss == "damaged":
            line.change_recipe(bundles / "a", "ben")  # a choice ends the pause that waited for it
        else:
            line.pause(False, "ben")
        assert line.status().state == "running"
        assert told(line, "recipe") is None
    with running(config) as line:
        assert (line.state.recipe.path, line.status().state) == (bundles / "a", "running")


def test_thresholds_changed_elsewhere_are_told(bundles: Path, caplog: pytest.LogCaptureFixture) -> None:
    from snl_edge.runtime.bundle import Bundle

    with running(line_of(bundles)) as line:
        line.set_threshold(0.6, None, "anna")
    Bundle.open(bundles / "a").set_threshold(0.45)
    with running(line_of(bundles)):
        assert "(other products 0.450) are not those that this line had in force last, noted by anna" in caplog.text


def test_a_pause_of_the_self_test_ends_with_a_test_that_passes_and_no_other_pause_does(bundles: Path) -> None:
    samples = bundles.parent / "golden"
    write_picture(samples / "good", "wrong", picture(0, spot=True))
    config = line_of(bundles, golden={"folder": samples, "pause_on_failure": True})
    with running(config) as line:
        assert text(line, "pause").startswith("paused by self-test on 20")
    (samples / "good" / "wrong.png").unlink()
    write_picture(samples / "good", "right", picture(0))
    with running(config) as line:
        assert line.status().state == "running"
        line.pause(True, "anna")
    with running(config) as line:
        assert line.status().state == "paused"
        line.pause(False, "anna")
        write_picture(samples / "good", "wrong", picture(0, spot=True))
        assert line.self_test("ben").light == "failed"
        assert line.status().state == "paused"


def test_a_choice_is_on_disk_before_it_counts_and_survives_kill_9(bundles: Path) -> None:
    script = bundles.parent / "line.py"
    script.write_text(
        "import os, signal, sys\n"
        f"sys.path[:0] = {[str(Path(__file__).parents[level]) for level in (0, 1, 2)]}\n"
        "from pathlib import Path\n"
        "from test_line_choices import line_of\n"
        "from snl_edge.stream.line import RunningLine\n"
        f"bundles = Path({str(bundles)!r})\n"
        "line = RunningLine(line_of(bundles))\n"
        "line.start()\n"
        "line.change_recipe(bundles / 'b', 'anna')\n"
        "line.pause(True, 'anna')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, str(script)], env=dict(os.environ), timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    with running(line_of(bundles)) as line:
        assert (line.state.recipe.path, line.status().state) == (bundles / "b", "paused")


def test_a_line_that_cannot_start_leaves_its_journal_to_the_next(bundles: Path) -> None:
    from snl_edge.errors import BundleError

    with pytest.raises(BundleError):
        RunningLine(line_of(bundles, "nowhere"))
    with running(line_of(bundles)) as line:
        assert line.status().state == "running"
