"""Records and journals for the tests of sinks and actuators."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from snl_edge.runtime.verdict import Blob
from snl_edge.stream.journal.journal import Journal
from snl_edge.stream.records.record import Record

VERDICTS = ("good", "reject", "good", "unknown", "failsafe")


def record(sequence: int, **changes: object) -> Record:
    verdict = changes.get("verdict", VERDICTS[sequence % len(VERDICTS)])
    judged = verdict != "failsafe"
    values = {
        "camera": "left",
        "sequence": sequence,
        "captured": 1_800_000_000.0 + sequence,
        "decided": 1_800_000_000.02 + sequence,
        "latency_ms": 20.0,
        "verdict": verdict,
        "action": "pass" if verdict == "good" else "reject",
        "reason": None if judged else "deadline",
        "part": f"P{sequence}",
        "encoder": 100 * sequence,
        "product": "bolt" if judged else None,
        "score": 0.25 if judged else None,
        "threshold": 0.5 if judged else None,
        "blobs": (Blob(0.1, 0.2, 0.3, 0.4, 0.05, 0.9),) if verdict == "reject" else (),
        "engine": "e" * 64,
        "recipe": "bolts",
    }
    return Record(**{**values, **changes})


def new_journal(folder: Path) -> Journal:
    journal = Journal(folder)
    journal.begin("test", "{}")
    return journal


def fill(journal: Journal, count: int, start: int = 0) -> list[str]:
    """Appends ``count`` records and returns their message ids."""
    ids = journal.append([record(start + index) for index in range(count)])
    return [f"{journal.id}:{number}" for number in ids]


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Waits for what must come; fails after ``seconds``, which only a fault lets pass."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
