"""Serves the dashboard from threads of the streaming process."""

from __future__ import annotations

import threading
from types import TracebackType

from prometheus_client import REGISTRY, CollectorRegistry

from ..network.connections import Connections
from ..stream.config.dashboard_settings import DashboardSettings
from ..stream.control.interface import Check, Line
from ..stream.journal.journal import Journal
from .app import create_app, create_machine_app
from .listener import Listener

MACHINE_CONNECTIONS = 48
"""At the machines' own address."""
MACHINE_CONNECTIONS_OF_ONE = 16


class DashboardServer:
    """The web server. Made, it has its ports; started, it answers; stopped, ports and threads are gone.

    Args:
        line, journal, settings, registry: as `create_app` takes them.

    Attributes:
        port, url: of the pages.
        machines_port: of the machines' own address; None without one.

    Raises:
        ConfigError: no usable token or certificate, or a port is not available.
    """

    def __init__(
        self, line: Line, journal: Journal, settings: DashboardSettings, registry: CollectorRegistry = REGISTRY
    ) -> None:
        self._closing = threading.Event()
        self._listeners: list[Listener] = []
        secrets = (settings.certificate, settings.private_key)
        try:
            app = create_app(line, journal, settings, registry, self._closing)
            pages = Listener(
                "dashboard",
                app,
                settings.host,
                settings.port,
                Connections("dashboard", settings.connections, settings.connections_of_one),
                *secrets,
            )
            self._listeners.append(pages)
            if (own := settings.machines) is not None:
                name = "dashboard's address for machines"
                app = create_machine_app(line, settings, registry)
                places = Connections(name, MACHINE_CONNECTIONS, MACHINE_CONNECTIONS_OF_ONE)
                self._listeners.append(Listener(name, app, own.host, own.port, places, *secrets))
        except BaseException:
            self.stop()
            raise
        self.port, self.url = pages.port, pages.url
        self.machines_port = self._listeners[1].port if own is not None else None

    @property
    def open_connections(self) -> int:
        """Now, at all addresses."""
        return sum(len(listener.connections) for listener in self._listeners)

    def checks(self) -> list[Check]:
        """A line for each address at which connections have to be turned away."""
        told = [(listener, listener.connections.turned_away()) for listener in self._listeners]
        return [
            Check(f"network {listener.url}", "warning", f"{text}: more than there is room for")
            for listener, text in told
            if text is not None
        ]

    def start(self) -> None:
        """Returns once it answers.

        Raises:
            ConfigError: it did not come up.
        """
        for listener in self._listeners:
            listener.start()

    def stop(self) -> None:
        """Ends open pages and waits for the threads; a second call does nothing."""
        self._closing.set()
        for listener in self._listeners:
            listener.stop()

    def __enter__(self) -> DashboardServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
