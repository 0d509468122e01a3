"""Who may come in: one token, exchanged for a signed cookie by a browser or sent as a bearer by a program."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from ..network.callers import caller_of

COOKIE = "snl_edge_session"
LONGEST_NAME = 40
MOST_CALLERS = 1024
"""Whose wrong tokens are remembered."""

_log = logging.getLogger(__name__)


class TooManyTriesError(Exception):
    """Wrong tokens come too fast; ``seconds`` until the next one is looked upon as a mistake."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too many wrong tokens, wait {seconds:.0f} s")
        self.seconds = seconds


class FailureLimit:
    """Counts each caller's wrong tokens over a sliding window. Callers held are bounded."""

    def __init__(self, tries: int = 5, window: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._tries, self._window, self._clock = tries, window, clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def failed(self, caller: str) -> None:
        """Notes a wrong token.

        Raises:
            TooManyTriesError: ``caller`` has sent too many of late; this one is not counted.
        """
        now = self._clock()
        with self._lock:
            failures = self._failures.setdefault(caller, deque(maxlen=self._tries))
            self._failures.move_to_end(caller)
            if len(failures) == self._tries and now - failures[0] < self._window:
                raise TooManyTriesError(self._window - (now - failures[0]))
            failures.append(now)
            while len(self._failures) > MOST_CALLERS:
                self._failures.popitem(last=False)


class Gate:
    """Checks tokens and cookies. Sessions are signed, not stored: they outlive a restart and end with the token.

    Args:
        token: None lets everybody in: only for a page that this machine alone can reach.
        session_seconds: how long a cookie holds.
    """

    def __init__(self, token: str | None, session_seconds: float) -> None:
        self.open = token is None
        self.session_seconds = int(session_seconds)
        self._token = _digest(token or "")
        self._key = _digest("snl-edge dashboard session\0" + (token or ""))
        self._limit = FailureLimit()

    def login(self, token: str, name: str, address: str) -> str | None:
        """A session cookie's value for the right token, None for a wrong one.

        Raises:
            TooManyTriesError: it is wrong, and this address has sent too many wrong ones.
        """
        if not self._is_token(token, address):
            return None
        content = {"name": clean_name(name), "until": int(time.time()) + self.session_seconds}
        payload = base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
        return f"{payload}.{self._signature(payload)}"

    def actor(self, cookie: str | None, authorization: str | None, address: str) -> str | None:
        """What the audit calls whoever sent a request; None for a stranger.

        Raises:
            TooManyTriesError: this address has sent too many wrong bearer tokens.
        """
        if self.open:
            return f"dashboard ({address})"
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            known = scheme.lower() == "bearer" and self._is_token(token.strip(), address)
            return f"api ({address})" if known else None
        name = self._session(cookie)
        return None if name is None else f"{name or 'dashboard'} ({address})"

    def _session(self, cookie: str | None) -> str | None:
        payload, _, signature = (cookie or "").partition(".")
        if not hmac.compare_digest(self._signature(payload).encode(), signature.encode()):
            return None
        content = json.loads(base64.urlsafe_b64decode(payload))  # ours: the signature holds
        return content["name"] if content["until"] > time.time() else None

    def _is_token(self, token: str, address: str) -> bool:
        # The right one first: whatever others send, even from behind the same proxy, it is never refused.
        if hmac.compare_digest(_digest(token), self._token):
            return True
        caller = caller_of(address)
        self._limit.failed(caller)
        _log.warning("dashboard: wrong token from %s", caller)
        return False

    def _signature(self, payload: str) -> str:
        return hmac.new(self._key, payload.encode(), hashlib.sha256).hexdigest()


def clean_name(name: str) -> str:
    """A name fit for the audit: printable, one line, not long."""
    return " ".join("".join(letter for letter in name if letter.isprintable()).split())[:LONGEST_NAME]


def _digest(text: str) -> bytes:
    # Of equal length whatever came in, so that a comparison's time tells nothing.
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
