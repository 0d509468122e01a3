"""Sinks: what the plant hears of the verdicts, from the journal, at least once, whenever its systems are there.

The names here import none of the packages that a sink needs; `build_sink` says which one is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field

from ...control.commands import Commands
from ...control.interface import State
from ...journal.journal import Journal
from .forwarding import Forwarder
from .jsonlines import JsonLinesSink, JsonLinesTransport
from .mqtt import MqttSink, MqttTransport
from .opcua import OpcUaSink, OpcUaTransport
from .picture_files import PicturesSink, PicturesTransport
from .plugin import PluginSink, PluginTransport
from .transport import Transport, require
from .webhook import WebhookSink, WebhookTransport

__all__ = [
    "Forwarder",
    "JsonLinesSink",
    "MqttSink",
    "OpcUaSink",
    "PicturesSink",
    "PluginSink",
    "Sink",
    "Sinks",
    "WebhookSink",
    "build_sink",
]

Sink = Annotated[
    MqttSink | WebhookSink | OpcUaSink | JsonLinesSink | PicturesSink | PluginSink, Field(discriminator="type")
]
"""Settings of one sink."""


def _name(settings: Sink) -> str:
    return settings.name or settings.type


def _different_names(sinks: tuple[Sink, ...]) -> tuple[Sink, ...]:
    names = [_name(sink) for sink in sinks]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two sinks are named {twice[0]}: give each a name of its own")
    return sinks


Sinks = Annotated[tuple[Sink, ...], AfterValidator(_different_names)]
"""Settings of a line's sinks."""


def build_sink(
    settings: Sink, journal: Journal, state: Callable[[], State], commands: Commands | None = None
) -> Forwarder:
    """A sink, ready to ``start()``: it delivers what comes into the journal from now on, and what is still to deliver.

    Args:
        settings: what and where.
        journal: open, its run begun or not.
        state: the line's state, for receivers that show it; called from another thread, often.
        commands: what receivers may ask of the line, where ``settings.commands`` lets them.

    Raises:
        ConfigError: a package is missing.
    """
    return Forwarder(_name(settings), settings, _transport(settings, journal, state, commands), journal)


def _transport(settings: Sink, journal: Journal, state: Callable[[], State], commands: Commands | None) -> Transport:
    if isinstance(settings, MqttSink):
        require("paho", "mqtt", "an mqtt sink")
        if settings.sparkplug is not None:
            require("google.protobuf", "sparkplug", "an mqtt sink with sparkplug")
            from .sparkplug import SparkplugTransport

            return SparkplugTransport(settings, journal, _name(settings), state)
        return MqttTransport(settings, commands)
    if isinstance(settings, WebhookSink):
        require("urllib3", "webhook", "a webhook sink")
        return WebhookTransport(settings)
    if isinstance(settings, OpcUaSink):
        require("asyncua", "opcua", "an opcua sink")
        return OpcUaTransport(settings, journal, state, commands)
    if isinstance(settings, PicturesSink):
        return PicturesTransport(settings, journal, f"sink {_name(settings)}")
    return PluginTransport(settings) if isinstance(settings, PluginSink) else JsonLinesTransport(settings)
