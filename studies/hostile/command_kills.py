"""Commands that are stopped at random moments, and disks that are full or read-only: what is left must be whole.

``python -m studies.hostile.command_kills --name NAME`` runs ``train``, ``export``, ``calibrate``, ``build``,
``infer`` and ``threshold`` again and again over the results of an earlier call, and ends each with Ctrl-C, SIGTERM or
SIGKILL at a random moment between its start and its usual end. Afterwards its result must be the earlier one or the new
one, whole; a signal that can be handled must leave no temporary file and no traceback, and the next call must remove
what SIGKILL left. Then each runs onto a disk that has little or no room, and onto one that takes no writes.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from snl_edge.errors import SnlEdgeError
from snl_edge.progress import progress_bar
from snl_edge.provenance import revision

from ..command import run_command
from ..result_files import save_result
from .stoppable import SCENARIOS, Scenario, prepare

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
_FROM_S = 0.3
"""Before it, Python itself is starting, and a signal is Python's own business."""
_ENDS_S = 120.0
_DISK_KIB = (0, 4, 64, 512, 2048)
"""Room on the full disk."""


@dataclass(frozen=True)
class Ended:
    """One call: its exit status, and what it printed."""

    status: int
    said: str


def measure(
    name: Annotated[str, typer.Option(help="Name of the result file.")],
    kills: Annotated[int, typer.Option(min=1, help="How often each command is stopped.")] = 30,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 0,
    only: Annotated[str | None, typer.Option(help="Commands, with commas between; all if not given.")] = None,
) -> None:
    """Stops commands again and again, and counts what they leave that is neither the old nor the new."""
    revision()
    # A job that a shell put into the background ignores Ctrl-C, and so would what it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chosen = [scenario for scenario in SCENARIOS if only is None or scenario.name in only.split(",")]
    figures: dict[str, Any] = {}
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        pristine = prepare(Path(folder) / "pristine")
        for scenario in chosen:
            rng = random.Random(f"{seed} {scenario.name}")
            place = Path(folder) / scenario.name
            figures[scenario.name], found = stop_often(scenario, pristine, place, kills, rng)
            disks, more = on_bad_disks(scenario, pristine, Path(folder) / "disk")
            figures[scenario.name] |= {"disks": disks}
            faults += found + more
    for fault in faults:
        typer.echo(fault, err=True)
    settings = {"kills": kills, "seed": seed, "disk_kib": list(_DISK_KIB)}
    typer.echo(f"wrote {save_result('command_kills', name, settings=settings, figures=figures)}")
    raise typer.Exit(bool(faults))


def stop_often(
    scenario: Scenario, pristine: Path, place: Path, kills: int, rng: random.Random
) -> tuple[dict[str, Any], list[str]]:
    """Stops one command so often; returns counts by signal and what was left, and each fault in a line."""
    counts: dict[str, Counter[str]] = {number.name: Counter() for number in SIGNALS}
    faults: list[str] = []
    usual = _usual_seconds(scenario, pristine, place)
    with progress_bar(f"stopping {scenario.name}") as report:
        for index in range(kills):
            number = SIGNALS[index % len(SIGNALS)]
            with _fresh(pristine, place):
                after_s = rng.uniform(min(_FROM_S, usual), usual)
                ended = _call(scenario, place, stop=(number, after_s))
                problems, state = _look(scenario, place, ended, number)
                counts[number.name][state] += 1
                counts[number.name]["faults"] += len(problems)
                faults += [f"{scenario.name}, {number.name} after {after_s:.2f} s: {text}" for text in problems]
            report(index + 1, kills)
    figures = {number: dict(sorted(found.items())) for number, found in counts.items()}
    return {"seconds": round(usual, 2), **figures}, faults


def on_bad_disks(scenario: Scenario, pristine: Path, place: Path) -> tuple[dict[str, Any], list[str]]:
    """Runs one command on disks without room and without writes; counts as `stop_often`."""
    counts: Counter[str] = Counter()
    faults: list[str] = []
    for room in (*_DISK_KIB, None):
        with _disk(pristine, place, room):
            ended = _call(scenario, place)
            problems, state = _look(scenario, place, ended, None)
            counts[state] += 1
            counts["faults"] += len(problems)
            kind = "a read-only disk" if room is None else f"a disk with {room} KiB left"
            faults += [f"{scenario.name} on {kind}: {text}" for text in problems]
    return dict(sorted(counts.items())), faults


