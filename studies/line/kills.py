"""A line that is killed at random moments: its journal's outcome of each reject against what the PLC received.

``python -m studies.line.kills --name NAME`` runs ``snl-edge stream run`` at full speed with a Modbus
actuator, ends it with SIGKILL at a random moment and starts it again, 50 times; some moments are in the start itself.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from snl_edge.progress import progress_bar
from snl_edge.provenance import revision
from snl_edge.stream.journal.schema import FILE
from snl_edge.stream.journal.soundness import check_journal

from ..command import run_command
from ..result_files import save_result
from ..small_bundle import write_small_bundle
from .plc import Plc

SIDE = 64
COIL = 3
DELAY_MS = 150.0
"""From trigger to actuator: so many rejects are on their way at each moment."""
REJECTED = 0.25
"""Share of the parts."""
STARTING = 0.2
"""Share of the kills that come while the process starts."""
_START_S = 2.0
_RUN_S = 0.6
_LONG_S = 120.0
_ARRIVES_S = 0.1
"""What a process had sent before it died arrives within this."""

_NEWEST = "SELECT MAX(id) FROM verdict"
_RUNS = "SELECT COUNT(*) FROM run"
_PARTS = "SELECT COUNT(*) FROM verdict"
_REJECTS = "SELECT COUNT(*) FROM verdict WHERE action = 'reject' AND NOT shadow"
_OUTCOMES = "SELECT outcome, COUNT(*) FROM actuation GROUP BY outcome"
_MOVED = "SELECT run, COUNT(*) FROM actuation WHERE late_ms IS NOT NULL GROUP BY run"
_UNKNOWN = "SELECT run, COUNT(*) FROM actuation WHERE outcome = 'unknown' GROUP BY run"
_TRACELESS = """
SELECT COUNT(*) FROM verdict WHERE action = 'reject' AND NOT shadow
AND NOT EXISTS
(SELECT 1 FROM actuation a WHERE (a.run, a.camera, a.sequence) = (verdict.run, verdict.camera, verdict.sequence))
AND NOT EXISTS
(SELECT 1 FROM intent i WHERE (i.run, i.camera, i.sequence) = (verdict.run, verdict.camera, verdict.sequence))
"""
_TWICE = """
SELECT COUNT(*) FROM
(SELECT 1 FROM actuation GROUP BY run, camera, sequence, actuator HAVING COUNT(*) > 1
 UNION ALL SELECT 1 FROM actuation JOIN intent USING (run, camera, sequence, actuator))
"""


def measure(
    name: Annotated[str, typer.Option(help="Name of the result file.")],
    kills: Annotated[int, typer.Option(min=1, help="How often the line is killed.")] = 50,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 0,
) -> None:
    """Kills a line again and again and counts what its journal does not know."""
    revision()
    with tempfile.TemporaryDirectory() as folder:
        figures = kill_line(Path(folder), kills, seed)
    settings = {"kills": kills, "seed": seed, "delay_ms": DELAY_MS, "rejected": REJECTED, "starting": STARTING}
    typer.echo(f"wrote {save_result('stream_kills', name, settings=settings, figures=figures)}")


def kill_line(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kills a line in ``folder`` so often, then lets it run and end in order; returns what its journal holds.

    ``rejects_without_trace`` have neither an outcome nor an intent; ``outcomes_twice`` have two; ``pulses_unrecorded``
    are moves of the actuator beyond the rejects that moved or may have moved, ``done_without_pulse`` outcomes beyond
    those moves, both run by run: all four must be 0. ``unknown_moved`` are the unknown ones that had moved.
    """
    rng = random.Random(seed)
    plc = Plc()
    pulses: Counter[int] = Counter()
    try:
        _write_config(folder, plc.port)
        with progress_bar("kills") as report:
            for number in range(kills + 1):
                before = len(plc.writes)
                _run_and_end(folder, rng, last=number == kills)
                run = _ask(folder, "SELECT MAX(id) FROM run")
                pulses[run] += sum(write == ("coil", COIL, 1) for write in plc.writes[before:])
                report(number, kills)
    finally:
        plc.close()
    return _count(folder, pulses)


