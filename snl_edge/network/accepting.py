"""A listening socket that accepts only what there is room for, before an event loop spends anything on it.

asyncio accepts until the process has no descriptor left, and then logs a traceback for each try; a server on top of it
learns of a connection only once it exists, with TLS only after the handshake. So the cap stands where connections are
accepted. What has to go is closed on the spot.
"""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from typing import Any
from weakref import WeakValueDictionary

from .connections import Connection, Connections

_ADMITTED_AT_ONCE = 8
"""Then those who are already there get their turn: without it a crowd could displace who has just come in and asks."""
_CLOSED_AT_ONCE = 64
_DEFERRED_S = 1
_LOOK_AHEAD = 4096
_HANDSHAKE = b"\x16"
_UNACKNOWLEDGED_MS = 30_000
"""So long may sent bytes stay unacknowledged: a tablet that has gone must not hold a place for the quarter of an hour
that the kernel would try (tcp(7), TCP_USER_TIMEOUT)."""


class CountedSocket(socket.socket):
    """An accepted connection that tells when it is closed."""

    def __init__(self, accepted: socket.socket) -> None:
        kind = (accepted.family, accepted.type, accepted.proto)
        super().__init__(*kind, fileno=accepted.detach())
        self.connection: Connection | None = None
        # asyncio does so only where a socket names its protocol, which one from `socket.create_server` does not: each
        # answer on a kept connection would wait for the client's delayed acknowledgement, some 40 ms.
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)

    def close(self) -> None:
        """Closes it and frees its place."""
        super().close()
        if self.connection is not None:
            self.connection.over()

    def asks(self) -> bool:
        """Whether the head of a request has come, or a whole record of a TLS handshake (RFC 8446, 5.1)."""
        try:
            begun = self.recv(_LOOK_AHEAD, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            return False
        if begun[:1] == _HANDSHAKE:
            return len(begun) >= 5 + int.from_bytes(begun[3:5], "big")
        return b"\r\n\r\n" in begun

    def end(self) -> None:
        """Makes whoever reads it see its end."""
        with suppress(OSError):  # the other side was faster
            self.shutdown(socket.SHUT_RDWR)


class ListeningSocket(socket.socket):
    """Listens; what `accept` gives is counted among ``connections``.

    Args:
        listening: a socket that listens already; it is taken over.
        connections: who is there.
        within_s: a connection ends after so long unless whoever serves it says otherwise; None: it does not.
    """

    def __init__(self, listening: socket.socket, connections: Connections, within_s: float | None) -> None:
        kind = (listening.family, listening.type, listening.proto)
        super().__init__(*kind, fileno=listening.detach())
        # Who sends its request with the handshake, as honest clients do, is handed to us with it (tcp(7)).
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _DEFERRED_S)
        self._connections = connections
        self._within_s = within_s
        self._by_descriptor: WeakValueDictionary[int, Connection] = WeakValueDictionary()
        self._admitted = 0
        self._pause = False

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection for which there is room.

        Raises:
            BlockingIOError: there is none now, or the event loop should look after those that it has.
            OSError: the process or the system has no descriptor left; said once for each look of the event loop.
        """
        for _ in range(0 if self._pause or self._admitted >= _ADMITTED_AT_ONCE else _CLOSED_AT_ONCE):
            try:
                accepted, address = super().accept()
            except BlockingIOError:
                break
            except OSError as error:
                # The event loop waits a second after this, but first tries as often as its backlog is long.
                self._pause = error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
                raise
            counted = CountedSocket(accepted)
            connection = self._connections.admit(str(address[0]), counted.end, counted.asks)
            if connection is None:
                counted.close()
                continue
            counted.connection = connection
            connection.limit(self._within_s)
            self._by_descriptor[counted.fileno()] = connection
            self._admitted += 1
            return counted, address
        self._pause, self._admitted = False, 0
        raise BlockingIOError(errno.EAGAIN, "nothing to accept now")

    def connection(self, descriptor: int) -> Connection:
        """The connection of an accepted socket, by its descriptor."""
        return self._by_descriptor[descriptor]
