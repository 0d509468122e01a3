"""Store and forward, tested with the plainest receiver: a folder."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from journals import fill, new_journal, until
from pydantic import TypeAdapter, ValidationError

from snl_edge.stream.journal.journal import Journal
from snl_edge.stream.outputs.actuators import Actuator
from snl_edge.stream.outputs.sinks import Forwarder, JsonLinesSink, Sink, Sinks, build_sink
from snl_edge.stream.outputs.sinks.message import Message, json_schema

TESTS = Path(__file__).parents[1]
"""Where the parts lie that tests share, and that programs of tests import."""

pytestmark = pytest.mark.everywhere

CONFIG = TypeAdapter(Sink)


def running(journal: Journal, folder: Path, **settings: object) -> Forwarder:
    sink = build_sink(
        JsonLinesSink(type="jsonlines", folder=folder, retry_first_s=0.05, **settings), journal, lambda: "running"
    )
    sink.start()
    return sink


def lines(folder: Path) -> list[dict]:
    files = sorted(folder.glob("verdicts-*.jsonl")) + sorted(folder.glob("verdicts.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_every_verdict_comes_once_and_in_order(tmp_path: Path) -> None:
    journal = new_journal(tmp_path / "journal")
    sink = running(journal, tmp_path / "out", batch=7)
    ids = fill(journal, 40)
    sink.wake()
    assert sink.stop(10)
    assert [line["message_id"] for line in lines(tmp_path / "out")] == ids
    assert (sink.delivered, sink.backlog, sink.parked, sink.failures) == (40, 0, 0, 0)
    assert journal.position("jsonlines") == 40
    assert Message.model_validate(lines(tmp_path / "out")[1]).regions[0].peak == 0.9


def test_a_new_sink_begins_with_new_verdicts_unless_it_is_to_backfill(tmp_path: Path) -> None:
    journal = new_journal(tmp_path / "journal")
    old = fill(journal, 3)
    sinks = [running(journal, tmp_path / "new"), running(journal, tmp_path / "all", name="all", backfill=True)]
    new = fill(journal, 2, 3)
    for sink in sinks:
        assert sink.stop(10)
    assert [line["message_id"] for line in lines(tmp_path / "new")] == new
    assert [line["message_id"] for line in lines(tmp_path / "all")] == old + new


def test_good_ones_can_be_left_out(tmp_path: Path) -> None:
    journal = new_journal(tmp_path / "journal")
    sink = running(journal, tmp_path / "out", verdicts="not_good")
    fill(journal, 10)
    assert sink.stop(10)
    assert [line["verdict"] for line in lines(tmp_path / "out")] == ["reject", "unknown", "failsafe"] * 2
    assert journal.position("jsonlines") == 10


def test_a_folder_that_cannot_be_written_delays_but_loses_nothing(tmp_path: Path) -> None:
    journal = new_journal(tmp_path / "journal")
    (tmp_path / "out").write_text("a file in the folder's place")
    sink = running(journal, tmp_path / "out")
    ids = fill(journal, 5)
    sink.wake()
    until(lambda: sink.failures > 2 and sink.backlog == 5)
    assert sink.check().light == "warning"
    assert "cannot write" in sink.check().text
    assert not sink.stop(0.2)
    (tmp_path / "out").unlink()
    again = running(journal, tmp_path / "out")
    assert again.stop(10)
    assert [line["message_id"] for line in lines(tmp_path / "out")] == ids


def test_several_sinks_share_the_time_to_finish(tmp_path: Path) -> None:
    journal = new_journal(tmp_path / "journal")
    (tmp_path / "out").write_text("a file in the folder's place")
    sinks = [running(journal, tmp_path / "out", name=name) for name in "abc"]
    fill(journal, 5)
    for sink in sinks:
        sink.finish(0.5)
    until(lambda: not any(sink.is_alive() for sink in sinks))
    assert [sink.stop(3600) for sink in sinks] == [False] * 3
    assert [journal.position(name) for name in "abc"] == [0] * 3


def test_full_files_are_closed_and_the_oldest_go(tmp_path: Path) -> None:
    journal = new_journal(tmp_path / "journal")
    sink = running(journal, tmp_path / "out", batch=1, max_mb=0.001, keep=3)
    ids = fill(journal, 20)
    assert sink.stop(10)
    assert len(list((tmp_path / "out").glob("verdicts-*.jsonl"))) == 3
    kept = [line["message_id"] for line in lines(tmp_path / "out")]
    assert kept == ids[-len(kept) :]


def test_half_a_line_of_a_crash_is_cut_off(tmp_path: Path) -> None:
    journal = new_journal(tmp_path / "journal")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "verdicts.jsonl").write_text('{"message_id": "whole"}\n{"message_id": "ha')
    sink = running(journal, tmp_path / "out")
    ids = fill(journal, 1)
    assert sink.stop(10)
    assert [line["message_id"] for line in lines(tmp_path / "out")] == ["whole", *ids]


def test_what_comes_between_the_last_look_and_the_stop_is_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = new_journal(tmp_path / "journal")
    look, ids = Forwarder._turn, []

    def look_and_stop(self: Forwarder) -> bool:
        handled = look(self)
        if not ids:
            ids.extend(fill(journal, 1))
            self.finish(10)
        return handled

    monkeypatch.setattr(Forwarder, "_turn", look_and_stop)
    sink = running(journal, tmp_path / "out")
    sink.join(10)
    assert sink.stop(1)
    assert [line["message_id"] for line in lines(tmp_path / "out")] == ids


KILLED = """
import os, signal, sys
from pathlib import Path
from journals import fill
from snl_edge.stream.outputs.actuators import Actuator
from snl_edge.stream.journal.journal import Journal
from snl_edge.stream.outputs.sinks import forwarding, jsonlines, JsonLinesSink, build_sink

