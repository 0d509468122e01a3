"""The way of a picture through a line, traced: every file with a function that has it in hand before the verdict."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from lines import line_config, records, run_to_end

from snl_edge.contract.graph import Prediction, Scores
from snl_edge.runtime.verdict import Decision, Judged

ROOT = Path(__file__).parents[1]
OURS = tuple(f"{ROOT}/{folder}/" for folder in ("snl_edge", "export", "calibration", "benchmarks"))
SOURCES = "snl_edge/stream/sources/"
BACKENDS = r"snl_edge/runtime/\w+_backend\.py"
_VARARGS, _VARKEYWORDS = 0x04, 0x08


def files_on_the_page() -> list[str]:
    """The rows of the architecture page's table."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    section = page.partition("## A picture's way")[2].partition("\n## ")[0]
    return sorted(re.findall(r"^\| \d+ \| `(.+?)` \|", section, re.MULTILINE))


def files_passed(folder: Path, bundle: Path, verdict: str, **changes: Any) -> list[str]:
    """What the one part of a line passes through, as the page has it: sources and backends by one name each."""
    config = line_config(bundle, folder, **{"engine": {"backend": "onnxruntime", "threads": 1}, **changes})
    trace = Trace()
    with trace.running():
        line = run_to_end(config)
    assert [record.verdict for record in records(line)] == [verdict]
    return sorted({_name_on_the_page(file) for file in trace.files})


def _name_on_the_page(file: str) -> str:
    if file.startswith(SOURCES):
        return f"{SOURCES}…"
    return "snl_edge/runtime/*_backend.py" if re.fullmatch(BACKENDS, file) else file


class Trace:
    """Watches all functions of ours for the way of one picture: from the return of its source's ``read`` until the
    `Judge` returns what was decided.

    Attributes:
        files: those with a function that was handed, or returned, the picture or what was computed from it.
    """

    def __init__(self) -> None:
        self.files: set[str] = set()
        self._numbers: set[float] = set()
        self._on_its_way = self._judged = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watches threads that start meanwhile, and this one."""
        before = sys.getprofile()
        threading.setprofile(self._event)
        sys.setprofile(self._event)
        try:
            yield
        finally:
            sys.setprofile(before)
            threading.setprofile(None)  # pyright: ignore[reportArgumentType]
        assert self._judged

    def _event(self, frame: FrameType, event: str, value: object) -> None:
        path = frame.f_code.co_filename
        if self._judged or event not in ("call", "return") or not path.startswith(OURS):
            return
        file = Path(path).relative_to(ROOT).as_posix()
        # Set and never taken back: threads come here at any moment.
        if event == "return" and value is not None and file.startswith(SOURCES) and frame.f_code.co_name == "read":
            self._on_its_way = True
        if self._on_its_way:
            handed = self._holds(arguments_of(frame))
            if event == "return" and handed and isinstance(value, float):
                self._numbers.add(value)
            if handed or self._holds(value):
                self.files.add(file)
        if event == "return" and isinstance(value, Judged):
            self._judged = True

    def _holds(self, value: object) -> bool:
        if isinstance(value, Prediction | Scores):
            self._numbers.update(score for score in value.score.tolist() if score)  # 0 is in buffers not yet filled
        if isinstance(value, tuple | list):
            return any(self._holds(one) for one in value)
        if isinstance(value, dict):
            return any(self._holds(one) for one in value.values())
        # Plain numbers are known by their value; those that are not one of a kind travel with one that is.
        known = isinstance(value, float) and value in self._numbers
        return known or isinstance(value, np.ndarray | np.generic | Decision)


def arguments_of(frame: FrameType) -> list[object]:
    """What the function of this frame was given, named and in tuples."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & _VARARGS) + bool(code.co_flags & _VARKEYWORDS)
    return [frame.f_locals[name] for name in code.co_varnames[:count] if name in frame.f_locals]
