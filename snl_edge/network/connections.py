"""Which connections may stay: a cap for all and one for each caller, so that nobody can use up the descriptors.

A connection is *answered* from its whole request to the end of the answer; before and after it only waits. When there
is no room for a newcomer, the one that has waited longest gives way, of callers who have more than their share first.
So those who never finish a request displace each other, and who comes with a whole request is answered, though all
places are taken by others.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

_OF_ONE = 64
"""Bits of an IPv6 address that name one network; one machine may use all the addresses below them."""
REQUEST_S = 10.0
"""From the connection, or from the first byte on a kept one, to the end of the request; TLS handshake included."""
WRITE_S = 20.0
"""Longest time in which a client takes nothing of its answer."""
CLOSE_S = 5.0
"""For the rest of an answer to leave a connection that is being closed."""
DISPLACE_PER_S = 100.0
"""How many newcomers without a request may displace others: each costs the line some time, a refusal hardly any."""
WINDOW_S = 60.0
"""Over which it is told how many were turned away."""
_MOST_CALLERS = 1024
_FEW = 4
"""So many from one caller are never too many: a browser opens six, but asks at once."""

_log = logging.getLogger(__name__)


@lru_cache(maxsize=1024)
def caller_of(address: str) -> str:
    """The caller behind an IP address: the address itself, of IPv6 its /64; other text as it is."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        if not found.is_loopback:
            return str(ipaddress.ip_network((found, _OF_ONE), strict=False))
    return str(found)


class Connection:
    """One that was accepted, until its socket is closed. Only the server's event loop calls its methods.

    Attributes:
        caller: whose it is.
        answered: whether a request is being answered; else it waits and may have to give way.
        waits_since: monotonic seconds.
        end: ends it at once.
    """

    def __init__(self, book: Connections, caller: str, now: float, end: Callable[[], None]) -> None:
        self.caller = caller
        self.answered = False
        self.waits_since = now
        self.end = end
        self._book = book
        self._timer: asyncio.TimerHandle | None = None

    @property
    def limited(self) -> bool:
        """Whether it will be ended unless something happens."""
        return self._timer is not None

    def limit(self, seconds: float | None) -> None:
        """Ends it after so many seconds, or never; the limit before this one counts no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self._expire)

    def wait(self) -> None:
        """It is answered no more."""
        if self.answered:
            self.answered = False
            self.waits_since = self._book.clock()

    def over(self) -> None:
        """Its socket is closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._book.remove(self)

    def _expire(self) -> None:
        self._timer = None
        self._book.expired += 1
        self.end()


class Connections:
    """All connections of one listener.

    Args:
        name: what is listening, in the log.
        most: of all callers.
        most_of_one: of one caller.
        displace: whether a newcomer may displace who waits; else it has to go.
        clock: monotonic seconds.

    Attributes:
        displaced, refused, expired: connections that had to give way, were closed at once, or were too slow.
    """

    def __init__(
        self,
        name: str,
        most: int,
        most_of_one: int,
        *,
        displace: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self.most, self.most_of_one, self.clock = most, min(most, most_of_one), clock
        self._may_displace = displace
        self.displaced = self.refused = self.expired = 0
        self._open: dict[Connection, None] = {}  # in the order in which they came
        self._count: Counter[str] = Counter()
        self._pace = _Pace(clock)
        self._turned = _Turned(clock)

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, address: str, end: Callable[[], None], asks: Callable[[], bool]) -> Connection | None:
        """Takes a newcomer in, and ends another for it if need be; None if it has to go.

        Args:
            address: where it comes from.
            end: ends it at once.
            asks: whether its request is there already.
        """
        caller = caller_of(address)
        crowded = self._count[caller] >= self.most_of_one
        if crowded or len(self._open) >= self.most:
            if self._turned.note(caller):
                there = f"{len(self._open)} are there, {self._count[caller]} of them from {caller}"
                _log.warning("%s: no room for every connection: %s", self._name, there)
            may = self._may_displace and (asks() or self._pace.take())
            if not may or not self._displace(caller if crowded else None):
                self.refused += 1
                return None
        connection = Connection(self, caller, self.clock(), end)
        self._open[connection] = None
        self._count[caller] += 1
        return connection

    def remove(self, connection: Connection) -> None:
        """Forgets one; a second call does nothing."""
        if connection in self._open:
            del self._open[connection]
            self._count[connection.caller] -= 1
            if not self._count[connection.caller]:
                del self._count[connection.caller]

    def turned_away(self) -> str | None:
        """How many connections had to go lately, and whose; None if none had to. Any thread may ask."""
        return self._turned.text()

    def _displace(self, caller: str | None) -> bool:
        """Ends the one that has waited longest, of ``caller`` or of all; False if none waits."""
        waiting = [one for one in self._open if not one.answered and caller in (None, one.caller)]
        if not waiting:
            return False
        share = max(_FEW, self.most / len(self._count))
        oldest = min(waiting, key=lambda one: (self._count[one.caller] <= share, one.waits_since))
        self.displaced += 1
        self.remove(oldest)
        oldest.limit(None)
        oldest.end()
        return True


class _Pace:
    """So many a second, and a second's worth at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left, self._since = DISPLACE_PER_S, clock()

    def take(self) -> bool:
        now = self._clock()
        self._left = min(DISPLACE_PER_S, self._left + DISPLACE_PER_S * (now - self._since))
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class _Turned:
    """Who had to go in this window and in the one before."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._begun = self._latest = float("-inf")
        self._callers: Counter[str] = Counter()
        self._before: Counter[str] = Counter()
        self._lock = threading.Lock()

    def note(self, caller: str) -> bool:
        """Counts one; whether it is the first of its window."""
        with self._lock:
            now = self._latest = self._clock()
            first = now - self._begun >= WINDOW_S
            if first:
                self._before = self._callers if now - self._begun < 2 * WINDOW_S else Counter()
                self._callers, self._begun = Counter(), now
            known = caller in self._callers or len(self._callers) < _MOST_CALLERS
            self._callers[caller if known else "others"] += 1
            return first

    def text(self) -> str | None:
        with self._lock:
            if self._clock() - self._latest >= WINDOW_S:
                return None
            whole = self._before + self._callers
        caller, count = max(whole.items(), key=lambda one: one[1])
        return f"{whole.total():,} connections turned away in the last two minutes, {count:,} of them from {caller}"