forwarding.ACKNOWLEDGE_S = 3600.0  # as if the kill came just before the cursor was noted
write = jsonlines.JsonLinesTransport.deliver
def deliver_and_die(self, entries):
    write(self, entries)
    if entries and entries[-1].id >= 30:
        os.kill(os.getpid(), signal.SIGKILL)
    return len(entries)
jsonlines.JsonLinesTransport.deliver = deliver_and_die

journal = Journal(Path(sys.argv[1]))
journal.begin("test", "{}")
settings = JsonLinesSink(type="jsonlines", folder=Path(sys.argv[2]), batch=10)
sink = build_sink(settings, journal, lambda: "running")
fill(journal, 60)
sink.start()
sink.join()
"""


def test_killed_halfway_and_started_again_all_is_there_and_repeats_tell(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "journal"), str(tmp_path / "out")]
    dead = subprocess.run(command, cwd=TESTS, timeout=60, check=False, capture_output=True, text=True)
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    assert len(lines(tmp_path / "out")) == 30
    journal = Journal(tmp_path / "journal")
    assert journal.position("jsonlines") == 0
    assert running(journal, tmp_path / "out").stop(10)
    got = [line["message_id"] for line in lines(tmp_path / "out")]
    assert set(got) == {f"{journal.id}:{number}" for number in range(1, 61)}
    assert len(got) == 90
    assert got[30:] == [f"{journal.id}:{number}" for number in range(1, 61)]


def test_a_dead_journal_is_a_failure_and_no_end(tmp_path: Path) -> None:
    journal = new_journal(tmp_path / "journal")
    sink = running(journal, tmp_path / "out")
    shutil.move(tmp_path / "journal", tmp_path / "away")
    sink.wake()
    until(lambda: sink.failures)
    shutil.move(tmp_path / "away", tmp_path / "journal")
    ids = fill(journal, 2)
    assert sink.stop(10)
    assert [line["message_id"] for line in lines(tmp_path / "out")] == ids


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"type": "mqtt"}, "host"),
        ({"type": "mqtt", "host": "h", "topic": "a/#"}, "topic"),
        ({"type": "mqtt", "host": "h", "password": "secret"}, "password"),
        ({"type": "mqtt", "host": "h", "password": {"env": "A", "file": "b"}}, "one of"),
        ({"type": "mqtt", "host": "h", "password": {"env": "A"}}, "needs user"),
        ({"type": "mqtt", "host": "h", "tls": {"key": "k"}}, "go together"),
        ({"type": "webhook", "url": "ftp://h"}, "http"),
        ({"type": "webhook", "url": "http://h", "tls": {"ca": "c"}}, "https"),
        ({"type": "webhook", "url": "https://me:secret@h"}, "token"),
        ({"type": "opcua", "users": {"me": {"env": "A"}}}, "in clear"),
        ({"type": "opcua", "security": ["sign"]}, "certificate"),
        ({"type": "jsonlines", "folder": "f", "batch": 0}, "batch"),
        ({"type": "kafka"}, "kafka"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        CONFIG.validate_python(settings)


def test_two_sinks_need_two_names() -> None:
    one = {"type": "jsonlines", "folder": "a"}
    TypeAdapter(Sinks).validate_python([one, {**one, "name": "other"}])
    with pytest.raises(ValidationError, match="two sinks are named jsonlines"):
        TypeAdapter(Sinks).validate_python([one, one])


def test_packages_of_the_sinks_wait_until_one_is_built() -> None:
    program = """
