"""Cameras, sinks and teachers of your own: an installed package offers them by entry points, settings name them.

Nothing is imported from a package before a configuration names what it offers, and no configuration can name code that
is not installed. What a plug-in needs stands here, whatever module it comes from; each name is imported when it is
first asked for, so that a teacher needs none of the line and a camera no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lazy import imported_when_asked

if TYPE_CHECKING:
    from .errors import CameraError
    from .model.teacher_plugin import Backbone, TeacherPlugin
    from .stream.outputs.sinks.message import encode as encode_message
    from .stream.outputs.sinks.plugin import SinkPlugin
    from .stream.outputs.sinks.transport import DeliveryError, PoisonError, Transport
    from .stream.records.record import Entry
    from .stream.sources.base import EndOfPictures, PictureError, Source
    from .stream.sources.plugin import SourcePlugin

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

_HOMES = {
    "Backbone": "model.teacher_plugin.Backbone",
    "CameraError": "errors.CameraError",
    "DeliveryError": "stream.outputs.sinks.transport.DeliveryError",
    "EndOfPictures": "stream.sources.base.EndOfPictures",
    "Entry": "stream.records.record.Entry",
    "PictureError": "stream.sources.base.PictureError",
    "PoisonError": "stream.outputs.sinks.transport.PoisonError",
    "SinkPlugin": "stream.outputs.sinks.plugin.SinkPlugin",
    "Source": "stream.sources.base.Source",
    "SourcePlugin": "stream.sources.plugin.SourcePlugin",
    "TeacherPlugin": "model.teacher_plugin.TeacherPlugin",
    "Transport": "stream.outputs.sinks.transport.Transport",
    "encode_message": "stream.outputs.sinks.message.encode",
}
"""Where each name is at home."""


__getattr__, __dir__ = imported_when_asked(__name__, _HOMES)
