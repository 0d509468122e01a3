"""Feeds every reader of files from outside with broken files: ``python -m studies.hostile.fuzz``.

Bombs, what is no file, and changes of real files; each in a child process with 2 GiB of memory and ten seconds of
processor time for one input. Then the command line itself, with such files as arguments (:mod:`.commands`). An
input is told again by ``--seed``, ``--only`` and ``--first``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from snl_edge.benchmarks.system import describe_system
from snl_edge.errors import ConfigError
from snl_edge.progress import console, progress_bar
from snl_edge.provenance import revision

from ..command import run_command
from ..result_files import FOLDER, save_result
from .bombs import bombs
from .child import ACCEPTED, MEMORY, REFUSED, SECONDS, TRACEBACK, UNPRINTABLE
from .commands import try_commands
from .parsers import PARSERS

KIND = "fuzz"
CHUNK = 4000
"""Inputs of one child: a fresh one has its memory to itself."""


def fuzz(
    name: Annotated[str, typer.Option(help="Of the result file; none is written for a part of the parsers.")] = "all",
    share: Annotated[float, typer.Option(min=0.001, max=100, help="Of some 100,000 inputs.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of all changes.")] = 0,
    only: Annotated[str | None, typer.Option(help="One parser.")] = None,
    first: Annotated[int, typer.Option(min=0, help="With --only: number of the first input.")] = 0,
    count: Annotated[int | None, typer.Option(min=1, help="With --only: how many.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the result file.")] = FOLDER,
) -> None:
    """Reads broken files with every reader, counts what becomes of them, and fails if one ends in a traceback."""
    if only is not None and only not in PARSERS:
        raise ConfigError(f"there is no parser {only!r}", fix=f"choose of {', '.join(PARSERS)}")
    revision()  # the run belongs to the code that it was started with
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        findings = Path(folder) / "findings.jsonl"
        with progress_bar("fuzzing") as report:
            chosen = [only] if only else list(PARSERS)
            for number, parser in enumerate(chosen):
                report(number, len(chosen), parser)
                inputs = count or len(bombs(parser)) + round(share * PARSERS[parser].inputs)
                figures[parser] = _fuzz(parser, seed, first, inputs, findings)
        commands = {} if only else try_commands()
        told = [json.loads(line) for line in findings.read_text().splitlines()] if findings.exists() else []
    faults = [*told, *(fault for own in figures.values() for fault in own.pop("died")), *commands.get("faults", ())]
    for fault in faults:
        console.print(json.dumps(fault))
    if only is None:
        settings = {"seed": seed, "share": share, "memory_bytes": MEMORY, "seconds": SECONDS}
        path = save_result(
            KIND,
            name,
            settings=settings,
            figures={"parsers": figures, "commands": commands, "faults": faults},
            system=describe_system([]),
            folder=out,
        )
        typer.echo(f"wrote {path}")
    typer.echo(json.dumps({parser: own["inputs"] for parser, own in figures.items()}))
    raise typer.Exit(1 if faults else 0)


def _fuzz(parser: str, seed: int, first: int, count: int, findings: Path) -> dict[str, Any]:
    """All inputs of one parser: what became of them, the most memory that a child had, the slowest in seconds."""
    outcomes: Counter[str] = Counter()
    died: list[dict[str, Any]] = []
    peak = slowest = 0.0
    for start, length in _chunks(first, count):
        at = start
        while at < start + length:
            letters, took, code, memory = _child(parser, seed, at, start + length - at, findings)
            outcomes.update(letters)
            slowest, peak = max(slowest, took), max(peak, memory)
            at += len(letters)
            if code:
                if at >= start + length:
                    raise ConfigError(f"the child of {parser} ended with {code} after its inputs")
                how = "hang" if code in (-signal.SIGALRM, -signal.SIGPROF) else f"ended with {code}"
                died.append({"parser": parser, "number": at, "input": _label(parser, at), "said": how})
                outcomes["hang" if how == "hang" else "died"] += 1
                at += 1
    return {
        "inputs": outcomes.total(),
        "accepted": outcomes[ACCEPTED],
        "refused": outcomes[REFUSED],
        "tracebacks": outcomes[TRACEBACK],
        "more_than_a_line": outcomes[UNPRINTABLE],
        "hangs": outcomes["hang"],
        "crashes": outcomes["died"],
        "slowest_s": slowest,
        "peak_bytes": round(peak),
        "died": died,
    }


def _chunks(first: int, count: int) -> Iterator[tuple[int, int]]:
    for start in range(first, first + count, CHUNK):
        yield start, min(CHUNK, first + count - start)


def _label(parser: str, number: int) -> str:
    names = list(bombs(parser, is_file=PARSERS[parser].is_file))
    return names[number] if number < len(names) else f"mutation {number}"


def _child(parser: str, seed: int, first: int, count: int, findings: Path) -> tuple[str, float, int, int]:
    """Letters of what was read, the slowest in seconds, the exit code, and the most memory in bytes."""
    arguments = [parser, str(seed), str(first), str(count), str(findings)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENCV_LOG_LEVEL": "SILENT", "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(
            [sys.executable, "-m", "studies.hostile.child", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            env=environment,
        )
        assert child.stdout is not None
        letters, _, took = child.stdout.read().decode().partition("\n")
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = code = os.waitstatus_to_exitcode(status)
        child.stdout.close()
        if code > 0:  # no signal: the harness itself is broken
            said.seek(0)
            raise ConfigError(f"the child of {parser} failed", said.read()[-2000:])
    return letters, float(took or 0), code, usage.ru_maxrss * 1024


if __name__ == "__main__":
    run_command(fuzz)
