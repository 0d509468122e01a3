"""A file is written whole or not at all."""

from __future__ import annotations

import os
import stat

import pytest

from snl_edge.atomic import replacing, write_text
from snl_edge.errors import DataError, OutputError


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
