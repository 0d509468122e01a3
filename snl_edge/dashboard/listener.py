"""One listening address of the dashboard: its socket, its connections, and the thread that serves them."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from pathlib import Path

import uvicorn
from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI

from ..errors import ConfigError
from ..network.accepting import ListeningSocket
from ..network.addresses import listen
from ..network.connections import REQUEST_S, Connections
from .protocol import KEEP_ALIVE_S, timed_protocol

PAGE_THREADS = 16
"""Most questions that are looked into at a time; each may hold the descriptors of a journal's reader."""
_START_SECONDS = 10.0
_DRAIN_SECONDS = 2


class Listener:
    """Serves one application at one address. Made, it has its port; started, it answers; stopped, all of it is gone.

    Args:
        name: what it is, in errors.
        app: what it serves.
        host, port: where; port 0 takes a free one.
        connections: who may be there at a time.
        certificate, private_key: PEM files; plain http if None.

    Raises:
        ConfigError: certificate or port cannot be used.
    """

    def __init__(
        self,
        name: str,
        app: FastAPI,
        host: str,
        port: int,
        connections: Connections,
        certificate: Path | None = None,
        private_key: Path | None = None,
    ) -> None:
        self.connections = connections
        self._name = name
        listening = ListeningSocket(_listen(name, host, port), connections, REQUEST_S)
        config = uvicorn.Config(
            app,
            # Fixed, whatever else is installed: another loop or parser would know nothing of our limits.
            loop="asyncio",
            http=timed_protocol(listening),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,  # an address that a client names itself would get round all that counts by address
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
            ssl_certfile=certificate,
            ssl_keyfile=private_key,
        )
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            listening.close()
            raise ConfigError(
                f"cannot use the dashboard's certificate {certificate}", str(error), "give a PEM chain and key"
            ) from error
        self._server = uvicorn.Server(config)
        self._socket = listening
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.port: int = listening.getsockname()[1]
        scheme = "http" if certificate is None else "https"
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def start(self) -> None:
        """Returns once it answers.

        Raises:
            ConfigError: it did not come up.
        """
        self._thread.start()
        end = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                raise ConfigError(f"the {self._name} did not start on {self.url}", fix="see the log")
            time.sleep(0.01)

    def stop(self) -> None:
        """Ends its connections and waits for the thread; a second call does nothing."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_START_SECONDS)
        self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        current_default_thread_limiter().total_tokens = PAGE_THREADS
        await self._server.serve([self._socket])


def _listen(name: str, host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        raise ConfigError(
            f"the {name} cannot listen on {host} port {port}",
            error.strerror or str(error),
            "choose another host or port, or stop the program that holds it",
        ) from error
