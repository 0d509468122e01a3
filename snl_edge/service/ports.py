"""Addresses of a line: those it listens at, and those it connects to; what can be told of them before it runs."""

from __future__ import annotations

import errno
import socket
from urllib.parse import urlsplit

from ..errors import ConfigError
from ..network.addresses import listen
from ..stream.config.line_config import LineConfig
from ..stream.outputs.actuators import ModbusActuator
from ..stream.outputs.sinks import MqttSink, OpcUaSink, WebhookSink

_CONNECT_S = 3.0


def server_of(output: object) -> tuple[str, int] | None:
    """Where the server of a sink or actuator listens; None where it has none, or is one itself."""
    if isinstance(output, MqttSink):
        return output.host, output.port or (1883 if output.tls is None else 8883)
    if isinstance(output, ModbusActuator):
        return output.host, output.port
    if isinstance(output, WebhookSink):
        parts = urlsplit(output.url)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    return None


def listening(config: LineConfig) -> dict[str, tuple[str, int]]:
    """Where the line itself will listen, by what for."""
    found: dict[str, tuple[str, int]] = {}
    if (dashboard := config.dashboard) is not None:
        found["dashboard"] = (dashboard.host, dashboard.port)
        if (machines := dashboard.machines) is not None:
            found["dashboard for machines"] = (machines.host, machines.port)
    sinks = {f"sink {sink.name or sink.type}": sink for sink in config.sinks}
    return found | {name: (sink.host, sink.port) for name, sink in sinks.items() if isinstance(sink, OpcUaSink)}


def reach(host: str, port: int) -> str:
    """Only connects: logging in could push a running line out, and a coil that is tried moves.

    Raises:
        ConfigError: nothing answers.
    """
    try:
        socket.create_connection((host, port), timeout=_CONNECT_S).close()
    except OSError as error:
        raise ConfigError(f"{host} port {port} cannot be reached", str(error), "check network and firewall") from error
    return f"{host} port {port} answers"


def hold(host: str, port: int) -> str:
    """Takes a port for a moment, as the line will for good.

    Raises:
        ConfigError: it is not available.
    """
    try:
        listen(host, port).close()
    except OSError as error:
        held = error.errno == errno.EADDRINUSE
        raise ConfigError(
            f"{host} port {port} cannot be listened at",
            "it is held, by this line if that runs, else by another program" if held else str(error),
            "see by which: ss -ltnp; choose another port if it is not the line" if held else "check the address",
        ) from error
    return f"{host} port {port} is free"
