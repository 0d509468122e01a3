"""Serves the dashboard from a thread of the streaming process."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from types import TracebackType

import uvicorn
from prometheus_client import REGISTRY, CollectorRegistry

from ...errors import ConfigError
from ..control import Line
from ..journal import Journal
from .app import create_app
from .settings import DashboardSettings

_MOST_CONNECTIONS = 64
_START_SECONDS = 10.0
_DRAIN_SECONDS = 2


class DashboardServer:
    """The web server. Made, it has its port; started, it answers; stopped, port and thread are gone.

    Args:
        line, journal, settings, registry: as `create_app` takes them.

    Raises:
        ConfigError: no usable token or certificate, or the port cannot be had.
    """

    def __init__(
        self, line: Line, journal: Journal, settings: DashboardSettings, registry: CollectorRegistry = REGISTRY
    ) -> None:
        self._closing = threading.Event()
        config = uvicorn.Config(
            create_app(line, journal, settings, registry, self._closing),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,  # an address that a client names itself would get round the limit of wrong tokens
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.private_key,
        )
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"cannot use the dashboard's certificate {settings.certificate}", str(error), "give a PEM chain and key"
            ) from error
        self._server = uvicorn.Server(config)
        self._socket = _listen(settings.host, settings.port)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="dashboard", daemon=True)
        self.port: int = self._socket.getsockname()[1]
        scheme = "http" if settings.certificate is None else "https"
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.url = f"{scheme}://{host}:{self.port}"

    def start(self) -> None:
        """Returns once it answers.

        Raises:
            ConfigError: it did not come up.
        """
        self._thread.start()
        end = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                raise ConfigError(f"the dashboard did not start on {self.url}", fix="see the log")
            time.sleep(0.01)

    def stop(self) -> None:
        """Ends open pages and waits for the thread; a second call does nothing."""
        self._closing.set()
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_START_SECONDS)
        self._socket.close()

    def __enter__(self) -> DashboardServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _listen(host: str, port: int) -> socket.socket:
    name = host.strip("[]")
    try:
        family, *_, address = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise ConfigError(
            f"the dashboard cannot listen on {host} port {port}",
            error.strerror or str(error),
            "choose another host or port, or stop the program that holds it",
        ) from error
