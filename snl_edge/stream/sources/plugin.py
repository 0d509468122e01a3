"""A source of pictures that another installed package offers (:mod:`snl_edge.plugins`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from snl_edge.entry_points import Model, faults_told, load_plugin, no_exit, own_settings

from ...errors import CameraError, ConfigError
from ...outside.image_size import MOST_PIXELS
from ..settings import Settings
from .base import Colour, Source


@dataclass(frozen=True)
class SourcePlugin(Generic[Model]):
    """A camera, or another source of pictures: entry points of ``snl_edge.sources`` name one.

    Example:
        ```python
        plugin = SourcePlugin(AcmeSettings, AcmeSource)
        ```

    Attributes:
        settings: a pydantic model; what ``line.yaml`` has under ``settings`` must fit it before anything starts.
        build: makes the source; it opens nothing yet.
    """

    settings: type[Model]
    build: Callable[[Model], Source]


class PluginSettings(Settings):
    """A source of your own: an installed package offers it (docs/plugins.md)."""

    type: Literal["plugin"]
    plugin: str
    """Its name among the entry points of ``snl_edge.sources``."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """What the package asks for."""

    @model_validator(mode="after")
    def _fits(self) -> PluginSettings:
        try:
            own_settings(_plugin(self).settings, self.settings)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self


class PluginSource:
    """Holds the source of a plug-in to what it promises: a picture of another kind would be judged, or end the line."""

    def __init__(self, settings: PluginSettings) -> None:
        plugin = _plugin(settings)
        self._name = settings.plugin
        with faults_told(f"the source {self._name} cannot be made"):
            self._source: Source = plugin.build(own_settings(plugin.settings, settings.settings))
            self.live: bool = self._source.live
            self.colour: Colour = self._source.colour
            self.video: bool = self._source.video
        self.received: float | None = None

    def open(self) -> None:
        """Opens it."""
        with no_exit(self._name, CameraError):
            self._source.open()

    def read(self) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
        """The next picture.

        Raises:
            CameraError: it is no ``uint8`` or ``uint16 [h, w, 3]``; and all that the source raises.
        """
        try:
            with no_exit(self._name, CameraError):
                picture: Any = self._source.read()
        finally:
            self.received = self._source.received
        if picture is None:
            return None
        kind, shape = getattr(picture, "dtype", type(picture).__name__), getattr(picture, "shape", ())
        if kind not in (np.uint8, np.uint16) or len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise CameraError(
                f"{self._name} gave a picture of {kind} {list(shape)}", fix="give uint8 or uint16 [height, width, 3]"
            )
        if shape[0] * shape[1] > MOST_PIXELS:
            raise CameraError(
                f"{self._name} gave a picture of {shape[1]}x{shape[0]}", fix=f"give {MOST_PIXELS:,} pixels at most"
            )
        return picture

    def close(self) -> None:
        """Closes it."""
        with no_exit(self._name, CameraError):
            self._source.close()


def _plugin(settings: PluginSettings) -> SourcePlugin[BaseModel]:
    return load_plugin("snl_edge.sources", settings.plugin, SourcePlugin)
