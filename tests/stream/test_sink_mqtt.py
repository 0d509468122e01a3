"""The MQTT sink with a real broker, mosquitto."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from brokers import MOSQUITTO, Broker, Listener, free_port
from certificates import Authority
from journals import fill, record, until

from snl_edge.stream.journal.journal import Journal
from snl_edge.stream.outputs.sinks import Forwarder, MqttSink, build_sink

TESTS = Path(__file__).parents[1]
"""Where the parts lie that tests share, and that programs of tests import."""

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed: apt-get install mosquitto")


class Wire:
    """A proxy before the broker. ``passing``: whether it lets anyone through.

    ``armed``: once it has seen a verdict's PUBLISH reach the broker, it kills the broker before any PUBACK gets back.
    """

    def __init__(self, broker: Broker) -> None:
        self.passing = True
        self.armed = False
        self.port = free_port()
        self._broker = broker
        self._published = False
        self._listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            here, _ = self._listening.accept()
            try:
                if not self.passing:
                    raise ConnectionRefusedError
                there = socket.create_connection(("127.0.0.1", self._broker.port))
            except OSError:
                here.close()
                continue
            threading.Thread(target=self._out, args=(here, there), daemon=True).start()
            threading.Thread(target=self._back, args=(there, here), daemon=True).start()

    def _out(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._published = self._published or b"message_id" in data
                target.sendall(data)
        _hang_up(source, target)

    def _back(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self.armed and self._published:
                    self.passing = False
                    self._broker.kill()
                    self.armed = False
                    break
                target.sendall(data)
        _hang_up(source, target)


def _hang_up(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "broker")
    yield broker
    broker.kill()


def running(journal: Journal, port: int, **settings: object) -> Forwarder:
    defaults = {"type": "mqtt", "host": "127.0.0.1", "port": port, "topic": "plant/cell", "retry_first_s": 0.05}
    sink = build_sink(MqttSink(**{**defaults, "timeout_s": 3, **settings}), journal, lambda: "running")
    sink.start()
    return sink


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_every_verdict_arrives_once_under_its_camera(journal: Journal, broker: Broker, protocol: str) -> None:
    listener = Listener(broker.port)
    sink = running(journal, broker.port, protocol=protocol)
    ids = fill(journal, 250)
    journal.append([record(0, camera="top/+")])
    assert sink.stop(20)
    until(lambda: len(listener.ids()) == 251)
    until(lambda: listener.states() == ["online", "offline"])
    listener.close()
    assert listener.ids()[:250] == ids
    verdicts = [(topic, message) for topic, message in listener.messages if "/verdict/" in topic]
    assert {topic for topic, _ in verdicts} == {"plant/cell/verdict/left", "plant/cell/verdict/top__"}
    assert verdicts[1][1]["verdict"] == "reject"
    assert verdicts[1][1]["captured"] == "2027-01-15T08:00:01Z"
    assert (sink.delivered, sink.failures) == (251, 0)


def test_a_broker_that_was_away_gets_everything_when_it_is_back(journal: Journal, broker: Broker) -> None:
    listener = Listener(broker.port)
    wire = Wire(broker)
    sink = running(journal, wire.port)
    ids = fill(journal, 5)
    sink.wake()
    until(lambda: listener.ids() == ids)
    wire.passing = False
    broker.kill()
    until(lambda: sink.check().light == "warning")  # though there is nothing to send
    ids += fill(journal, 30, 5)
    sink.wake()
    until(lambda: sink.backlog == 30 and sink.failures > 2)
    assert str(wire.port) in sink.check().text
    broker.start()
    listener.renew()  # the plant's listener is there again; only then may the sink get through
    wire.passing = True
    assert sink.stop(20)
    until(lambda: listener.ids() == ids)
    listener.close()
    assert sink.check().light == "failed"  # stopped
    assert sink.delivered == 35


def test_when_the_sink_dies_the_broker_publishes_its_will(journal: Journal, broker: Broker) -> None:
    listener = Listener(broker.port)
    program = f"""
import os, time
from pathlib import Path
from journals import fill, new_journal
from snl_edge.stream.outputs.sinks import MqttSink, build_sink
journal = new_journal(Path({str(journal.folder)!r}) / "other")
sink = build_sink(MqttSink(type="mqtt", host="127.0.0.1", port={broker.port}), journal, lambda: "running")
sink.start()
fill(journal, 1)
while not sink.delivered: time.sleep(0.01)
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", program], cwd=TESTS, timeout=60, check=False)
    until(lambda: listener.states() == ["online", "offline"])
    listener.close()
    late = Listener(broker.port, "snl-edge/status")
    until(lambda: late.states() == ["offline"])  # retained
    late.close()


