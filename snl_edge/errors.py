"""The one family of errors a user meets: what is wrong, why, and what to do about it."""

from __future__ import annotations

import re

from .outside.shown import shown


class SnlEdgeError(Exception):
    """An error that the user can act on; the command line prints it as one line, without a traceback.

    Args:
        what: what is wrong and where (name the file, the layer, the option).
        why: the cause, when it is not in ``what`` already.
        fix: what to do now, as an imperative sentence.

    Whatever a name in them holds, they can be shown: see :func:`.outside.shown.shown`.
    """

    exit_code = 1

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        self.what, self.why, self.fix = (_one_line(part) for part in (what, why, fix))
        cause = f": {self.why}" if self.why else ""
        remedy = f" {self.fix[0].upper()}{self.fix[1:].rstrip('.')}." if self.fix else ""
        super().__init__(f"{self.what}{cause}.{remedy}")


def _one_line(text: str) -> str:
    return shown(re.sub(r"[ \t\r\n]+", " ", text).strip()).rstrip(".")


class DataError(SnlEdgeError):
    """Images, masks or folders that cannot be used."""


class ConfigError(SnlEdgeError):
    """A setting, an option or a combination of them that cannot work."""


class CheckpointError(SnlEdgeError):
    """A checkpoint or pretrained weights that cannot be read or do not fit."""


class ExportError(SnlEdgeError):
    """An ONNX graph that cannot be made, is no SNL graph or disagrees with PyTorch."""


class EngineError(SnlEdgeError):
    """An engine that cannot be built, read or run."""


class GpuLostError(EngineError):
    """A GPU that takes no more work in this process, whatever is tried: only a fresh process helps."""


class ResultError(EngineError):
    """A result that cannot be trusted: no finite number, or an unlisted product. It may be these images' own."""


class BundleError(SnlEdgeError):
    """A bundle that is incomplete, damaged or made by another version."""


class BackendError(SnlEdgeError):
    """A backend that is not available on this machine."""


class OutputError(SnlEdgeError):
    """A place that cannot be written."""


class CameraError(SnlEdgeError):
    """A camera or other source of pictures that cannot be opened or has gone."""


class BusyError(SnlEdgeError):
    """Something that cannot be done while something else is."""
