"""MQTT: each verdict is a QoS 1 message, delivered when the broker's PUBACK is there."""

from __future__ import annotations

import json
import logging
import re
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ....network.credentials import Secret, Tls
from ...control.commands import Commands
from ...records.record import Entry
from .message import VERSION, encode
from .mqtt_commands import CommandListener
from .sink_settings import SinkSettings
from .transport import DeliveryError, PoisonError

if TYPE_CHECKING:
    from paho.mqtt.client import Client

_log = logging.getLogger(__name__)
REFUSED_FOR_GOOD = (0x90, 0x95, 0x99)
"""MQTT 5: topic name invalid, packet too large, payload format invalid."""


_TOPIC = "snl-edge"


class Sparkplug(BaseModel):
    """Who the line is among the edge nodes of a plant."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    group: str = Field(pattern=r"^[^#+/\x00]+$")
    """Group id."""
    node: str = Field(pattern=r"^[^#+/\x00]+$")
    """Edge node id, unique in the group at the broker."""


class MqttSink(SinkSettings):
    """Publishes verdicts to a broker."""

    type: Literal["mqtt"]
    host: str
    """The broker."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """If not given, 8883 with TLS and 1883 without."""
    topic: str = Field(default=_TOPIC, pattern=r"^[^#+\x00/]+(/[^#+\x00/]+)*$")
    """Verdicts go to ``<topic>/verdict/<camera>``, the state (retained) to ``<topic>/status``."""
    protocol: Literal["3.1.1", "5"] = "5"
    """With 5 a broker says why it refuses a message; with 3.1.1 it cannot."""
    client_id: str | None = None
    """Unique at the broker; if not given, the broker chooses one."""
    user: str | None = None
    """Whom to log in as."""
    password: Secret | None = None
    """Where the password is kept."""
    tls: Tls | None = None
    """Encrypt; ``{}`` is enough where the system trusts the broker's certificate."""
    commands: bool = False
    """Take commands from ``<topic>/command/recipe`` and ``/order``: whoever the broker lets write there can change the
    recipe."""
    keepalive_s: int = Field(default=30, ge=5, le=3600)
    """After one and a half times that without a sign of us, the broker publishes our last will."""
    sparkplug: Sparkplug | None = None
    """Speak Sparkplug B in place of messages at ``topic``; a second sink can do the other."""

    @model_validator(mode="after")
    def _one_language(self) -> MqttSink:
        if self.sparkplug is not None and (self.commands or self.topic != _TOPIC):
            raise ValueError("topic and commands are not of Sparkplug: give them to a second sink of type mqtt")
        if self.sparkplug is not None and self.verdicts != "all":
            raise ValueError("sparkplug counts every verdict: leave out verdicts")
        return self

    @model_validator(mode="after")
    def _password_of_someone(self) -> MqttSink:
        if self.password is not None and self.user is None:
            raise ValueError("password needs user")
        return self


