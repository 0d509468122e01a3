"""Each reject on disk has an outcome or an intent, and what nobody knows is said until somebody acknowledges it."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from journals import new_journal, record
from lines import light, line_config, run_to_end, running, wait_for, write_parts
from prometheus_client import generate_latest

from snl_edge.errors import OutputError
from snl_edge.service.run import _signals
from snl_edge.stream.journal.actuations import ENDED, KILLED
from snl_edge.stream.journal.journal import Journal
from snl_edge.stream.journal.soundness import check_journal
from snl_edge.stream.line import RunningLine
from snl_edge.stream.outputs.actuators import Account, OutcomeLog
from snl_edge.stream.outputs.actuators.actuator_settings import ActuatorSettings
from snl_edge.stream.records.actuation import Actuation
from snl_edge.stream.records.record import Record
from snl_edge.stream.report.export import export_journal
from studies.small_bundle import write_small_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_bundle(tmp_path_factory.mktemp("bundles") / "small", 64).path


def rejected(sequence: int, **changes: object) -> Record:
    return record(sequence, **{"verdict": "reject", "action": "reject", **changes})


def outcome(sequence: int, run: int = 1, actuator: str = "ejector", kind: str = "done") -> Actuation:
    return Actuation(run, "left", sequence, actuator, kind, time.time(), 1.0)  # pyright: ignore[reportArgumentType]


def concerned(record: Record) -> list[str]:
    return ["ejector", "marker"] if record.action == "reject" else []


def killed(folder: Path, count: int = 3) -> Journal:
    """A journal whose first run died with ``count`` rejects on their way and a good one; the first has its outcome."""
    journal = new_journal(folder)
    journal.append([rejected(number) for number in range(count + 1)] + [record(count + 1, verdict="good")], concerned)
    journal.actuated([outcome(0), outcome(0, actuator="marker")])
    journal.run = 0  # as kill -9 leaves it: the run has no end
    return journal


def states(journal: Journal, *ids: int) -> dict[int, list[str]]:
    return {number: [one.outcome for one in found] for number, found in journal.outcomes(ids).items()}


def test_an_intent_comes_with_its_verdict_and_goes_with_its_outcome(tmp_path: Path) -> None:
    journal = new_journal(tmp_path)
    ids = journal.append([rejected(0), record(1, verdict="good"), rejected(2)], concerned)
    assert states(journal, *ids) == {1: ["open", "open"], 3: ["open", "open"]}
    journal.actuated([outcome(0)])
    assert states(journal, *ids) == {1: ["done", "open"], 3: ["open", "open"]}
    with pytest.raises(sqlite3.IntegrityError):
        journal.append([rejected(4), rejected(2)], concerned)  # one transaction: neither verdict nor intent
    assert journal.last() == 3
    # Acted upon before the disk took the verdict: no intent is left of what already has its outcome.
    journal.actuated([outcome(5)])
    (number,) = journal.append([rejected(5)], concerned)
    assert states(journal, number) == {number: ["done", "open"]}
    journal.close()


def test_what_a_run_left_open_is_unknown_from_the_next_start_on_until_acknowledged(tmp_path: Path) -> None:
    journal = killed(tmp_path)
    assert journal.unaccounted() is None
    journal.begin("test", "{}")
    assert states(journal, 1, 2, 5) == {1: ["done", "done"], 2: ["unknown", "unknown"]}
    assert {one.detail for one in journal.actuations() if one.outcome == "unknown"} == {KILLED}
    journal.append([rejected(0)], concerned)
    journal.close()  # in order, but the outcome did not come
    journal = Journal(tmp_path)
    journal.begin("test", "{}")
    assert [one.detail for one in journal.actuations(3)] == [ENDED, ENDED, KILLED]
    lost = journal.unaccounted()
    assert lost is not None
    assert (lost.rejects, lost.runs, str(lost)) == (4, (1, 2), "4 rejects of runs 1, 2")
    journal.begin("test", "{}")
    assert journal.unaccounted() == lost  # each is written once
    assert journal.forget(time.time() + 1e9, []) == 6  # verdicts go by age; what nobody has looked for stays
    assert journal.unaccounted() == lost
    first = journal.acknowledge_unknown(lost.last - 2, "M. Huber")
    assert first is not None
    assert (first.rejects, first.runs) == (3, (1,))
    assert str(journal.unaccounted()) == "1 reject of run 2"
    journal.acknowledge_unknown(lost.last, "line 4")
    assert journal.acknowledge_unknown(lost.last, "too late") is None
    journal.close()
    journal = Journal(tmp_path)
    assert journal.unaccounted() is None
    assert [(entry.actor, entry.action, entry.detail) for entry in journal.audits()] == [
        ("line 4", "acknowledge", {"rejects": 1, "runs": [2]}),
        ("M. Huber", "acknowledge", {"rejects": 3, "runs": [1]}),
    ]
    assert all(one.acknowledged for one in journal.actuations() if one.outcome == "unknown")
    journal.forget(time.time() + 1e9, [])
    journal.close()


def test_health_tells_what_waits_what_stands_and_what_is_overdue(tmp_path: Path) -> None:
    journal = new_journal(tmp_path)
    log = OutcomeLog(journal)
    log.start()
    ejector = SimpleNamespace(name="ejector", settings=ActuatorSettings(), standing=0)
    account = Account(journal, log, [ejector])  # pyright: ignore[reportArgumentType]

    def told() -> tuple[str, str]:
        check = account.check()
        assert check is not None
        return check.light, check.text

    assert told() == ("ok", "every reject's outcome is in the journal")
    now = time.time()
    journal.append([rejected(0, decided=now), rejected(1, decided=now - 100)], lambda record: ["ejector"])
    overdue = "2 rejects on the way; 1 of them should have had an outcome 60 s ago"
    assert told() == ("warning", overdue)
    ejector.standing = 2  # the belt stands still, and they with it
    light, text = told()
    assert light == "ok"
    assert text.startswith("2 rejects on the way; 1 of them for more than 60 s, as the line stands still")
    journal._writer.execute("PRAGMA query_only = ON")
    log.note(outcome(0))
    log.note(outcome(1))
    end = time.monotonic() + 10
    while not log.trouble and time.monotonic() < end:
        time.sleep(0.01)
    assert told()[0] == "failed"
    assert "readonly" in told()[1]
    journal._writer.execute("PRAGMA query_only = OFF")
    assert log.stop(5)
    assert states(journal, 1, 2) == {1: ["done"], 2: ["done"]}
    assert told()[1] == "not running"
    assert Account(journal, log, []).check() is None
    journal.close()
    (tmp_path / "journal.sqlite").unlink()
    assert told()[1].startswith("the journal cannot be read")
    assert account.waiting is None


def test_outcomes_that_the_disk_refuses_to_the_end_are_in_the_log(tmp_path: Path, capsys) -> None:
    journal = new_journal(tmp_path)
    log = OutcomeLog(journal)
    log.start()
    journal.append([rejected(7)], lambda record: ["ejector"])
    journal._writer.execute("PRAGMA query_only = ON")
    log.note(outcome(7))
    assert not log.stop(0.1)
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line.removeprefix("snl-edge: not in the journal: "))["sequence"] == 7
    journal._writer.execute("PRAGMA query_only = OFF")
    journal.begin("test", "{}")
    assert states(journal, 1) == {1: ["unknown"]}
    journal.close()


def test_a_line_says_so_until_somebody_acknowledges(bundle: Path, tmp_path: Path) -> None:
    """Also where the actuator is no more in the line's file; a restart does not make it forget."""
    killed(tmp_path / "journal").close()
    write_parts(tmp_path / "parts", 1)
    config = line_config(bundle, tmp_path)
    for _ in range(2):
        with running(config) as line:
            assert light(line, "actuation record") == "failed"
            status = line.status()
            (text,) = [check.text for check in status.checks if check.name == "actuation record"]
            assert text.startswith("3 rejects of run 1 have no known outcome: check the bin, then acknowledge")
    with running(config) as line:
        lost = line.status().unaccounted
        assert lost is not None
        assert line.acknowledge(lost.last, "M. Huber") == lost
        assert line.status().unaccounted is None
        assert "actuation record" not in {check.name for check in line.status().checks}


