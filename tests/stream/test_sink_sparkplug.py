"""The MQTT sink as a Sparkplug edge node with a real broker, mosquitto."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from brokers import MOSQUITTO, Broker
from journals import fill, new_journal, record, until
from pydantic import ValidationError

from snl_edge.stream.control.interface import State
from snl_edge.stream.journal.journal import Journal
from snl_edge.stream.outputs.sinks import Forwarder, MqttSink, build_sink
from snl_edge.stream.outputs.sinks.sparkplug_payload import BOOLEAN, DOUBLE, INT64, STRING, Metric, decode, encode

NODE = {"group": "Plant1", "node": "line1"}
needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed: apt-get install mosquitto")


def test_payloads_are_those_of_the_published_schema() -> None:
    """Bytes as the code that `protoc` makes of Eclipse Tahu's sparkplug_b.proto encodes them."""
    metrics = [
        Metric("bdSeq", INT64, 3, 1000),
        Metric("Node Control/Rebirth", BOOLEAN, False, 1000),
        Metric("Part/Score", DOUBLE, 0.5, 999, historical=True),
        Metric("Part/Reason", STRING, None, 999),
        Metric("Part/Verdict", STRING, "reject", 999),
    ]
    assert encode(1000, 7, metrics, typed=True).hex() == GOLDEN
    assert decode(bytes.fromhex(GOLDEN))[:2] == (1000, 7)
    with pytest.raises(ValueError, match="no Sparkplug payload"):
        decode(b"\xff\xff")


GOLDEN = (
    "08e807120e0a05626453657118e80720045803121d0a144e6f646520436f6e74726f6c2f5265626972746818e807200b7000"
    "121c0a0a506172742f53636f726518e707200a280169000000000000e03f12140a0b506172742f526561736f6e18e707200c"
    "3801121b0a0c506172742f5665726469637418e707200c7a0672656a6563741807"
)


class Told(NamedTuple):
    topic: str
    seq: int | None
    values: dict
    content: bytes
    qos: int
    retained: bool


class Host:
    """A host application that notes what is said, and may ask for a rebirth."""

    def __init__(self, port: int) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.heard: list[Told] = []
        subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, "host")
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = self._note
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe("spBv1.0/#", 1)
        assert subscribed.wait(10)

    def _note(self, client: object, data: object, got: Any) -> None:
        if "/NCMD/" not in got.topic:
            topic = got.topic.removeprefix("spBv1.0/Plant1/")
            self.heard.append(Told(topic, *decode(got.payload)[1:], got.payload, got.qos, got.retain))

    def command(self, content: bytes, *, retain: bool = False) -> None:
        self._client.publish("spBv1.0/Plant1/NCMD/line1", content, 0, retain).wait_for_publish(5)

    def of(self, topic: str) -> list[Told]:
        return [told for told in self.heard if told.topic == topic]

    def topics(self) -> list[str]:
        return [told.topic for told in self.heard]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "broker")
    yield broker
    broker.kill()


@pytest.fixture
def host(broker: Broker) -> Iterator[Host]:
    host = Host(broker.port)
    yield host
    host.close()


def node(journal: Journal, port: int, state: list[State] | None = None, **settings: object) -> Forwarder:
    values = {
        "type": "mqtt",
        "host": "127.0.0.1",
        "port": port,
        "sparkplug": NODE,
        "retry_first_s": 0.05,
        "timeout_s": 3,
    }
    shown: list[State] = state or ["running"]
    sink = build_sink(MqttSink.model_validate(values | settings), journal, lambda: shown[0])
    sink.start()
    return sink


@needs_broker
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_birth_data_and_death_of_a_session(journal: Journal, broker: Broker, host: Host, protocol: str) -> None:
    state: list[State] = ["running"]
    sink = node(journal, broker.port, state, protocol=protocol)
    until(lambda: host.of("NBIRTH/line1"))
    now = time.time() + 60
    fields = {"decided": now, "captured": now - 0.02}
    ids = journal.append([record(0, **fields), record(1, **fields, lot="L7"), record(0, camera="top", **fields)])
    sink.wake()
    until(lambda: len(host.of("DDATA/line1/top")) == 1)
    state[0] = "paused"
    until(lambda: any(told.values.get("Line/State") == "paused" for told in host.of("NDATA/line1")))
    assert sink.stop(10)
    until(lambda: host.of("NDEATH/line1"))
    # New cameras are born with the node, before any data.
    births = ["NBIRTH/line1", "DBIRTH/line1/left", "DBIRTH/line1/top"]
    data = ["DDATA/line1/left", "DDATA/line1/left", "DDATA/line1/top"]
    assert host.topics()[:7] == ["NBIRTH/line1", *births, *data]
    birth, death = host.heard[1], host.heard[-1]
    assert [told.seq for told in host.heard] == [0, *range(len(host.heard) - 2), None]
    assert (birth.values["bdSeq"], birth.values["Node Control/Rebirth"]) == (0, False)
    assert death.values == {"bdSeq": 0}
    assert all((told.qos, told.retained) == (0, False) for told in host.heard[:-1])
    assert (death.qos, death.retained) == (1, False)
    assert host.of("DBIRTH/line1/left")[0].values["Part/Verdict"] is None
    good, reject = host.of("DDATA/line1/left")
    assert (good.values["Part/Verdict"], good.values["Counts/good"], good.values["Counts/reject"]) == ("good", 1, 0)
    assert reject.values["Part/Verdict"] == reject.values["Part/Action"] == "reject"
    assert reject.values["Part/Message"] == f"{journal.id}:{ids[1]}"
    assert reject.values["Part/Captured"] == int((now - 0.02) * 1000)
    assert (reject.values["Part/Score"], reject.values["Part/Lot"], reject.values["Part/Order"]) == (0.25, "L7", None)
    counts = [told.values for told in host.of("NDATA/line1") if "Counts/good" in told.values]
    assert counts[-1]["Counts/good"] == 2
    assert set(birth.values) >= {"Line/State", "Line/Software", "Counts/good", "Counts/failsafe"}