import sys, snl_edge.stream.outputs.sinks, snl_edge.stream.outputs.actuators
heavy = {"paho", "asyncua", "urllib3", "pymodbus", "gpiod", "cryptography", "torch"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_published_schema_is_that_of_the_messages() -> None:
    published = Path(__file__).parents[2] / "docs" / "verdict.schema.json"
    assert published.read_text(encoding="utf-8") == json.dumps(json_schema(), indent=2) + "\n"


def test_each_snippet_of_the_documentation_is_valid() -> None:
    text = (Path(__file__).parents[2] / "docs" / "sinks.md").read_text(encoding="utf-8")
    snippets = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    sinks = [sink for snippet in snippets for sink in snippet.get("sinks", [])]
    actuators = [actuator for snippet in snippets for actuator in snippet.get("actuators", [])]
    assert {sink["type"] for sink in sinks} == {"mqtt", "webhook", "opcua", "jsonlines", "pictures"}
    sinks[0]["host"] = actuators[0]["host"] = "left out in the general part"
    actuators[0]["coil"] = 1
    TypeAdapter(list[Sink]).validate_python(sinks)
    TypeAdapter(list[Actuator]).validate_python(actuators)


NO_SPACE = """
import json, resource, sys
from pathlib import Path
from journals import fill, new_journal, until
from snl_edge.stream.outputs.sinks import JsonLinesSink, build_sink

# A limit on the size of files acts like a full disk: a write stops halfway, the next one fails.
journal = new_journal(Path(sys.argv[1]) / "journal")
settings = JsonLinesSink(type="jsonlines", folder=Path(sys.argv[1]) / "out", retry_first_s=0.05, batch=20)
sink = build_sink(settings, journal, lambda: "running")
ids = fill(journal, 40)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
sink.start()
until(lambda: sink.failures > 2)
assert "File too large" in sink.check().text, sink.check()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert sink.stop(20)
got = [json.loads(line)["message_id"] for line in (Path(sys.argv[1]) / "out" / "verdicts.jsonl").open()]
assert list(dict.fromkeys(got)) == ids, got
assert len(got) > 40
"""


def test_a_full_disk_leaves_no_broken_line_and_loses_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", NO_SPACE, str(tmp_path)]
    done = subprocess.run(command, cwd=TESTS, timeout=60, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
