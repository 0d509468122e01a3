"""A file is written whole or not at all."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from snl_edge import atomic
from snl_edge.atomic import replacing, replacing_folder, write_text
from snl_edge.errors import DataError, OutputError
from snl_edge.image import save_png
from snl_edge.training.tensors import save_tensors


def test_a_failure_keeps_the_old_file_and_leaves_no_trace(tmp_path):
    target = tmp_path / "new" / "file.txt"
    write_text(target, "old")
    with pytest.raises(ZeroDivisionError), replacing(target) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]
    write_text(target, "new")
    assert target.read_text() == "new"


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*file/below.*Choose a folder"):
        write_text(tmp_path / "file" / "below", "text")


def test_what_is_no_file_is_not_replaced_by_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for target in (pipe, tmp_path):
        with pytest.raises(OutputError, match=r"cannot write .*it is no regular file"):
            write_text(target, "text")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_errors_are_one_line_with_cause_and_remedy():
    error = DataError("images/7.png is\nno image", "the decoder refused it.", "record it again")
    assert str(error) == "images/7.png is no image: the decoder refused it. Record it again."
    assert str(DataError("nothing there")) == "nothing there."


def killed_in_the_middle(target: Path, how: str) -> None:
    """A process that dies with SIGKILL while it writes ``target``."""
    program = (
        "import os, signal, sys; from pathlib import Path; from snl_edge import atomic\n"
        f"with atomic.{how}(Path(sys.argv[1])) as temporary:\n"
        "    (temporary / 'half' if temporary.is_dir() else temporary).write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program, target], check=False).returncode == -signal.SIGKILL


@pytest.mark.parametrize("how", ["replacing", "replacing_folder"])
def test_what_a_kill_left_is_removed_by_the_next_writer(tmp_path, how):
    killed_in_the_middle(tmp_path / "thing", how)
    mine = tmp_path / ".snl-edge-settings"
    mine.write_text("a user's own")
    assert len(list(tmp_path.iterdir())) == 2
    with replacing(tmp_path / "other") as busy:
        busy.write_text("whole")
        atomic._swept.clear()
        write_text(tmp_path / "third", "")  # must leave alone what somebody is writing
    assert sorted(path.name for path in tmp_path.iterdir()) == [".snl-edge-settings", "other", "third"]


def test_a_folder_is_exchanged_whole(tmp_path):
    target = tmp_path / "bundle"
    for text in ("one", "two"):
        with replacing_folder(target) as new:
            (new / text).write_text(text)
    assert [path.name for path in target.iterdir()] == ["two"]
    with pytest.raises(ZeroDivisionError), replacing_folder(target) as new:  # noqa: PT012
        (new / "three").write_text("")
        raise ZeroDivisionError
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["bundle", "bundle/two"]


def test_where_names_cannot_be_exchanged_a_killed_writer_costs_no_folder(tmp_path, monkeypatch):
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").write_text("")
    monkeypatch.setattr(atomic, "_exchanged", lambda *_: False)
    with replacing_folder(target) as new:
        (new / "new").write_text("")
    assert [path.name for path in target.iterdir()] == ["new"]
    # As a kill between the two renames leaves it.
    left = tmp_path / ".bundle.snl-edge-0123456789ab"
    (left / "bundle").mkdir(parents=True)
    target.rename(left / ".earlier")
    atomic._swept.clear()
    write_text(tmp_path / "any", "")
    assert [path.name for path in target.iterdir()] == ["new"]
    assert not left.exists()


def test_a_name_as_long_as_names_can_be_is_written(tmp_path):
    for name in ("x" * 251 + ".txt", "ü" * 127, os.fsdecode(b"\xff" * 255)):
        write_text(tmp_path / name, "whole")
        assert (tmp_path / name).read_text() == "whole"


@pytest.fixture
def full_disk(tmp_path):
    """Every file that is written from now on ends after 4096 bytes: the kernel says EFBIG, as ENOSPC of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield tmp_path
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_libraries_that_write_say_that_a_disk_is_full(full_disk):
    """safetensors has an error of its own for it, and OpenCV's writer would have said nothing at all."""
    with pytest.raises(OutputError, match=r"cannot write .*weights.safetensors"):
        save_tensors({"a": torch.zeros(4096)}, full_disk / "weights.safetensors")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    with pytest.raises(OutputError, match=r"cannot write .*part.png"):
        save_png(full_disk / "part.png", noise)
    assert not list(full_disk.iterdir())


def test_what_another_writer_took_for_a_leftover_is_made_again(tmp_path, monkeypatch):
    """Between making a file and locking it nobody can tell it from what a kill left: sweeping takes it then."""
    made = atomic._new_file

    def swept_at_once(target):
        path = made(target)
        if len(taken) < 2:
            taken.append(path)
            atomic._remove_if_left(path)
        return path

    taken = []
    monkeypatch.setattr(atomic, "_new_file", swept_at_once)
    write_text(tmp_path / "file", "whole")
    assert len(taken) == 2
    assert [path.read_text() for path in tmp_path.iterdir()] == ["whole"]
