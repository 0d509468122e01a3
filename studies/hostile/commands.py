"""The command line with broken files as arguments: a traceback comes from what lies around a reader as well."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import cv2

from snl_edge.outside.shown import shown

from . import seeds
from .bombs import zeros

SECONDS = 60
"""For one command."""
_IMPORTED = (
    "snl_edge.training.loop",
    "snl_edge.bundling.build",
    "snl_edge.benchmarks.bench",
    "snl_edge.evaluation.run",
    "snl_edge.service.run",
    "snl_edge.service.check",
    "snl_edge.training.review",
    "snl_edge.evaluation.report",
    "snl_edge.inspection.inspect",
)
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
    program = [sys.executable, "-m", "studies.hostile.commands"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(program, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment, check=True)
    return json.loads(done.stdout)


def main() -> None:
    """A process that has imported what commands import, and forks for each of them: hundreds in a few minutes."""
    import torch

    from snl_edge.__main__ import main as command

    for module in _IMPORTED:
        importlib.import_module(module)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    outcomes: Counter[str] = Counter()
    faults: list[dict[str, Any]] = []
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for words, stdout in _commands(_hostile(Path(folder)), Path(folder)):
            began = time.monotonic()
            outcome, said = _run(command, words, stdout, Path(folder))
            slowest = max(slowest, time.monotonic() - began)
            outcomes[outcome] += 1
            if outcome not in ("refused", "done"):
                asked = " ".join(shown(os.fsdecode(word))[:80] for word in words).replace(folder, "FOLDER")
                faults.append({"parser": "command line", "input": asked, "said": f"{outcome}: {said[-400:]}"})
    print(json.dumps({"tried": outcomes.total(), **dict(outcomes), "slowest_s": slowest, "faults": faults}))


def _run(command: Callable[[], None], words: list[str | bytes], stdout: str | None, folder: Path) -> tuple[str, str]:
    """What became of a command: done, refused (an exit code and a message), or a fault; and what it said."""
    answer, messages = Path(stdout or folder / "answer"), folder / "messages"
    sys.stdout.flush()
    if not (child := os.fork()):
        signal.alarm(SECONDS)
        _become(command, words, answer, messages)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    said = messages.read_bytes().decode("utf-8", "replace")
    shows = ("" if stdout else answer.read_bytes().decode("utf-8", "replace")) + said
    if code == -signal.SIGALRM:
        return "hang", said
    if code < 0:
        return "crash", f"{code} {said}"
    if "Traceback (most recent call last)" in said:
        return "traceback", said
    if any(shown(line) != line for line in shows.splitlines()):
        return "unprintable", repr(shows)
    if code and not said.strip():
        return "silent", said
    return ("refused" if code else "done"), said


def _become(command: Callable[[], None], words: list[str | bytes], answer: Path, messages: Path) -> NoReturn:
    """In the forked child: runs the command as its program would, and ends."""
    for path, descriptor in ((answer, 1), (messages, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), descriptor)
    sys.argv = ["snl-edge", *map(os.fsdecode, words)]
    code = 1
    try:
        command()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


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
    """Good pictures, some with odd names."""
    (root / "good").mkdir(parents=True)
    content = cv2.imencode(".png", seeds.picture())[1].tobytes()
    for number in range(12):
        (root / "good" / f"{number}.png").write_bytes(cv2.imencode(".png", seeds.picture(number))[1].tobytes())
    for name in names:
        path = root / "good" / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return root


def _commands(hostile: dict[str, Path], folder: Path) -> Iterator[tuple[list[str | bytes], str | None]]:
    plain = data_set(folder / "plain", ())
    named = data_set(folder / "named", tuple(name for name in _ODD_NAMES if isinstance(name, str)))
    bytewise = data_set(folder / "bytewise")
    bombed = data_set(folder / "bombed", ())
    (bombed / "good" / "bomb[bold].png").write_bytes(seeds.png(30_000, 30_000, zeros(1)))
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
    for root in (plain, named, bytewise, bombed, product):
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


if __name__ == "__main__":
    argparse.ArgumentParser(
        "studies.hostile.commands", description="Commands with broken files; JSON on stdout. The fuzz starts it."
    ).parse_args()
    main()
