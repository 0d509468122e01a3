"""A line on a bad day, for the dashboard's layout: every kind of part, outcome and change, and long texts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dashboard_line import CONFIG, DrawnLine, fill

from snl_edge.stream.control.interface import Check
from snl_edge.stream.journal.journal import Journal
from snl_edge.stream.records.actuation import Actuation, Outcome
from snl_edge.stream.records.record import Order

PRODUCTS = ("gear", "hex_nut")
CAMERAS = ("left", "infeed-upper-right")
ORDER = Order("4711-0815/2026", "L22-00017", "M. Huber", {"shift": "early", "pallet": "EUR-3/00123456789012345"})
WHO = "M. Huber-Oberwallner (10.20.4.31)"
REFUSAL = (
    "recipe hall2-nuts-with-black-coating does not pass its golden samples: 2 of 12 samples: "
    "hex_nut/scratch/000017_camera_left_2026-11-27T06-00-00.png judged good instead of reject; repair the recipe, or "
    "put its own samples into a folder hall2-nuts-with-black-coating below golden.folder"
)
CHECKS = (
    Check("camera left", "ok", "12.5 pictures a second, sharp and well lit"),
    Check(
        "camera infeed-upper-right",
        "failed",
        "no answer from rtsp://10.20.4.118:554/Streaming/Channels/101?transportmode=unicast&profile=Profile_1: "
        "[Errno 113] No route to host; tries again in 20 s",
    ),
    Check("parts without a verdict", "failed", "12 of the last 200 parts are fail-safe: 7 camera, 4 deadline, 1 black"),
    Check("journal", "warning", "3 pictures not kept: less than 2 GiB free on the journal's disk"),
    Check("sink mqtt", "failed", "connection refused by broker.hall2.plant.example:8883; 1,204 verdicts waiting"),
    Check("actuator ejector", "warning", "2 of the last 50 were late, the last by 41 ms"),
    Check("outcomes", "warning", "check the bin: whether 2 rejects of run 1 moved is not known"),
    Check("threshold gear", "warning", "0.95 is far from 0.42, which training chose: set by M. Huber-Oberwallner"),
    Check("drift hex_nut", "warning", "darker than the reference by 9 %: check the light; scores moved (KS 0.31)"),
    Check("drift gear", "ok", "scores as in the reference (KS 0.04)"),
    Check("paused", "warning", f"the line's file says running: paused by {WHO} on 2026-11-28 05:58"),
)


def troubled_line(folder: Path, parts: int = 40, size: int = 64, span: float = 3600.0) -> DrawnLine:
    """A line with a journal in ``folder`` whose last process died, and that is paused and in shadow mode now."""
    journal = Journal(folder)
    line = DrawnLine(journal, products=PRODUCTS, cameras=CAMERAS, size=size)
    line.order = ORDER
    fill(line, parts, strangers=2, lost=3, span=span)
    _reject(line, time.time() - span / 2, 2, "unknown")
    journal.begin("snl-edge test", CONFIG)
    for outcome in ("done", "done", "late", "failed"):
        _reject(line, time.time() - 60, 1, outcome)
    for value in (0.5, 0.95):
        line.set_threshold(value, "gear", WHO, confirmed=True)
    line.set_order(ORDER, WHO)
    line.self_test("start")
    journal.audit("api (10.20.4.2)", "refused", change="recipe", why=REFUSAL)
    journal.audit(
        WHO, "recipe", before="hall2-mixed", after="hall2-nuts", bundle="/var/lib/snl-edge/bundles/" + "n" * 90
    )
    with journal.transaction() as connection:  # what is not of today is told with its date
        connection.execute("UPDATE audit SET time = time - 90000 WHERE id <= 3")
        connection.execute("UPDATE verdict SET captured = captured - 90000 WHERE id <= 3")
    line.set_shadow(True, WHO)
    line.pause(True, WHO)
    line.checks = CHECKS
    for camera in CAMERAS:
        line.produce(camera, "gear")
    return line


def _reject(line: DrawnLine, when: float, count: int, outcome: Outcome) -> None:
    """Rejects of a defect that concern the ejector, and what became of them there."""
    for _ in range(count):
        while (entry := line.produce("left", "gear", "missing_tooth", when=when)).record.verdict != "reject":
            pass
        concerned = replace(entry.record, sequence=entry.record.sequence + 100_000, part="P-" + "0123456789" * 5)
        line.journal.append([concerned], _concerned)
        if outcome != "unknown":
            late = {"done": 1.2, "late": 41.0}.get(outcome)
            detail = {"late": "41 ms after its due time", "failed": "coil 12 at 10.20.4.9: timed out"}.get(outcome, "")
            line.journal.actuated(
                [Actuation(line.journal.run, "left", concerned.sequence, "ejector", outcome, when, late, detail)]
            )


def _concerned(_: object) -> Sequence[str]:
    return ["ejector"]
