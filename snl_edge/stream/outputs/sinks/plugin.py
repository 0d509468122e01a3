"""A receiver of verdicts that another installed package offers (:mod:`snl_edge.plugins`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal

from pydantic import BaseModel, Field, model_validator

from snl_edge.entry_points import Model, faults_told, load_plugin, no_exit, own_settings
from snl_edge.errors import ConfigError
from snl_edge.stream.records.record import Entry

from .sink_settings import SinkSettings
from .transport import DeliveryError, Transport


@dataclass(frozen=True)
class SinkPlugin(Generic[Model]):
    """A receiver of verdicts: entry points of ``snl_edge.sinks`` name one. The line stores and forwards for it.

    Attributes:
        settings: a pydantic model; what ``line.yaml`` has under ``settings`` must fit it before anything starts.
        build: makes the transport, with the sink's ``timeout_s``: how long connecting, and a confirmation, may take.
    """

    settings: type[Model]
    build: Callable[[Model, float], Transport]


class PluginSink(SinkSettings):
    """A receiver of your own: an installed package offers the way to it (docs/plugins.md)."""

    type: Literal["plugin"]
    plugin: str
    """Its name among the entry points of ``snl_edge.sinks``."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """What the package asks for."""

    @model_validator(mode="after")
    def _fits(self) -> PluginSink:
        try:
            own_settings(_plugin(self).settings, self.settings)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self


class PluginTransport:
    """Holds the transport of a plug-in to what it promises: the cursor in the journal goes by what it confirms."""

    def __init__(self, settings: PluginSink) -> None:
        plugin = _plugin(settings)
        self._name = settings.plugin
        with faults_told(f"the sink {self._name} cannot be made"):
            own = own_settings(plugin.settings, settings.settings)
            self._transport: Transport = plugin.build(own, settings.timeout_s)

    def open(self) -> None:
        """Connects."""
        with no_exit(self._name, DeliveryError):
            self._transport.open()

    def deliver(self, entries: Sequence[Entry]) -> int:
        """Hands entries over.

        Raises:
            DeliveryError: it says that it confirmed none of them, or more than there are; and all that it raises.
        """
        with no_exit(self._name, DeliveryError):
            confirmed: Any = self._transport.deliver(entries)
        if entries and (type(confirmed) is not int or not 1 <= confirmed <= len(entries)):
            raise DeliveryError(
                f"{self._name} says that {confirmed!r} of {len(entries)} messages were confirmed; it must raise, or "
                "say how many from the first"
            )
        return confirmed if entries else 0

    def close(self) -> None:
        """Disconnects."""
        with no_exit(self._name, DeliveryError):
            self._transport.close()


def _plugin(settings: PluginSink) -> SinkPlugin[BaseModel]:
    return load_plugin("snl_edge.sinks", settings.plugin, SinkPlugin)