def test_what_was_acted_upon_before_the_disk_took_it_is_told(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("pymodbus", reason="pymodbus is not installed: pip install 'snl-edge[modbus]'")
    write_parts(tmp_path / "parts", 5, spots=(2,))
    away = {"type": "modbus", "name": "ejector", "host": "127.0.0.1", "port": 1, "coil": 0}
    camera = {"trigger": {"type": "software"}}
    config = line_config(bundle, tmp_path, camera=camera, actuators=[away], journal={"patience_ms": 20})
    with running(config) as line:
        wait_for(lambda: light(line, "camera camera") == "ok")
        line.journal._writer.execute("PRAGMA query_only = ON")
        for _ in range(5):
            line.trigger("camera", None, None)
        wait_for(lambda: line.recorder.acted_early == line.recorder.backlog == 5)
        wait_for(lambda: light(line, "journal") == "failed")
        (text,) = [check.text for check in line.status().checks if check.name == "journal"]
        assert (
            "5 verdicts wait in memory, and actuators were told to move for 1 of them without a trace on disk" in text
        )
        line.journal._writer.execute("PRAGMA query_only = OFF")
        wait_for(lambda: line.recorder.committed == 5)
    found = line.journal.outcomes(range(1, 6))
    assert [[one.outcome in ("late", "failed") for one in outcomes] for outcomes in found.values()] == [[True]]


def test_metrics_tell_outcomes_and_what_is_not_known(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("pymodbus", reason="pymodbus is not installed: pip install 'snl-edge[modbus]'")
    killed(tmp_path / "journal").close()
    write_parts(tmp_path / "parts", 3, spots=(1,))
    away = {"type": "modbus", "name": "ejector", "host": "127.0.0.1", "port": 1, "coil": 0}
    line = run_to_end(line_config(bundle, tmp_path, actuators=[away]))
    text = generate_latest(line.metrics.registry).decode()
    missed = re.findall(r'snl_edge_actuations_total{actuator="ejector",outcome="(?:late|failed)"} (\S+)', text)
    assert sum(map(float, missed)) == 1
    assert "snl_edge_unaccounted 3.0" in text
    assert "snl_edge_intents 0.0" in text


def test_the_command_lists_and_acknowledges_while_a_line_runs_and_while_none_does(tmp_path: Path, snl_edge) -> None:
    journal = killed(tmp_path / "journal", 2)
    done = snl_edge("stream", "journal")
    assert "run 1 left at ejector: 1 done, 2 open" in done.stdout
    done = snl_edge("stream", "acknowledge", "--by", "M. Huber")
    assert done.returncode == 0, done.stderr
    first, *_, last = done.stdout.splitlines()
    assert first.startswith("run 1 left 1 at ejector, part P1, captured 2027-01-15 08:00:01")
    assert last == "2 rejects of run 1 acknowledged by M. Huber"
    journal.close()
    holder = Journal(tmp_path / "journal", hold=True)  # as a running line does
    holder.begin("test", "{}")
    holder.append([rejected(0)], concerned)
    done = snl_edge("stream", "acknowledge", "--by", "M. Huber")
    assert done.stdout == "every reject's outcome is known, or was acknowledged before\n"
    assert states(holder, 5) == {5: ["open", "open"]}  # its own, and on their way
    holder.close()


def test_report_and_export_know_each_outcome(tmp_path: Path) -> None:
    journal = killed(tmp_path / "journal", 1)
    journal.begin("test", "{}")
    journal.append([rejected(0)], concerned)
    journal.close()
    report = check_journal(tmp_path / "journal")
    assert (report.unaccounted, report.consistent) == (1, True)
    assert [camera.outcomes["ejector"] for camera in report.cameras] == [{"done": 1, "unknown": 1}, {"open": 1}]
    assert export_journal(tmp_path / "journal", tmp_path / "out.jsonl", "jsonl") == 4
    rows = [json.loads(row) for row in (tmp_path / "out.jsonl").read_text().splitlines()]
    found = [{one["actuator"]: one["outcome"] for one in row["outcomes"]} for row in rows]
    both = ("ejector", "marker")
    assert found == [dict.fromkeys(both, "done"), dict.fromkeys(both, "unknown"), {}, dict.fromkeys(both, "open")]
    export_journal(tmp_path / "journal", tmp_path / "out.csv", "csv")
    assert '""outcome"": ""unknown""' in (tmp_path / "out.csv").read_text().splitlines()[2]


def test_a_second_line_on_one_journal_is_refused(bundle: Path, tmp_path: Path) -> None:
    write_parts(tmp_path / "parts", 1)
    config = line_config(bundle, tmp_path)
    with running(config) as line:
        with pytest.raises(OutputError, match=f"is in use: a line that runs as process {os.getpid()} writes to it"):
            RunningLine(config)
        assert line.journal.last() <= 1
    with running(config):
        pass


def test_a_journal_whose_creation_was_broken_off_is_made_anew(tmp_path: Path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("snl_edge.stream.journal.schema._SCHEMA", "CREATE TABLE run (id INTEGER); CREATE NONSENSE;")
        with pytest.raises(OutputError, match="NONSENSE"):
            Journal(tmp_path, hold=True)
    Journal(tmp_path, hold=True).close()
    half = tmp_path / "half"
    half.mkdir()
    with sqlite3.connect(half / "journal.sqlite") as connection:
        connection.execute("CREATE TABLE journal (id TEXT)")
    with pytest.raises(OutputError, match="remove it"):
        Journal(half)


def test_sigterm_ends_in_order_however_often_it_comes() -> None:
    hits: list[int] = []
    caught = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda number, _: hits.append(number)) for number in caught}
    try:
        with _signals() as asked:
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGTERM)
            assert asked.is_set()
            assert hits == []
            os.kill(os.getpid(), signal.SIGINT)
            assert hits == []
            os.kill(os.getpid(), signal.SIGINT)
            assert hits == [signal.SIGINT]
        os.kill(os.getpid(), signal.SIGTERM)
        assert hits == [signal.SIGINT, signal.SIGTERM]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_line_that_is_killed_again_and_again_loses_no_reject(tmp_path: Path) -> None:
    """With a real PLC's word: what it was told to move for is known to have moved, or said to be unknown."""
    pytest.importorskip("pymodbus", reason="pymodbus is not installed: pip install 'snl-edge[modbus]'")
    from studies.line.kills import kill_line

    found = kill_line(tmp_path, 3, seed=1)
    assert found["unknown"] > 0
    assert found["done"] > 0
    assert found["rejects"] == found["done"] + found["late"] + found["failed"] + found["unknown"]
    assert found["late"] + found["failed"] <= 0.1 * found["rejects"]
    zero = ("open", "rejects_without_trace", "outcomes_twice", "pulses_unrecorded", "done_without_pulse")
    assert {name: found[name] for name in zero} == dict.fromkeys(zero, 0)
    assert found["unacknowledged"] == found["unknown"]
    assert found["journal_consistent"]
