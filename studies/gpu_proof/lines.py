"""Findings of the steps, one JSON line each, written at once: of a step that is stopped none is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FILE = "GPU_PROOF_LINES"
"""Environment variable: the file that lines are added to."""


def say(kind: str, **facts: Any) -> None:
    """Adds a line of this kind."""
    line = json.dumps({"kind": kind, **facts})
    print(line, flush=True)
    with Path(os.environ[FILE]).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


@contextmanager
def saying_errors(kind: str, **facts: Any) -> Iterator[None]:
    """An error of the body becomes a line, and the next thing is tried: time on a GPU is short."""
    try:
        yield
    except Exception as error:
        say(kind, **facts, error=f"{type(error).__name__}: {error}"[:600])


def read_lines(path: Path) -> dict[str, list[dict[str, Any]]]:
    """All lines by their kind, in the order in which they were said."""
    found: dict[str, list[dict[str, Any]]] = {}
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        line = json.loads(text)
        found.setdefault(line.pop("kind"), []).append(line)
    return found


def timed_calls(call: Callable[[], object], seconds: float, warm: int = 10) -> dict[str, Any]:
    """Latency of ``call`` in milliseconds, one after the other for about ``seconds``."""
    from snl_edge.benchmarks.latency import alternate, summarise_latency, timed

    for _ in range(warm):
        call()
    found = summarise_latency([alternate({"call": timed(lambda batch: call())}, 1, seconds)["call"]], None)
    return {name: found[name] for name in ("calls", "p50", "p95", "p99", "lowest", "jitter")}
