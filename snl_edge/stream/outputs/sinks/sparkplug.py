"""Sparkplug B: the line as an edge node, each camera a device, each verdict the device's data.

Sparkplug wants its data at QoS 0 (Sparkplug 3.0, 4.1 and 6.4), which nobody confirms. So each batch ends with a
subscription that already stands: the broker's answer to it says that it has read what was sent before.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, get_args

from ....version import __version__
from ...control.interface import State
from ...journal.journal import Journal
from ...records.record import Entry, VerdictName
from .mqtt import MqttSink, MqttTransport, topic_level
from .sparkplug_payload import BOOLEAN, DATETIME, DOUBLE, INT64, STRING, UINT64, Metric, decode, encode

if TYPE_CHECKING:
    from paho.mqtt.client import Client

_log = logging.getLogger(__name__)
_NUMBERS = 256
REBIRTH = "Node Control/Rebirth"
_VERDICTS: tuple[str, ...] = get_args(VerdictName)
_OF_A_PART: tuple[tuple[str, int, Callable[[Entry], Any]], ...] = (
    ("Part/Verdict", STRING, lambda entry: entry.record.verdict),
    ("Part/Action", STRING, lambda entry: entry.record.action),
    ("Part/Reason", STRING, lambda entry: entry.record.reason),
    ("Part/Shadow", BOOLEAN, lambda entry: entry.record.shadow),
    ("Part/Message", STRING, lambda entry: entry.message_id),
    ("Part/Sequence", UINT64, lambda entry: entry.record.sequence),
    ("Part/Id", STRING, lambda entry: entry.record.part),
    ("Part/Captured", DATETIME, lambda entry: _milliseconds(entry.record.captured)),
    ("Part/Latency", DOUBLE, lambda entry: entry.record.latency_ms),
    ("Part/Product", STRING, lambda entry: entry.record.product),
    ("Part/Score", DOUBLE, lambda entry: entry.record.score),
    ("Part/Threshold", DOUBLE, lambda entry: entry.record.threshold),
    ("Part/Recipe", STRING, lambda entry: entry.record.recipe),
    ("Part/Order", STRING, lambda entry: entry.record.order),
    ("Part/Lot", STRING, lambda entry: entry.record.lot),
)


class SparkplugTransport(MqttTransport):
    """A session of one edge node: birth, data, death.

    Args:
        settings: with ``sparkplug``.
        journal: holds the number of the session, and what was counted before.
        name: of the sink.
        state: the line's.
    """

    def __init__(self, settings: MqttSink, journal: Journal, name: str, state: Callable[[], State]) -> None:
        super().__init__(settings)
        assert settings.sparkplug is not None
        self._own = settings.sparkplug
        self._journal = journal
        self._name = name
        self._state = state
        self._session = 0
        self._seq = 0
        self._since = 0.0
        self._told: dict[str, Any] = {}
        self._last: dict[str, Entry] = {}
        self._counts: dict[str, Counter[str]] = {}
        self._rebirth = False

    def open(self) -> None:
        """Connects, with the death certificate as last will, and is born."""
        # Goes on from start to start, as a host tells sessions apart by it. Kept as a cursor beside the sink's own; no
        # sink can have such a name.
        cursor = f"{self._name}#bdSeq"
        before = self._journal.position(cursor)
        self._session = 0 if before is None else (before + 1) % _NUMBERS
        self._journal.acknowledge(cursor, self._session)
        self._count()
        super().open()

    def deliver(self, entries: Sequence[Entry]) -> int:
        """Publishes data, and returns when the broker has read it."""
        if not self._connected:
            raise self._lost("has closed the connection")
        seen = dict.fromkeys(entry.record.camera for entry in entries)
        new = [camera for camera in seen if camera not in self._counts]
        if self._rebirth or new:
            # Of a camera that is new, too: no data may come before the births of all devices (6.4.19 to 6.4.22).
            self._rebirth = False
            self._counts |= {camera: Counter() for camera in new}
            self._bear()
        for entry in entries:
            self._tell(entry)
        changed = {name: value for name, value in self._of_the_node().items() if self._told.get(name) != value}
        if changed:
            self._told |= changed
            self._send("NDATA", None, [_metric(name, value, _now()) for name, value in changed.items()])
        if entries or changed:
            self._subscribe()
        return len(entries)

    def _will(self) -> tuple[str, bytes, bool]:
        return self._topic("NDEATH"), encode(_now(), None, [self._session_metric()], typed=True), False

    def _greet(self) -> None:
        assert self._client is not None
        self._client.on_message = self._on_message
        self._rebirth = False
        self._since = time.time()
        self._subscribe()  # before the birth (5.4), so that a host's answer to it is not missed
        self._bear()
        self._subscribe()

    def _goodbye(self) -> tuple[str, bytes, bool]:
        return self._will()

    def _subscribe(self) -> None:
        self._await_subscription(self._topic("NCMD"))

    def _bear(self) -> None:
        """Birth certificates of the node, which begins the numbering again, and of every camera that has had a part."""
        now = _now()
        self._told = self._of_the_node()
        self._seq = -1
        metrics = [self._session_metric(), Metric(REBIRTH, BOOLEAN, False, now)]
        self._send("NBIRTH", None, metrics + [_metric(name, value, now) for name, value in self._told.items()])
        for camera in self._counts:
            part = _part(self._last.get(camera), historical=False)
            self._send("DBIRTH", camera, [*part, *self._counted(camera)])

    def _tell(self, entry: Entry) -> None:
        record = entry.record
        if entry.run == self._journal.run:
            self._counts[record.camera][record.verdict] += 1
        self._last[record.camera] = entry
        told = _part(entry, historical=record.decided < self._since)
        self._send("DDATA", record.camera, [*told, *self._counted(record.camera)])

    def _counted(self, camera: str) -> list[Metric]:
        now = _now()
        return [Metric(f"Counts/{kind}", UINT64, self._counts[camera][kind], now) for kind in _VERDICTS]

    def _of_the_node(self) -> dict[str, Any]:
        total = sum(self._counts.values(), Counter())
        counts = {f"Counts/{kind}": total[kind] for kind in _VERDICTS}
        return {"Line/State": self._state(), "Line/Software": __version__, **counts}

    def _count(self) -> None:
        """What this run's records up to the sink's cursor were, and the last of each camera."""
        position = self._journal.position(self._name) or 0
        run = self._journal.run
        query = "SELECT camera, verdict, COUNT(*), MAX(id) FROM verdict WHERE run = ? AND id <= ? GROUP BY 1, 2"
        with self._journal.reading() as connection:
            rows = connection.execute(query, (run, position)).fetchall()
        self._counts = {}
        newest: dict[str, int] = {}
        for camera, verdict, count, last in rows:
            self._counts.setdefault(camera, Counter())[verdict] = count
            newest[camera] = max(last, newest.get(camera, 0))
        self._last = {camera: self._journal.select("id = ?", (number,))[0] for camera, number in newest.items()}

    def _session_metric(self) -> Metric:
        return Metric("bdSeq", INT64, self._session, _now())

    def _topic(self, kind: str, camera: str | None = None) -> str:
        device = "" if camera is None else f"/{topic_level(camera)}"
        return f"spBv1.0/{self._own.group}/{kind}/{self._own.node}{device}"

    def _send(self, kind: str, camera: str | None, metrics: Sequence[Metric]) -> None:
        assert self._client is not None
        self._seq = (self._seq + 1) % _NUMBERS
        payload = encode(_now(), self._seq, metrics, typed=kind.endswith("BIRTH"))
        self._client.publish(self._topic(kind, camera), payload, qos=0, retain=False)

    def _on_message(self, client: Client, data: object, got: Any) -> None:
        if got.retain:  # it would come again with each subscription
            _log.warning("sink %s: a retained command at %s is not carried out", self._name, got.topic)
            return
        try:
            _, _, values = decode(bytes(got.payload))
        except ValueError as error:
            _log.warning("sink %s: a command at %s is %s", self._name, got.topic, error)
            return
        if values.pop(REBIRTH, False) is True:
            self._rebirth = True  # at the next turn of the forwarder, a second at most: the numbering has one thread
        if values:
            _log.warning("sink %s: no such command: %s", self._name, ", ".join(sorted(values))[:200])


def _part(entry: Entry | None, *, historical: bool) -> list[Metric]:
    """The metrics of a part; without one they are empty."""
    time_ms = _now() if entry is None else _milliseconds(entry.record.decided)
    return [
        Metric(name, kind, None if entry is None else read(entry), time_ms, historical)
        for name, kind, read in _OF_A_PART
    ]


def _metric(name: str, value: Any, time_ms: int) -> Metric:
    return Metric(name, STRING if isinstance(value, str) else UINT64, value, time_ms)


def _now() -> int:
    return _milliseconds(time.time())


def _milliseconds(seconds: float) -> int:
    return max(0, int(seconds * 1000))