class MqttTransport:
    """A connection to one broker. paho's thread keeps it alive; when to connect again is the forwarder's business."""

    def __init__(self, settings: MqttSink, commands: Commands | None = None) -> None:
        self._settings = settings
        self._address = f"{settings.host}:{settings.port or (8883 if settings.tls else 1883)}"
        self._status = f"{settings.topic}/status"
        self._client: Client | None = None
        self._listener = None
        if settings.commands:
            assert commands is not None
            self._listener = CommandListener(settings.topic, commands, self._answer)
        self._changed = threading.Condition()
        self._connected = False
        self._problem = ""
        self._answers: dict[int, Any] = {}

    def open(self) -> None:
        """Connects and publishes the birth message."""
        from paho.mqtt import client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        settings = self._settings
        version = paho.MQTTv5 if settings.protocol == "5" else paho.MQTTv311
        # The journal is the store: nothing is left to the broker's or paho's memory of a session.
        fresh = None if settings.protocol == "5" else True
        client = paho.Client(
            CallbackAPIVersion.VERSION2, settings.client_id or "", fresh, protocol=version, reconnect_on_failure=False
        )
        self._client, self._connected, self._problem = client, False, ""
        client.connect_timeout = settings.timeout_s
        client.max_inflight_messages_set(settings.batch)
        client.on_connect, client.on_disconnect, client.on_publish = self._on_connect, self._on_end, self._on_publish
        topic, payload, retain = self._will()
        client.will_set(topic, payload, qos=1, retain=retain)
        if settings.user is not None:
            client.username_pw_set(settings.user, settings.password.read() if settings.password else None)
        if settings.tls is not None:
            client.tls_set_context(settings.tls.context())
        host, port = self._address.rsplit(":", 1)
        try:
            client.connect(host, int(port), settings.keepalive_s)
        except ssl.SSLCertVerificationError as error:
            raise DeliveryError(
                f"the certificate of broker {self._address} is not trusted ({error.verify_message}); check tls.ca"
            ) from error
        except OSError as error:
            raise DeliveryError(f"broker {self._address} cannot be reached: {error}") from error
        client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._connected or self._problem, settings.timeout_s)
            if not self._connected:
                raise self._lost("does not answer")
        client.on_subscribe = lambda _client, _data, mid, codes, _properties: self._on_publish(
            client, None, mid, codes[0], None
        )
        self._greet()

    def deliver(self, entries: Sequence[Entry]) -> int:
        """Publishes, and returns when the broker has confirmed all."""
        if not self._connected:
            raise self._lost("has closed the connection")
        topic = f"{self._settings.topic}/verdict/"
        self._publish([(topic + topic_level(entry.record.camera), encode(entry), False) for entry in entries])
        return len(entries)

    def close(self) -> None:
        """Says goodbye where there still is someone, and disconnects."""
        client, self._client = self._client, None
        if client is None:
            return
        if self._connected:
            with suppress(ValueError, RuntimeError):  # paho's words for: not sent. Then the will says it for us
                topic, payload, retain = self._goodbye()
                client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(1.0)
            client.disconnect()
        client.loop_stop()
        self._connected = False

    def _publish(self, messages: list[tuple[str, bytes, bool]]) -> None:
        assert self._client is not None
        with self._changed:
            self._answers.clear()
        ids = [self._client.publish(topic, payload, 1, retain).mid for topic, payload, retain in messages]
        end = time.monotonic() + self._settings.timeout_s
        with self._changed:
            for confirmed, mid in enumerate(ids):
                self._changed.wait_for(
                    lambda mid=mid: mid in self._answers or not self._connected, end - time.monotonic()
                )
                answer = self._answers.get(mid)
                if answer is None:
                    raise self._lost("does not confirm", confirmed)
                if answer.is_failure and answer.value in REFUSED_FOR_GOOD:
                    raise PoisonError(f"broker {self._address}: {answer}", confirmed)
                if answer.is_failure:
                    raise DeliveryError(f"broker {self._address} refuses messages: {answer}", confirmed)

    def _will(self) -> tuple[str, bytes, bool]:
        """What the broker publishes when we are gone without a word: topic, payload, whether it is retained."""
        return self._status, _state("offline"), True

    def _goodbye(self) -> tuple[str, bytes, bool]:
        """What we publish ourselves when we go."""
        return self._will()

    def _greet(self) -> None:
        """What follows the connection."""
        self._publish([(self._status, _state("online"), True)])
        listener = self._listener
        if listener is not None:
            assert self._client is not None
            self._client.on_message = lambda _client, _data, got: listener.take(
                got.topic, bytes(got.payload), got.retain
            )
            self._await_subscription(listener.topics, "; commands: false ends this")

    def _await_subscription(self, topic: str, fix: str = "") -> None:
        assert self._client is not None
        with self._changed:
            self._answers.clear()
        _, mid = self._client.subscribe(topic, 1)
        with self._changed:
            self._changed.wait_for(lambda: mid in self._answers or not self._connected, self._settings.timeout_s)
            answer = None if mid is None else self._answers.get(mid)
        if answer is None:
            raise self._lost("does not confirm the subscription to commands")
        if answer.is_failure:
            raise DeliveryError(f"broker {self._address} refuses {topic}: {answer}{fix}")

    def _answer(self, topic: str, payload: bytes) -> None:
        client = self._client
        if client is None or not self._connected:
            _log.warning("mqtt: the answer at %s is lost, the connection is", topic)
            return
        client.publish(topic, payload, qos=1)

    def _lost(self, what: str, confirmed: int = 0) -> DeliveryError:
        return DeliveryError(f"broker {self._address} {self._problem or what}", confirmed)

    def _on_connect(self, client: Client, data: object, flags: object, code: Any, properties: object) -> None:
        with self._changed:
            self._connected = not code.is_failure
            self._problem = f"refuses the connection: {code}" if code.is_failure else ""
            self._changed.notify_all()

    def _on_end(self, client: Client, data: object, flags: object, code: Any, properties: object) -> None:
        with self._changed:
            self._connected = False
            self._problem = self._problem or f"has closed the connection: {code}"
            self._changed.notify_all()

    def _on_publish(self, client: Client, data: object, mid: int, code: Any, properties: object) -> None:
        with self._changed:
            self._answers[mid] = code
            self._changed.notify_all()


def topic_level(camera: str) -> str:
    """A camera's name as one level of a topic: what MQTT reserves becomes ``_``."""
    return re.sub(r"[/+#\x00]", "_", camera)


def _state(state: Literal["online", "offline"]) -> bytes:
    return json.dumps({"version": VERSION, "state": state}).encode()