@needs_broker
def test_a_host_that_asks_gets_births_again_with_what_is_now(journal: Journal, broker: Broker, host: Host) -> None:
    rebirth = encode(1, None, [Metric("Node Control/Rebirth", BOOLEAN, True, 1)])
    host.command(rebirth, retain=True)  # would come again with each subscription
    sink = node(journal, broker.port)
    fill(journal, 2)
    sink.wake()
    until(lambda: len(host.of("DDATA/line1/left")) == 2)
    fill(journal, 1, 2)
    sink.wake()
    until(lambda: len(host.of("DDATA/line1/left")) == 3)
    assert len(host.of("NBIRTH/line1")) == 2  # of the node, and with its first camera
    before = len(host.heard)
    host.command(b"\xff\xff no payload")
    host.command(encode(1, None, [Metric("Node Control/Reboot", BOOLEAN, True, 1)]))
    host.command(rebirth)
    until(lambda: len(host.of("NBIRTH/line1")) == 3 and len(host.of("DBIRTH/line1/left")) == 2)
    assert sink.stop(10)
    again = [told for told in host.heard[before:] if told.topic.startswith(("NBIRTH", "DBIRTH"))]
    assert [told.seq for told in again] == [0, 1]
    assert again[0].values["bdSeq"] == 0
    assert (again[0].values["Counts/good"], again[0].values["Counts/reject"]) == (2, 1)
    assert (again[1].values["Part/Verdict"], again[1].values["Part/Sequence"]) == ("good", 2)
    assert sink.failures == 0


@needs_broker
def test_what_was_missed_comes_as_history_in_a_session_of_the_next_number(
    journal: Journal, broker: Broker, host: Host
) -> None:
    ids = []
    first = node(journal, broker.port)
    ids += fill(journal, 2)
    assert first.stop(10)
    ids += [f"{journal.id}:{n}" for n in journal.append([record(7, decided=time.time() - 100)])]
    second = node(journal, broker.port)
    assert second.stop(10)
    until(lambda: len(host.of("NDEATH/line1")) == 2)
    assert [told.values["bdSeq"] for told in host.of("NBIRTH/line1")] == [0, 0, 1]
    assert [told.values["bdSeq"] for told in host.of("NDEATH/line1")] == [0, 1]
    told = host.of("DDATA/line1/left")
    assert [one.values["Part/Message"] for one in told] == ids
    birth = host.of("NBIRTH/line1")[2].values
    assert (birth["Counts/good"], birth["Counts/reject"]) == (1, 1)
    assert told[2].values["Counts/good"] == 2
    from snl_edge.stream.outputs.sinks.sparkplug_payload import _Payload

    flags = {metric.name: metric.is_historical for metric in _Payload.FromString(told[2].content).metrics}
    assert flags["Part/Verdict"]
    assert not flags["Counts/good"]


@needs_broker
def test_when_the_line_dies_the_broker_publishes_its_death(journal: Journal, broker: Broker, host: Host) -> None:
    program = f"""
import os, time
from pathlib import Path
from journals import fill, new_journal
from snl_edge.stream.outputs.sinks import MqttSink, build_sink
journal = new_journal(Path({str(journal.folder)!r}) / "other")
settings = MqttSink(type="mqtt", host="127.0.0.1", port={broker.port}, sparkplug={NODE})
sink = build_sink(settings, journal, lambda: "running")
sink.start()
fill(journal, 1)
while not sink.delivered: time.sleep(0.01)
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[1], timeout=60, check=False)
    until(lambda: host.of("NDEATH/line1"))
    assert host.of("NDEATH/line1")[0].values == {"bdSeq": 0}
    assert len(host.of("DDATA/line1/left")) == 1


@needs_broker
def test_data_that_no_broker_has_read_comes_again(tmp_path: Path, broker: Broker) -> None:
    """QoS 0 has no confirmation: a broker that was killed with it unread must not count as told."""
    import signal

    journal = new_journal(tmp_path / "own")
    host = Host(broker.port)
    sink = node(journal, broker.port, timeout_s=0.5)
    until(lambda: host.of("NBIRTH/line1"))
    host.close()
    broker.signal(signal.SIGSTOP)
    ids = fill(journal, 3)
    sink.wake()
    until(lambda: sink.failures > 0)
    assert sink.delivered == 0
    broker.kill()
    broker.start()
    host = Host(broker.port)
    until(lambda: [told.values["Part/Message"] for told in host.of("DDATA/line1/left")] == ids)
    assert sink.stop(10)
    host.close()
    journal.close()


def test_one_sink_speaks_one_language() -> None:
    with pytest.raises(ValidationError, match="not of Sparkplug"):
        MqttSink.model_validate({"type": "mqtt", "host": "h", "sparkplug": NODE, "commands": True})
    with pytest.raises(ValidationError, match="counts every verdict"):
        MqttSink.model_validate({"type": "mqtt", "host": "h", "sparkplug": NODE, "verdicts": "not_good"})
    with pytest.raises(ValidationError, match="node"):
        MqttSink.model_validate({"type": "mqtt", "host": "h", "sparkplug": {"group": "a", "node": "a/b"}})
