"""HTTP with a time limit on every step that waits for the client: uvicorn's protocol has one for kept connections only.

A request that is not whole in time, an answer that is not taken, a rest that does not leave: each ends the connection.
How long an answer takes to be made is not limited here; a change of recipe takes minutes.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..network.accepting import ListeningSocket
from ..network.connections import CLOSE_S, REQUEST_S, WRITE_S, Connection

KEEP_ALIVE_S = 5
"""So long a connection may rest between two requests."""


class TimedProtocol(H11Protocol):
    """One connection. `timed_protocol` makes the class for one listener."""

    listener: ClassVar[ListeningSocket]
    _connection: Connection
    _stalled = False
    _resting = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Its request may already be running out of time: that counts from the first packet."""
        super().connection_made(transport)
        self._connection = self.listener.connection(transport.get_extra_info("socket").fileno())
        self._connection.end = transport.abort

    def data_received(self, data: bytes) -> None:
        """Takes a piece of a request."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """An answer has been written, if not yet taken."""
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """The client takes nothing of its answer for the moment."""
        super().pause_writing()
        self._stalled = True
        self._look()

    def resume_writing(self) -> None:
        """It has taken most of it."""
        super().resume_writing()
        self._stalled = False
        self._look()

    def _look(self) -> None:
        connection = self._connection
        if self.transport.is_closing():
            connection.wait()
            connection.limit(CLOSE_S)
        elif self._stalled:
            connection.wait()
            if not connection.limited:
                connection.limit(WRITE_S)
        elif self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            connection.wait()
            rested, self._resting = self._resting, self.timeout_keep_alive_task is not None
            if self._resting:  # what is still to be written must leave meanwhile
                connection.limit(KEEP_ALIVE_S + CLOSE_S)
            elif rested or not connection.limited:
                connection.limit(REQUEST_S)
        elif self.cycle is not None and not self.cycle.response_complete:
            connection.answered = True
            connection.limit(None)


def timed_protocol(listening: ListeningSocket) -> type[TimedProtocol]:
    """The protocol of connections that ``listening`` accepts."""
    content: dict[str, Any] = {"listener": listening}
    return type("TimedProtocol", (TimedProtocol,), content)