def _usual_seconds(scenario: Scenario, pristine: Path, place: Path) -> float:
    with _fresh(pristine, place):
        began = time.monotonic()
        ended = _call(scenario, place)
        seconds = time.monotonic() - began
        if ended.status != 0 or scenario.state(place) != "new":
            raise SystemExit(f"{scenario.name} does not run: {ended.said[-2000:]}")
    return seconds


def _call(scenario: Scenario, place: Path, stop: tuple[signal.Signals, float] | None = None) -> Ended:
    """Runs the command in ``place``, and stops it after so many seconds unless it has ended."""
    temporary = place.parent / f"{place.name}-tmp"
    temporary.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "snl_edge", *scenario.arguments]
    surroundings = os.environ | {"TMPDIR": str(temporary), "COLUMNS": "200"}
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        process = subprocess.Popen(command, cwd=place, stdout=log, stderr=log, env=surroundings)
        try:
            if stop is not None:
                try:
                    process.wait(stop[1])
                except subprocess.TimeoutExpired:
                    process.send_signal(stop[0])
            status = process.wait(_ENDS_S)
        except subprocess.TimeoutExpired:
            status = -1
        finally:
            process.kill()
            process.wait()
        log.seek(0)
        return Ended(status, log.read())


def _look(scenario: Scenario, place: Path, ended: Ended, number: signal.Signals | None) -> tuple[list[str], str]:
    """What is wrong after a call, and whose result is there: ``old``, ``new``, or ``resumable``."""
    problems: list[str] = []
    try:
        state = scenario.state(place)
    except (SnlEdgeError, ValueError, OSError) as error:
        return [f"what is left is not whole: {error}"], "broken"
    if ended.status == -1:
        problems.append(f"still running after {_ENDS_S:.0f} s")
    if number != signal.SIGKILL:
        problems += [f"temporary file left: {left}" for left in _left(place)]
        problems += [f"said: {line}" for line in ended.said.splitlines() if _is_fault(line)]
        expected = (1, 2, 3) if number is None else (0, 1, 128 + number)
        # What has done its work may meet the signal, or find the room, when nothing of it can fail any more.
        done = state == "new" and ended.status in (0, -(number or 0))
        if ended.status not in expected and not done:
            problems.append(f"exit status {ended.status}: {ended.said[-300:]}")
    elif _left(place):
        again = _call(scenario, place)
        problems += [f"temporary file left by a kill: {left}" for left in _left(place)]
        if again.status != 0 or scenario.state(place) != "new":
            problems.append(f"cannot be repeated: {again.said[-300:]}")
    return problems, state


def _is_fault(line: str) -> bool:
    return line.startswith(("Traceback", "Exception ignored", "Fatal Python error", "Segmentation"))


def _left(place: Path) -> list[str]:
    """Files that were never finished, below the folder and among the system's temporary ones."""
    temporary = place.parent / f"{place.name}-tmp"
    # Libraries keep files of their own among the temporary ones, under other names.
    left = [*place.rglob(".*"), *temporary.glob(".*.snl-edge-*"), *temporary.glob("tmp*")]
    return [path.name for path in left]


@contextmanager
def _fresh(pristine: Path, place: Path) -> Iterator[None]:
    shutil.copytree(pristine, place, symlinks=True)
    try:
        yield
    finally:
        shutil.rmtree(place, ignore_errors=True)
        shutil.rmtree(place.parent / f"{place.name}-tmp", ignore_errors=True)


@contextmanager
def _disk(pristine: Path, place: Path, room: int | None) -> Iterator[None]:
    """The files of ``pristine`` on a disk of their own with so many KiB left, or (None) that takes no writes."""
    place.mkdir(exist_ok=True)
    needed = sum(-(-path.stat().st_size // 4096) + 1 for path in pristine.rglob("*")) * 4
    _sudo("mount", "-t", "tmpfs", "-o", f"size={needed + 4096}k", "tmpfs", str(place))
    try:
        shutil.copytree(pristine, place, symlinks=True, dirs_exist_ok=True)
        if room is None:
            _sudo("mount", "-o", "remount,ro", str(place))
        else:
            free = shutil.disk_usage(place).free - room * 1024
            (place / "ballast").write_bytes(bytes(free))
        yield
    finally:
        _sudo("umount", "-l", str(place))
        shutil.rmtree(place.parent / f"{place.name}-tmp", ignore_errors=True)


def _sudo(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    run_command(measure)
