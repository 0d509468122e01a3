"""Children of a process that did the imports, which end as any Python program does: fork() without their cost."""

from __future__ import annotations

import atexit
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path


def in_child(folder: Path, work: Callable[[], None], limit: float = 30, whole: bool = True) -> tuple[int | str, str]:
    """Runs ``work`` in a forked child that ends as a program does, or, if not ``whole``, after Python's finalisers.

    Returns:
        exit status, and what it printed.
    """
    out = folder / f"out-{os.getpid()}"
    child = os.fork()
    if not child:
        with out.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        if whole:
            raise _Leave(work)
        _work_and_finalise(work)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status), out.read_text(errors="replace")
        time.sleep(0.002)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return f"no end after {limit} s", out.read_text(errors="replace")


def _work_and_finalise(work: Callable[[], None]) -> None:
    status = 0
    try:
        work()
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    os._exit(status)


class _Leave(BaseException):
    """Unwinds a child to the program's end, with what it has left to do, so that it ends as any Python program does."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__()
        self.work = work


def run(work: Callable[[], None]) -> None:
    """The whole program: ``work``, and in a child what it was forked for."""
    todo: Callable[[], None] | None = work
    while todo is not None:
        try:
            todo()
            todo = None
        except _Leave as leave:
            todo = leave.work
