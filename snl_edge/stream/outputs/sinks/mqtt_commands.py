"""Commands from a broker: one at a time, each answered on the topic beside."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

from ....outside.json_text import parse_json
from ...control.commands import Commands
from .message import VERSION

_log = logging.getLogger(__name__)
_BUSY = {"accepted": False, "what": "another command is being carried out", "why": "", "fix": "wait for its answer"}
_RETAINED = {
    "accepted": False,
    "what": "a retained message is no command",
    "why": "it would be carried out again at each connection",
    "fix": "send it without the retain flag",
}
_MOST_ID = 64


class CommandListener:
    """Carries out what comes to ``<topic>/command/<name>`` and answers at ``<topic>/reply/<name>``.

    Args:
        topic: of the sink.
        commands: what may be asked of the line.
        publish: sends an answer; it may be lost, as the connection may.
    """

    def __init__(self, topic: str, commands: Commands, publish: Callable[[str, bytes], None]) -> None:
        self.topics = f"{topic}/command/+"
        self._topic = topic
        self._commands = commands
        self._publish = publish
        self._busy = threading.Lock()

    def take(self, topic: str, payload: bytes, retained: bool) -> None:
        """Takes a message; returns at once, as the connection's own thread calls it."""
        name = topic.rpartition("/")[2]
        if retained:
            self._reply(name, payload, _RETAINED)
        elif not self._busy.acquire(blocking=False):
            self._reply(name, payload, _BUSY)
        else:
            threading.Thread(target=self._carry_out, args=(name, payload), name="mqtt command", daemon=True).start()

    def _carry_out(self, name: str, payload: bytes) -> None:
        try:
            content, sender = _opened(payload)
            answer = self._commands.answer(name, content, f"{sender} (mqtt)" if sender else "mqtt")
        finally:
            self._busy.release()
        self._reply(name, payload, answer)

    def _reply(self, name: str, payload: bytes, answer: dict[str, Any]) -> None:
        content = {"version": VERSION, "id": _parsed(payload).get("id"), **answer}
        if not answer["accepted"]:
            _log.warning("mqtt command %s: %s", name, answer["what"])
        self._publish(f"{self._topic}/reply/{name}", json.dumps(content).encode())


def _parsed(payload: bytes) -> dict[str, Any]:
    try:
        content = parse_json(payload)
    except ValueError:
        return {}
    if not isinstance(content, dict):
        return {}
    known = content.get("id")
    return content if known is None or (isinstance(known, str) and len(known) <= _MOST_ID) else {**content, "id": None}


def _opened(payload: bytes) -> tuple[bytes, str]:
    """The command without its ``id``, and the operator that it names, for the audit."""
    content = _parsed(payload)
    if not content:
        return payload, ""
    operator = content.get("operator")
    named = operator if isinstance(operator, str) and operator.isprintable() else ""
    return json.dumps({name: value for name, value in content.items() if name != "id"}).encode(), named[:64]
