"""The command line with broken files as arguments: a traceback comes from what lies around a reader as well."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cv2

from snl_edge.outside.shown import shown

from . import seeds
from .bombs import zeros

SECONDS = 60
"""For one command; importing PyTorch takes a few of them on a busy machine."""
_ODD_NAMES = (
    "[/red].png",
    "a\x1b[31m.png",
    "a\nsnl-edge: all good.png",
    "\u202egnp.exe.png",
    "[bold]",
    b"\xff\xfe.png",
)


def try_commands() -> dict[str, Any]:
    """Runs each once: how many were tried, refused in a line, or done; and which ended otherwise."""
    outcomes: Counter[str] = Counter()
    faults: list[dict[str, Any]] = []
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for words, stdout in _commands(_hostile(Path(folder)), Path(folder)):
            began = time.monotonic()
            outcome, said = _run(words, stdout)
            slowest = max(slowest, time.monotonic() - began)
            outcomes[outcome] += 1
            if outcome not in ("refused", "done"):
                asked = " ".join(shown(os.fsdecode(word)) for word in words).replace(folder, "FOLDER")
                faults.append({"parser": "command line", "input": asked, "said": f"{outcome}: {said[-400:]}"})
    return {"tried": outcomes.total(), **dict(outcomes), "slowest_s": slowest, "faults": faults}


def _run(words: list[str | bytes], stdout: str | None) -> tuple[str, str]:
    """What became of a command: done, refused (an exit code and a message), traceback, hang."""
    with Path(stdout).open("wb") if stdout else nullcontext() as target:
        try:
            process = subprocess.run(
                [sys.executable, "-m", "snl_edge", *words],
                stdin=subprocess.DEVNULL,
                stdout=target or subprocess.PIPE,
                stderr=subprocess.PIPE,
                timeout=SECONDS,
                env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "hang", ""
    said = process.stderr.decode("utf-8", "replace")
    shows = (process.stdout or b"").decode("utf-8", "replace") + said
    if "Traceback (most recent call last)" in said:
        return "traceback", said
    if any(shown(line) != line for line in shows.splitlines()):
        return "unprintable", repr(shows)
    if process.returncode < 0:
        return "crash", said
    if process.returncode and not said.strip():
        return "silent", said
    return ("refused" if process.returncode else "done"), said


def _hostile(folder: Path) -> dict[str, Path]:
    """Files of every kind that is none, and one folder of pictures with names that a terminal would obey."""
    made = {
        name: folder / name for name in ("pipe", "deep.json", "half.json", "huge.json", "nan.json", "empty", "noise")
    }
    os.mkfifo(made["pipe"])
    made["deep.json"].write_bytes(b"[" * 100_000)
    made["half.json"].write_text('{"name": "\\ud800", "schema_version": 2}')
    made["huge.json"].write_text('{"schema_version": ' + "9" * 5000 + "}")
    made["nan.json"].write_text('{"schema_version": NaN}')
    made["empty"].touch()
    made["noise"].write_bytes(bytes(range(256)) * 40)
    made["folder"] = folder
    made["device"] = Path("/dev/zero")
    made["missing"] = folder / "missing"
    return made


def data_set(root: Path, names: tuple[str | bytes, ...] = _ODD_NAMES) -> Path:
    """Good pictures, some with odd names, and one that promises 900 megapixels."""
    (root / "good").mkdir(parents=True)
    content = cv2.imencode(".png", seeds.picture())[1].tobytes()
    for number in range(3):
        (root / "good" / f"{number}.png").write_bytes(cv2.imencode(".png", seeds.picture(number))[1].tobytes())
    for name in names:
        (root / "good" / os.fsdecode(name)).write_bytes(content)
    (root / "good" / "bomb[/].png").write_bytes(seeds.png(30_000, 30_000, zeros(1)))
    return root


def _commands(hostile: dict[str, Path], folder: Path) -> Iterator[tuple[list[str | bytes], str | None]]:
    plain = data_set(folder / "plain", ())
    named = data_set(folder / "named", tuple(name for name in _ODD_NAMES if isinstance(name, str)))
    bytewise = data_set(folder / "bytewise")
    product = data_set(folder / "\x1b[2J[/red]" / "gear", ()).parent
    for path in hostile.values():
        name = str(path)
        yield ["check", name], None
        yield ["train", name, "--out", str(folder / "run")], None
        yield ["train", str(plain), "--weights", name, "--out", str(folder / "run"), "--steps", "1"], None
        yield ["train", str(plain), "--ignore", name, "--out", str(folder / "run"), "--steps", "1"], None
        yield ["train", str(plain), "--review", name, "--out", str(folder / "run"), "--steps", "1"], None
        yield ["train", str(plain), "--start-from", name, "--out", str(folder / "run")], None
        yield ["evaluate", str(plain), "--model", name], None
        yield ["build", name], None
        yield ["export", name], None
        yield ["calibrate", str(plain), "--model", name], None
        yield ["infer", str(plain / "good"), "--bundle", name], None
        yield ["inspect", name], None
        yield ["threshold", name], None
        yield ["ignore", name], None
        yield ["stream", "run", name], None
        yield ["stream", "check", name], None
        yield ["stream", "journal", name], None
        yield ["stream", "report", name], None
        yield ["bench", "run", name], None
        yield ["bench", "report", name, "--out", str(folder / "page.html")], None
        yield ["bench", "compare", name, name], None
    for root in (plain, named, bytewise, product):
        yield ["check", str(root)], None
        yield ["check", str(root), "--json"], None
        yield ["check", str(root), "--out", str(folder / "page.html")], None
        yield ["train", str(root), "--out", str(folder / "run"), "--steps", "1"], None
    for name in ("[/red]", "\x1b[2J", "a\nb", b"\xff", "\u202e"):
        yield ["check", name], None
        yield ["infer", name, "--bundle", name], None
        yield ["inspect", name], None
        yield ["bench", "compare", name, name], None
    for option, values in _NUMBERS.items():
        for value in values:
            yield ["train", str(plain), f"{option}={value}"], None
    for value in ("nan", "inf", "-1", "0", "1e999", "9" * 5000):
        yield ["threshold", str(plain), value], None
        yield ["threshold", str(plain), "--unknown", value], None
        yield ["evaluate", str(plain), "--threshold", value], None
        yield ["build", str(plain), "--frame", f"{value}x{value}"], None
        yield ["bench", "run", str(plain), "--batches", value], None
        yield ["stream", "demo", "--bundle", str(plain), "--rate", value], None
        yield ["stream", "demo", "--bundle", str(plain), "--port", value], None
    for words in (["doctor"], ["doctor", "--json"], ["check", str(named)], ["--help"], ["--version"]):
        yield [*words], "/dev/full"


_NUMBERS = {
    "--learning-rate": ("-1", "0", "nan", "inf", "x"),
    "--false-reject-budget": ("5", "0", "-1", "nan"),
    "--steps": ("0", "-1", "1e9", "9" * 5000),
    "--batch-size": ("1", "-1", "9" * 30),
    "--cache-gib": ("-1", "nan", "1e999"),
    "--seed": ("-1", "9" * 30),
    "--bits": ("7", "17"),
    "--size": ("0", "-1", "99999999", "31x", "x", "9" * 5000),
    "--set": (
        "student.embedding=1e999",
        "height=nan",
        "student.cram.centres=" + "9" * 5000,
        "=",
        "a.b.c=1",
        "teacher=[[",
    ),
}
