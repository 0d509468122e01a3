"""What a line did in a time: figures against records that are known, as text, JSON, page and CSV."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import time as clock
from pathlib import Path

import cv2
import numpy as np
import pytest
from journals import fill, new_journal, record

from snl_edge.dashboard import queries
from snl_edge.errors import ConfigError, DataError, OutputError
from snl_edge.scoring.intervals import clopper_pearson
from snl_edge.stream.journal.acknowledging import acknowledge
from snl_edge.stream.journal.journal import Journal
from snl_edge.stream.journal.schema import FILE
from snl_edge.stream.journal.soundness import check_journal, require_outside
from snl_edge.stream.records.actuation import Actuation
from snl_edge.stream.report.export import export_journal
from snl_edge.stream.report.figures import ShiftReport
from snl_edge.stream.report.page import report_html, report_text
from snl_edge.stream.report.period import Period, asked_period, local, moment, shift_times, shifts_of
from snl_edge.stream.report.shift_report import read_report, shift_report
from snl_edge.stream.report.standstill import Standstill

SHIFTS = shift_times("06:00,14:00,22:00")
START = 1_800_000_000.0  # of the records that `journals.record` makes
PERIOD = Period(START + 100, START + 200)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A place whose clock changes: on 2027-03-28 there is no 02:30."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A hundred parts in `PERIOD`, twenty of each of five kinds, and others around it."""
    opened = new_journal(tmp_path / "journal")
    opened.append([record(number) for number in range(300)], lambda one: ["ejector"] if one.verdict == "reject" else [])
    yield opened
    opened.close()


def report(journal: Journal, period: Period = PERIOD, shifts: tuple[clock, ...] = ()) -> ShiftReport:
    with journal.reading() as connection:
        return shift_report(connection, period, shifts, now=period.until)


def test_counts_only_what_was_triggered_in_the_time(journal: Journal) -> None:
    found = report(journal)
    assert found.total.counts == {"good": 40, "reject": 20, "unknown": 20, "failsafe": 20}
    assert found.total.plain()["interval"] == list(clopper_pearson(20, 80))  # fail-safe ones were not judged
    assert (found.first, found.last) == (START + 100, START + 199)
    assert [(one.verdict, one.reason, one.text, one.count) for one in found.reasons] == [
        ("failsafe", "deadline", "no verdict in time", 20)
    ]
    assert [(row.name, row.parts) for row in found.products] == [("bolt", 80), ("(not judged)", 20)]
    assert [(row.name, row.parts) for row in found.cameras] == [("left", 100)]
    assert found.orders == ()
    said = list(report_text(found))
    assert said[1] == "100 parts: 40 good, 20 reject, 20 unknown, 20 failsafe; reject rate 25.0 % (16.0 to 35.9)"
    assert json.loads(json.dumps(found.plain(), allow_nan=False))["total"]["reject_rate"] == 0.25


def test_tells_orders_shadow_and_what_the_disk_could_not_take(journal: Journal) -> None:
    made = [
        replace(record(300 + number, captured=START + 150), order="4711", lot="L2", shadow=True) for number in range(3)
    ]
    journal.append(made)
    with journal.transaction() as connection:
        detail = json.dumps({"run": 1, "camera": "left", "count": 7})
        for when in (START + 150, START + 250):
            connection.execute(
                "INSERT INTO audit (time, actor, action, detail) VALUES (?, 'line', 'unrecorded', ?)", (when, detail)
            )
    found = report(journal)
    assert [(row.name, row.parts) for row in found.orders] == [("(no order)", 100), ("order 4711, lot L2", 3)]
    assert (found.shadow, found.unrecorded) == (3, 7)
    said = "\n".join(report_text(found))
    assert "3 of these parts were decided but not acted upon" in said
    assert "7 more parts were fail-safe" in said


def test_tells_what_retention_has_taken(journal: Journal) -> None:
    assert report(journal).kept_from is None
    journal.forget(START + 130, [], 1000)
    found = report(journal)
    assert (found.total.parts, found.kept_from) == (70, START + 130)
    assert any("Retention has removed" in line for line in report_text(found))
    assert report(journal, Period(START + 140, START + 200)).kept_from is None


def test_tells_what_became_of_rejects(journal: Journal) -> None:
    rejects = [
        entry.record.sequence for entry in journal.select("verdict = 'reject' AND captured >= ?", (START + 100,))
    ]
    kinds = ("done", "late", "failed", "unknown", "unknown")
    moved = [
        Actuation(1, "left", number, "ejector", kind, START, 41.0 if kind == "late" else None)
        for number, kind in zip(rejects, kinds, strict=False)
    ]
    journal.actuated(moved)
    with journal.reading() as connection:
        first = connection.execute("SELECT id FROM actuation WHERE outcome = 'unknown' ORDER BY id LIMIT 1").fetchone()[
            0
        ]
    journal.acknowledge_unknown(first, "M. Huber")
    (ejector,) = report(journal).actuators
    assert ejector.outcomes == {"done": 1, "late": 1, "failed": 1, "unknown": 2, "open": 15}
    assert (ejector.acknowledged, ejector.latest_ms) == (1, 41.0)