def _run_and_end(folder: Path, rng: random.Random, *, last: bool) -> None:
    """One run of the line, killed or, the last one, ended in order."""
    recorded = _ask(folder, _NEWEST)
    command = [sys.executable, "-m", "snl_edge", "stream", "run", str(folder / "line.yaml")]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        if not last and rng.random() < STARTING:
            time.sleep(rng.uniform(0, _START_S))
        else:
            end = time.monotonic() + _LONG_S
            while _ask(folder, _NEWEST) == recorded:
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"the line does not run: {_last_words(folder)}")
                time.sleep(0.01)
            time.sleep(_RUN_S if last else rng.uniform(0, _RUN_S))
        process.send_signal(signal.SIGTERM if last else signal.SIGKILL)
        status = process.wait(_LONG_S)
        if status != (0 if last else -signal.SIGKILL):
            raise SystemExit(f"the line ended by itself: {_last_words(folder)}")
    finally:
        process.kill()
        process.wait()
    time.sleep(_ARRIVES_S)


def _count(folder: Path, pulses: Counter[int]) -> dict[str, Any]:
    journal = folder / "journal"
    with closing(sqlite3.connect(journal / FILE)) as connection:
        found = Counter(dict(connection.execute(_OUTCOMES).fetchall()))
        moved, unknown = (Counter(dict(connection.execute(query).fetchall())) for query in (_MOVED, _UNKNOWN))
        traceless, twice, rejects, parts, runs = (
            connection.execute(query).fetchone()[0] for query in (_TRACELESS, _TWICE, _REJECTS, _PARTS, _RUNS)
        )
        left_open = connection.execute("SELECT COUNT(*) FROM intent").fetchone()[0]
    report = check_journal(journal)
    return {
        "runs": runs,
        "parts": parts,
        "rejects": rejects,
        **{outcome: found[outcome] for outcome in ("done", "late", "failed", "unknown")},
        "open": left_open,
        "unknown_moved": sum(min(unknown[run], max(0, pulses[run] - moved[run])) for run in pulses),
        "rejects_without_trace": traceless,
        "outcomes_twice": twice,
        "pulses": pulses.total(),
        "pulses_unrecorded": sum(max(0, pulses[run] - moved[run] - unknown[run]) for run in pulses),
        "done_without_pulse": sum(max(0, moved[run] - pulses[run]) for run in pulses | moved),
        "unacknowledged": report.unaccounted,
        "journal_consistent": report.consistent,
    }


def _ask(folder: Path, query: str) -> int:
    """The one number that a query gives; 0 while there is no journal to ask."""
    try:
        with closing(sqlite3.connect(f"file:{folder / 'journal' / FILE}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchone()[0] or 0
    except sqlite3.OperationalError:
        return 0


def _last_words(folder: Path) -> str:
    return (folder / "log").read_text(encoding="utf-8", errors="replace")[-2000:]


def _write_config(folder: Path, port: int) -> None:
    write_small_bundle(folder / "bundle", SIDE, REJECTED)
    config = {
        "bundle": str(folder / "bundle"),
        "engine": {"backend": "onnxruntime", "threads": 1},
        "cameras": [{"name": "camera", "source": {"type": "synthetic", "size": SIDE, "pictures": 64}}],
        "queue": {"policy": "block", "size": 8},
        "deadline_ms": None,
        # What is acted upon before it is on disk leaves no trace, and is not what this measures.
        "journal": {"folder": str(folder / "journal"), "pictures": {"min_free_gib": 0}, "patience_ms": 60_000},
        "actuators": [
            {
                "type": "modbus",
                "name": "ejector",
                "host": "127.0.0.1",
                "port": port,
                "coil": COIL,
                "travel": {"by": "time", "delay_ms": DELAY_MS},
                "tolerance_ms": 10_000,
                "pulse_ms": 5,
                "timeout_s": 5,
            }
        ],
        "dashboard": None,
    }
    (folder / "line.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


if __name__ == "__main__":
    run_command(measure)
