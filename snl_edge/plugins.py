"""Cameras, sinks and teachers of your own: an installed package offers them by entry points, settings name them.

Nothing is imported from a package before a configuration names what it offers, and no configuration can name code that
is not installed. What a plug-in needs stands here, whatever module of the package it comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pydantic import BaseModel

from .errors import CameraError, ConfigError
from .outside.json_text import faults, validated

if TYPE_CHECKING:
    from torch import nn

    from .stream.outputs.sinks.message import encode as encode_message
    from .stream.outputs.sinks.transport import DeliveryError, PoisonError, Transport
    from .stream.records.record import Entry
    from .stream.sources.base import EndOfPictures, PictureError, Source

__all__ = [
    "Backbone",
    "CameraError",
    "DeliveryError",
    "EndOfPictures",
    "Entry",
    "PictureError",
    "PoisonError",
    "SinkPlugin",
    "Source",
    "SourcePlugin",
    "TeacherPlugin",
    "Transport",
    "encode_message",
]

Group = Literal["snl_edge.sources", "snl_edge.sinks", "snl_edge.teachers"]
"""Groups of entry points, one for each kind of plug-in."""
Model = TypeVar("Model", bound=BaseModel)
Kind = TypeVar("Kind")


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


@dataclass(frozen=True)
class SinkPlugin(Generic[Model]):
    """A receiver of verdicts: entry points of ``snl_edge.sinks`` name one. The line stores and forwards for it.

    Attributes:
        settings: a pydantic model; what ``line.yaml`` has under ``settings`` must fit it before anything starts.
        build: makes the transport, with the sink's ``timeout_s``: how long connecting, and a confirmation, may take.
    """

    settings: type[Model]
    build: Callable[[Model, float], Transport]


@dataclass(frozen=True)
class Backbone:
    """A teacher's network.

    Attributes:
        network: ``float32 [B, 3, H, W]``, normalised, to three maps ``[B, C_l, H/s_l, W/s_l]`` at strides 4, 8 and 16.
            It must export to ONNX; no batch statistics, no sizes fixed.
        channels: ``C_l`` of the three.
        mean: of the pixels that its weights expect, for values in 0…1, RGB.
        std: likewise.
    """

    network: nn.Module
    channels: tuple[int, int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class TeacherPlugin:
    """A frozen network as teacher: entry points of ``snl_edge.teachers`` name one. A device never needs it.

    Attributes:
        build: makes the network. It gets a file of weights (``--weights FILE``), or None for those of its own, and
            whether to load any: a checkpoint fills them in otherwise.
    """

    build: Callable[[Path | None, bool], Backbone]


def load_plugin(group: Group, name: str, kind: type[Kind]) -> Kind:
    """Imports what an installed package offers under ``name``.

    Raises:
        ConfigError: no package offers it, or two do; it cannot be imported, or is no ``kind``.
    """
    offered = entry_points(group=group)
    found = [point for point in offered if point.name == name]
    if not found:
        names = ", ".join(sorted({point.name for point in offered}))
        raise ConfigError(
            f"no installed package offers {name!r} in {group}",
            f"offered are {names}" if names else "none offers anything there",
            "install the package that has it, or correct the name",
        )
    if len(found) > 1:
        packages = ", ".join(sorted(point.dist.name if point.dist else point.value for point in found))
        raise ConfigError(f"{packages} all offer {name!r} in {group}", fix="uninstall all but one")
    (point,) = found
    where = f"{name!r} of {group} ({point.value})"
    try:
        plugin = point.load()
    except Exception as error:  # of somebody's code
        raise ConfigError(f"{where} cannot be imported", f"{type(error).__name__}: {error}", "mend it") from error
    if not isinstance(plugin, kind):
        raise ConfigError(f"{where} is no {kind.__name__}", f"it is {type(plugin).__name__}", "see docs/plugins.md")
    return plugin


def own_settings(settings: type[Model], said: dict[str, Any]) -> Model:
    """What a configuration says to a plug-in, checked.

    Raises:
        ValueError: it does not fit; each fault in words.
    """
    try:
        return validated(settings, said)
    except ValueError as error:
        raise ValueError(f"settings: {faults(error, limit=5)}") from error


_HOMES = {
    "DeliveryError": "stream.outputs.sinks.transport.DeliveryError",
    "EndOfPictures": "stream.sources.base.EndOfPictures",
    "Entry": "stream.records.record.Entry",
    "PictureError": "stream.sources.base.PictureError",
    "PoisonError": "stream.outputs.sinks.transport.PoisonError",
    "Source": "stream.sources.base.Source",
    "Transport": "stream.outputs.sinks.transport.Transport",
    "encode_message": "stream.outputs.sinks.message.encode",
}
"""Where the rest of ``__all__`` is at home; a teacher needs none of the line."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, _, own = _HOMES[name].rpartition(".")
    return getattr(import_module(f"snl_edge.{module}"), own)