def test_a_broker_killed_between_publish_and_puback_may_repeat_but_not_lose(journal: Journal, broker: Broker) -> None:
    listener = Listener(broker.port)
    wire = Wire(broker)
    wire.armed = True
    sink = running(journal, wire.port, batch=10)
    ids = fill(journal, 40)
    sink.wake()
    until(lambda: not wire.armed and sink.failures)
    assert sink.delivered == 0
    broker.start()
    listener.renew()
    wire.passing = True
    assert sink.stop(20)
    assert (sink.delivered, sink.backlog) == (40, 0)
    until(lambda: set(listener.ids()) == set(ids))
    listener.close()
    assert 40 <= len(listener.ids()) <= 50


def test_a_broker_that_hangs_is_left_and_tried_again(journal: Journal, broker: Broker) -> None:
    listener = Listener(broker.port)
    sink = running(journal, broker.port, timeout_s=0.5)
    until(lambda: "online" in listener.states())
    broker.signal(signal.SIGSTOP)
    ids = fill(journal, 5)
    sink.wake()
    until(lambda: sink.failures)
    assert "does not confirm" in sink.check().text or "does not answer" in sink.check().text
    broker.signal(signal.SIGCONT)
    until(lambda: set(listener.ids()) == set(ids))
    assert sink.stop(10)
    listener.close()


def test_a_wrong_password_is_said_plainly_and_loses_nothing(journal: Journal, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    tool = shutil.which("mosquitto_passwd")
    assert tool
    subprocess.run([tool, "-c", "-b", str(passwords), "line", "right"], check=True)
    broker = Broker(tmp_path / "broker", "allow_anonymous false", f"password_file {passwords}")
    secret = tmp_path / "secret"
    secret.write_text("wrong\n")
    sink = running(journal, broker.port, user="line", password={"file": secret})
    fill(journal, 3)
    sink.wake()
    until(lambda: sink.failures > 1 and sink.backlog == 3)
    assert "Not authorized" in sink.check().text or "Bad user name" in sink.check().text
    assert "wrong" not in sink.check().text
    secret.write_text("right\n")  # read again at each try
    until(lambda: sink.delivered == 3)
    assert sink.stop(10)
    broker.kill()


def test_a_topic_that_the_broker_forbids_is_a_failure_not_a_loss(journal: Journal, tmp_path: Path) -> None:
    rights = tmp_path / "acl"
    rights.write_text("topic readwrite plant/cell/status\n")
    broker = Broker(tmp_path / "broker", "allow_anonymous true", f"acl_file {rights}")
    sink = running(journal, broker.port)
    fill(journal, 3)
    sink.wake()
    until(lambda: sink.failures > 1 and sink.backlog == 3)
    assert "refuses messages: Not authorized" in sink.check().text
    assert not sink.stop(0.3)
    assert (sink.delivered, sink.parked) == (0, 0)
    broker.kill()


def test_tls_works_with_the_plants_authority_and_not_with_another(journal: Journal, tmp_path: Path) -> None:
    right, wrong = Authority(tmp_path / "right"), Authority(tmp_path / "wrong")
    certificate, key = right.issue("broker")
    lines = ("allow_anonymous true", f"certfile {certificate}", f"keyfile {key}", f"cafile {right.ca}")
    broker = Broker(tmp_path / "broker", *lines, "require_certificate true")
    ours, our_key = right.issue("line")
    own = {"certificate": ours, "key": our_key}
    listener = Listener(broker.port, ca_certs=str(right.ca), certfile=str(ours), keyfile=str(our_key))
    sink = running(journal, broker.port, tls={"ca": right.ca, **own})
    wary = running(journal, broker.port, name="wary", tls={"ca": wrong.ca, **own})
    ids = fill(journal, 4)
    assert sink.stop(10)
    until(lambda: listener.ids() == ids)
    until(lambda: wary.failures)
    assert "not trusted" in wary.check().text
    assert not wary.stop(0.2)
    assert (wary.delivered, wary.backlog) == (0, 4)
    listener.close()
    broker.kill()


KILLED = """
import os, sys, time
from pathlib import Path
from journals import fill
from snl_edge.stream.journal.journal import Journal
from snl_edge.stream.outputs.sinks import MqttSink, build_sink
journal = Journal(Path(sys.argv[1]))
journal.begin("test", "{}")
settings = MqttSink(type="mqtt", host="127.0.0.1", port=int(sys.argv[2]), batch=5)
sink = build_sink(settings, journal, lambda: "running")
sink.start()
fill(journal, 400)
sink.wake()
while sink.delivered < 200: time.sleep(0.0005)
os.kill(os.getpid(), 9)
"""


def test_killed_with_half_delivered_then_started_again_all_arrives(tmp_path: Path, broker: Broker) -> None:
    listener = Listener(broker.port)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "line"), str(broker.port)]
    dead = subprocess.run(command, cwd=TESTS, timeout=60, check=False, capture_output=True, text=True)
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    time.sleep(0.2)
    before = len(listener.ids())
    assert 200 <= before < 400
    journal = Journal(tmp_path / "line")
    sink = running(journal, broker.port)
    assert sink.stop(20)
    expected = {f"{journal.id}:{number}" for number in range(1, 401)}
    until(lambda: set(listener.ids()) == expected)
    listener.close()
    repeated = len(listener.ids()) - 400
    assert 0 <= repeated <= before