def test_tells_when_the_line_did_not_judge(tmp_path: Path) -> None:
    journal = new_journal(tmp_path)
    journal.append([record(5)])
    with journal.transaction() as connection:
        connection.execute("DELETE FROM run")
        runs = [(1, START, None), (2, START + 120, START + 140), (3, START + 160, None)]
        connection.executemany("INSERT INTO run VALUES (?, ?, ?, 'test', '{}')", runs)
        audits = [
            (START + 50, "M. Huber", "pause", "{}"),
            (START + 110, "M. Huber", "resume", "{}"),
            (START + 160, "start", "pause", '{"why": "the recipe is gone"}'),
            (START + 170, "M. Huber", "recipe", "{}"),
            (START + 190, "self-test", "pause", "{}"),
        ]
        connection.executemany("INSERT INTO audit (time, actor, action, detail) VALUES (?, ?, ?, ?)", audits)
    found = report(journal)
    assert list(found.standstills) == [
        Standstill("died", START + 5, START + 120),
        Standstill("paused", START + 50, START + 110, "M. Huber"),
        Standstill("stopped", START + 140, START + 160),
        Standstill("paused", START + 160, START + 170, "start", "the recipe is gone"),
        Standstill("paused", START + 190, None, "self-test"),
    ]
    assert [one["seconds"] for one in found.plain()["standstills"]] == [20, 10, 20, 10, 10]
    assert found.open_run == 3
    assert [entry.action for entry in found.changes] == ["resume", "pause", "recipe", "pause"]
    journal.close()


def test_shifts_keep_to_the_clock_of_the_place(berlin: None) -> None:
    now = moment("2027-03-28T15:00", 0)
    night, early, rest = shifts_of(Period(moment("2027-03-27T22:00", 0), now), SHIFTS)
    assert night.until - night.since == 7 * 3600  # the hour that was left out
    assert (early.until - early.since, rest.until - rest.since) == (8 * 3600, 3600)
    assert asked_period(None, None, SHIFTS, now) == early
    assert local(early.since) == "2027-03-28T06:00:00.000+02:00"
    assert str(early) == "2027-03-28 06:00 to 2027-03-28 14:00 (UTC+02:00)"
    assert asked_period("06:00", "14:00", (), now) == early
    assert asked_period("2027-03-28T04:00Z", "2027-03-28T14:00+02:00", (), now) == early
    assert asked_period(None, None, (), now) == Period(now - 86400, now)


