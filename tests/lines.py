"""Real lines for tests: a folder of picture files as camera, a small real graph, a real journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from journals import until

from snl_edge.stream.config.line_config import LineConfig
from snl_edge.stream.line import RunningLine
from snl_edge.stream.records.record import Record

SIDE = 64


def picture(number: int, *, spot: bool = False, level: int = 120) -> np.ndarray:
    """A grey part ``uint8 [SIDE, SIDE, 3]``, its faint noise from its number; a bright spot makes it a reject."""
    drawn = np.random.default_rng(number).integers(level - 2, level + 3, (SIDE, SIDE, 3)).astype(np.uint8)
    if spot:
        drawn[20:23, 30:33] = 255
    return drawn


def write_picture(folder: Path, name: str, content: np.ndarray) -> Path:
    """Moves a whole picture into the folder, as a watched folder wants it."""
    folder.mkdir(parents=True, exist_ok=True)
    hidden = folder / f".{name}.png"
    cv2.imwrite(str(hidden), content)
    return hidden.rename(folder / f"{name}.png")


def write_parts(folder: Path, count: int, spots: tuple[int, ...] = (), start: int = 0) -> None:
    for number in range(start, start + count):
        write_picture(folder, f"{number:05}", picture(number, spot=number in spots))


def line_config(bundle: Path, folder: Path, **changes: Any) -> LineConfig:
    """A line that looks at ``folder/parts`` and keeps its journal in ``folder/journal``."""
    camera = {"name": "camera", "source": {"type": "folder", "path": folder / "parts"}, **changes.pop("camera", {})}
    return LineConfig.model_validate(
        {
            "bundle": bundle,
            "engine": {"backend": "onnxruntime", "threads": 1},
            "cameras": changes.pop("cameras", [camera]),
            "queue": {"policy": "block"},
            "deadline_ms": None,
            "journal": {"folder": folder / "journal", "pictures": {"min_free_gib": 0}, **changes.pop("journal", {})},
            "dashboard": None,
            **changes,
        }
    )


@contextmanager
def running(config: LineConfig) -> Iterator[RunningLine]:
    line = RunningLine(config)
    try:
        line.start()
        yield line
    finally:
        line.stop()


def run_to_end(config: LineConfig, seconds: float = 30) -> RunningLine:
    with running(config) as line:
        wait_for(lambda: line.ended, seconds)
    return line


def wait_for(condition: Callable[[], object], seconds: float = 15) -> None:
    until(condition, seconds)


def records(line: RunningLine) -> list[Record]:
    return [entry.record for entry in line.journal.after(0, 1_000_000)]


def light(line: RunningLine, name: str) -> str:
    return next(check.light for check in line.status().checks if check.name == name)
