"""The heartbeat: systemd hears of it only while the line is really alive, and restarts the service otherwise."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from ..settings import Seconds, Settings


class WatchdogSettings(Settings):
    """When the service counts as dead. Acts only where systemd watches it (``WatchdogSec=``)."""

    stuck_after_s: Seconds = 20.0
    """One batch that takes longer than this hangs."""
    broken_after_s: Seconds = 120.0
    """An engine that could not be loaded again for so long needs a fresh process: a GPU may not recover in this one."""


def notify(message: str) -> None:
    """Tells systemd, if it started us: a datagram to the socket it names, ``@`` for an abstract one (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)


class Watchdog(threading.Thread):
    """Sends the heartbeat.

    Args:
        fault: why the line is not alive; None while it is.
        state: one line for ``systemctl status``.
    """

    def __init__(self, fault: Callable[[], str | None], state: Callable[[], str]) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._fault = fault
        self._state = state
        self._stopping = threading.Event()
        # Twice as often as asked for (sd_watchdog_enabled(3)), so that one late beat is no death.
        self._interval = min(1.0, int(os.environ.get("WATCHDOG_USEC", "2000000")) / 2e6)

    def run(self) -> None:
        """The thread's body."""
        notify("READY=1")
        while not self._stopping.wait(self._interval):
            fault = self._fault()
            notify(f"STATUS={fault or self._state()}" + ("" if fault else "\nWATCHDOG=1"))

    def stop(self) -> None:
        """Says goodbye."""
        notify("STOPPING=1")
        self._stopping.set()