@pytest.mark.parametrize("text", ["yesterday", "25:00", "2027-13-01", "", "1e99"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no time"):
        moment(text, START)


@pytest.mark.parametrize(("since", "until"), [(2.0, 2.0), (3.0, 2.0), (-1.0, 2.0), (1.0, 1e300), (float("nan"), 2.0)])
def test_an_empty_time_is_refused(since: float, until: float) -> None:
    with pytest.raises(ConfigError, match="no time between"):
        Period(since, until)


@pytest.mark.parametrize("text", ["6", "06:00,06:00", "06:00;14:00", "06:00,"])
def test_what_are_no_shifts_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no list"):
        shift_times(text)


def test_figures_by_shift_add_up(berlin: None, journal: Journal) -> None:
    wide = Period(START - 86400, START + 86400)
    found = report(journal, wide, SHIFTS)
    assert sum(row.parts for _, row in found.shifts) == found.total.parts == 300
    assert [one for one, row in found.shifts if row.parts] == [
        Period(moment("2027-01-15T06:00", 0), moment("2027-01-15T14:00", 0))
    ]


def test_csv_is_of_the_time_and_safe_in_a_spreadsheet(berlin: None, journal: Journal, tmp_path: Path) -> None:
    evil = ["=HYPERLINK(1)", "+1", "-2", "@SUM(1)", "\tx"]
    journal.append([record(300 + i, captured=START + 150, part=part, score=-0.5) for i, part in enumerate(evil)])
    assert export_journal(journal.folder, tmp_path / "x.csv", "csv", PERIOD) == 105
    content = (tmp_path / "x.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbfid,run,message_id,line,camera")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    assert {row["captured"][:10] for row in rows} <= {str(START + n)[:10] for n in range(100, 200)}
    assert rows[0]["captured_local"] == "2027-01-15T09:01:40.000+01:00"
    assert [row["part"] for row in rows[-5:]] == [f"'{part}" for part in evil]
    assert rows[-1]["score"] == "-0.5"  # a number stays one
    assert export_journal(journal.folder, tmp_path / "x.jsonl", "jsonl", PERIOD) == 105
    exact = [json.loads(line)["part"] for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert exact[-5:] == evil
    assert export_journal(journal.folder, tmp_path / "x.csv", "csv", Period(1, 2)) == 0
    assert (tmp_path / "x.csv").read_text(encoding="utf-8-sig").count("\n") == 1  # its header


def test_page_needs_nothing_else_and_shows_the_worst_parts(journal: Journal) -> None:
    cv2.imwrite(str(journal.folder / "worst.jpg"), np.full((400, 400, 3), 90, np.uint8))
    kept = record(300, verdict="reject", captured=START + 150, score=0.9, part="<b>P</b>", image="worst.jpg")
    journal.append([kept, replace(kept, sequence=301, score=0.95, image="gone.jpg")])
    found = report(journal)
    assert [one.score for one in found.worst[:3]] == [0.95, 0.9, 0.25]
    page = report_html(found, journal.folder)
    assert page.count("data:image/jpeg;base64,") == 1
    assert "No picture was kept" in page
    assert "&lt;b&gt;P&lt;/b&gt;" in page
    assert not [word for word in ("http:", "https:", "<script", "<b>P</b>") if word in page]


def test_a_walk_by_time_is_only_taken_where_it_is_the_shorter_way(journal: Journal) -> None:
    with journal.reading() as connection:

        def way(query: str, *values: object) -> str:
            return " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values))

        counted = "SELECT COUNT(*), verdict FROM verdict WHERE captured >= ? AND captured < ? GROUP BY verdict"
        assert "verdict_captured" in way(counted, 1, 2)
        condition, values = queries.Filter(since=1.0, until=2.0).conditions()
        gallery = f"SELECT id FROM verdict WHERE verdict = ? AND id < ?{condition} ORDER BY id DESC LIMIT 9"
        assert "verdict_kind" in way(gallery, "good", 5, *values)
        assert "TEMP" not in way(gallery, "good", 5, *values)
    assert report(journal, Period(START, START + 300)).total.parts == 300
    assert journal.forget(START + 10, [], 1000) == 10


def test_command_tells_it_and_refuses_in_one_line(snl_edge: Callable, journal: Journal, tmp_path: Path) -> None:
    span = ("--since", f"{local(PERIOD.since)}", "--until", f"{local(PERIOD.until)}")
    told = snl_edge("stream", "report", "journal", *span, "--json", "--out", "report.html")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["total"]["parts"] == 100
    assert "100" in (tmp_path / "report.html").read_text()
    exported = snl_edge("stream", "journal", "journal", "--export", "x.csv", *span)
    assert "100 records in x.csv" in exported.stdout
    for arguments, why in (
        (["report", "journal", "--since", "soon"], "is no time"),
        (["journal", "journal", "--since", "06:00"], "without an export"),
    ):
        refused = snl_edge("stream", *arguments)
        assert refused.returncode == 1
        assert why in refused.stderr
        assert len(refused.stderr.splitlines()) == 1, refused.stderr


def test_files_are_not_written_over_the_journal_or_a_device(
    snl_edge: Callable, journal: Journal, tmp_path: Path
) -> None:
    journal.close()
    folder = journal.folder
    (tmp_path / "alias").symlink_to(folder)
    os.mkfifo(tmp_path / "pipe")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for command, option, target in (
        ("report", "--out", tmp_path / "alias" / FILE),
        ("journal", "--export", folder / FILE),
        ("journal", "--export", tmp_path / "pipe"),
    ):
        told = snl_edge("stream", command, folder, option, target)
        assert (told.returncode, told.stdout, told.stderr.count("\n")) == (1, "", 1), told.stderr
        assert f"cannot write {target}" in told.stderr
    with pytest.raises(OutputError, match="the journal's own folder"):
        require_outside(folder, folder / "new" / "page.html")
    require_outside(folder, tmp_path / "journal.csv")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert (tmp_path / "pipe").is_fifo()


def test_a_damaged_journal_is_told_in_one_line(tmp_path: Path) -> None:
    new_journal(tmp_path).close()
    with sqlite3.connect(tmp_path / "journal.sqlite") as connection:
        connection.execute("ALTER TABLE verdict RENAME TO gone")
    with pytest.raises(DataError, match="cannot be read"):
        read_report(tmp_path, PERIOD, ())


@pytest.mark.parametrize("damage", ["text", "page"])
def test_a_damaged_journal_is_one_line_wherever_it_is_read(tmp_path: Path, damage: str) -> None:
    """Text that is none passes SQLite's own check; a page of zeros does not. Nothing is written into either."""
    folder = tmp_path / "journal"
    own = new_journal(folder)
    fill(own, 400)
    with own.transaction() as connection:
        if damage == "text":
            connection.execute("UPDATE verdict SET part = CAST(x'ff' AS TEXT) WHERE id = 7")
            connection.execute("UPDATE run SET config = '{'")
    own.close()
    file = folder / FILE
    if damage == "page":
        content = bytearray(file.read_bytes())
        content[4 * 4096 :] = bytes(len(content) - 4 * 4096)
        file.write_bytes(content)
    before = file.read_bytes()
    with pytest.raises(DataError, match="the journal in .* cannot be read.*Restore a backup"):
        export_journal(folder, tmp_path / "out.csv", "csv")
    assert not (tmp_path / "out.csv").exists()
    if damage == "page":
        with pytest.raises(DataError, match="cannot be read"):
            acknowledge(folder, "M. Huber")
        assert not check_journal(folder).consistent
    assert file.read_bytes() == before
