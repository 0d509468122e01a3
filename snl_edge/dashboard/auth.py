"""Who may come in, and what each role may do.

With a token, exchanged for a signed cookie by a browser or sent as a bearer by a program. A path that is not named here
is an engineer's, so a new one is closed to the others.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import ConfigError
from ..network.connections import caller_of
from ..stream.config.dashboard_settings import Access, Role

COOKIE = "snl_edge_session"
LONGEST_NAME = 40
MOST_CALLERS = 1024
"""Whose wrong tokens are remembered."""
MACHINES = frozenset({"/health", "/metrics", "/api/trigger"})
"""What machines ask."""
READING = frozenset({"GET", "HEAD"})
_OPERATING = frozenset(
    {"/api/acknowledge", "/api/order", "/api/pause", "/api/recipe", "/api/self-test", "/api/trigger"}
)

_log = logging.getLogger(__name__)


def allows(role: Role, method: str, path: str) -> bool:
    """Whether ``role`` may send such a request.

    A machine may trigger, and read health and metrics. A viewer may read everything, an operator may pause, set
    order and recipe, test, acknowledge and trigger as well, an engineer may do everything.
    """
    if role == "engineer" or path == "/api/logout":
        return True
    if role == "machine":
        return path in MACHINES
    return method in READING or (role == "operator" and path in _OPERATING)


def changes(role: Role) -> list[str]:
    """Paths by which ``role`` may change the line, for the page to show what is of use."""
    every = (*sorted(_OPERATING), "/api/shadow", "/api/threshold")
    return [path for path in every if allows(role, "POST", path)]


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


@dataclass(frozen=True)
class Actor:
    """Whoever sent a request."""

    name: str
    """As the audit calls it, with the address."""
    role: Role


class Gate:
    """Checks tokens and cookies. Sessions are signed, not stored: they outlive a restart and end with their token.

    Args:
        access: all tokens; none lets everybody in: only for a page that this machine alone can reach.
        session_seconds: how long a cookie holds.
    """

    def __init__(self, access: Sequence[Access], session_seconds: float) -> None:
        self.open = not access
        self.session_seconds = int(session_seconds)
        self._keys = [(one, _digest(one.token), _digest(f"snl-edge dashboard session\0{one.token}")) for one in access]
        self._limit = FailureLimit()

    def login(self, token: str, name: str, address: str) -> str | None:
        """A session cookie's value for a right token, None for a wrong one.

        Raises:
            TooManyTriesError: it is wrong, and this address has sent too many wrong ones.
            ConfigError: the name is that of somebody who has a token of their own.
        """
        found = self._find(token, address)
        if found is None:
            return None
        access, key = found
        given = clean_name(name)
        if access.name is None and given.casefold() in {(one.name or "").casefold() for one, *_ in self._keys} - {""}:
            raise ConfigError(f"{given} has a token of their own", fix="log in with that, or give another name")
        content = {"name": given, "until": int(time.time()) + self.session_seconds}
        payload = base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
        return f"{payload}.{_signature(key, payload)}"

    def actor(self, cookie: str | None, authorization: str | None, address: str) -> Actor | None:
        """Whoever sent a request; None for a stranger.

        Raises:
            TooManyTriesError: this address has sent too many wrong bearer tokens, and this one is wrong, too.
        """
        if self.open:
            return Actor(f"dashboard ({address})", "engineer")
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            found = self._find(token.strip(), address) if scheme.lower() == "bearer" else None
            return None if found is None else Actor(f"{found[0].name or 'api'} ({address})", found[0].role)
        return self._session(cookie, address)

    def _session(self, cookie: str | None, address: str) -> Actor | None:
        payload, _, signature = (cookie or "").partition(".")
        signers = [
            access
            for access, _, key in self._keys
            if hmac.compare_digest(_signature(key, payload).encode(), signature.encode())
        ]
        if not signers:
            return None
        content = json.loads(base64.urlsafe_b64decode(payload))  # ours: the signature holds
        if content["until"] <= time.time():
            return None
        return Actor(f"{signers[0].name or content['name'] or 'dashboard'} ({address})", signers[0].role)

    def _find(self, token: str, address: str) -> tuple[Access, bytes] | None:
        # The right ones first: whatever others send, even from behind the same proxy, they are never refused. All are
        # compared, whichever it is.
        sent = _digest(token)
        found = [(access, key) for access, digest, key in self._keys if hmac.compare_digest(sent, digest)]
        if found:
            return found[0]
        caller = caller_of(address)
        _log.warning("dashboard: wrong token from %s", caller)
        self._limit.failed(caller)
        return None


def _signature(key: bytes, payload: str) -> str:
    return hmac.new(key, payload.encode(), hashlib.sha256).hexdigest()


def clean_name(name: str) -> str:
    """A name fit for the audit: printable, one line, not long."""
    return " ".join("".join(letter for letter in name if letter.isprintable()).split())[:LONGEST_NAME]


def _digest(text: str) -> bytes:
    # Of equal length whatever came in, so that a comparison's time tells nothing.
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
