"""Who may come in: one token, exchanged for a signed cookie by a browser or sent as a bearer by a program."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

COOKIE = "snl_edge_session"
LONGEST_NAME = 40


class TooManyTriesError(Exception):
    """Wrong tokens came too fast; ``seconds`` until the next try counts."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too many wrong tokens, wait {seconds:.0f} s")
        self.seconds = seconds


class FailureLimit:
    """Counts wrong tokens per address and in all over a sliding window. Addresses held are bounded."""

    def __init__(
        self,
        tries: int = 5,
        tries_of_all: int = 100,
        window: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tries, self._window, self._clock = tries, window, clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=tries_of_all)
        self._lock = threading.Lock()

    def check(self, address: str) -> None:
        """Raises `TooManyTriesError` while ``address``, or everybody together, has failed too often."""
        now = self._clock()
        with self._lock:
            for failures in (self._failures.get(address), self._all):
                if failures and len(failures) == failures.maxlen and now - failures[0] < self._window:
                    raise TooManyTriesError(self._window - (now - failures[0]))

    def failed(self, address: str) -> None:
        """Notes a wrong token."""
        now = self._clock()
        with self._lock:
            self._failures.setdefault(address, deque(maxlen=self._tries)).append(now)
            self._failures.move_to_end(address)
            self._all.append(now)
            while len(self._failures) > 1024:
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
            TooManyTriesError: this address has to wait, whatever it sends.
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
        self._limit.check(address)
        if hmac.compare_digest(_digest(token), self._token):
            return True
        self._limit.failed(address)
        return False

    def _signature(self, payload: str) -> str:
        return hmac.new(self._key, payload.encode(), hashlib.sha256).hexdigest()


def clean_name(name: str) -> str:
    """A name fit for the audit: printable, one line, not long."""
    return " ".join("".join(letter for letter in name if letter.isprintable()).split())[:LONGEST_NAME]


def _digest(text: str) -> bytes:
    # Of equal length whatever came in, so that a comparison's time tells nothing.
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
