"""The one import of OpenCV, and what kind of OpenCV it is.

A Jetson has two candidates: JetPack's own, which alone opens CSI cameras (GStreamer), but was compiled for NumPy 1, and
the wheel of the package index, which hides it. Modules that run on a device take ``cv2`` from here, so that an OpenCV
that does not fit the installed NumPy ends in one line.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from .errors import BackendError


def unusable(error: ImportError) -> BackendError:
    """The error that a user can act on, for one that importing OpenCV raised."""
    where = next((f"OpenCV in {folder}" for folder in places()), "OpenCV")
    if "numpy" in str(error):  # numpy.core.multiarray failed to import: so ends an extension compiled for NumPy 1
        return BackendError(
            f"{where} cannot be imported",
            f"it was compiled for another NumPy than the installed {metadata.version('numpy')}",
            'JetPack\'s needs NumPy 1: pip install "numpy<2" (docs/jetson.md)',
        )
    return BackendError(
        f"{where} cannot be imported",
        str(error),
        "pip install opencv-python-headless, or on a Jetson install JetPack's (docs/jetson.md)",
    )


def places() -> list[Path]:
    """Folders of Python's path with an OpenCV in it, in the order in which they are searched."""
    found: list[Path] = []
    for entry in dict.fromkeys(sys.path):
        folder = Path(entry or ".").resolve()
        package = (folder / "cv2" / "__init__.py").is_file()
        # While it is imported, OpenCV's package puts its own folder on the path.
        if (package or any(folder.glob("cv2.*so"))) and folder.name != "cv2" and folder not in found:
            found.append(folder)
    return found


try:
    # NumPy prints a page to standard error before such an import fails; its gist is in our error.
    with redirect_stderr(io.StringIO()):
        import cv2
except ImportError as _error:
    raise unusable(_error) from _error


def silence() -> None:
    """OpenCV's own words on files that cannot be decoded, for commands that say so in theirs.

    Not where ``OPENCV_LOG_LEVEL`` asks for them, nor on a line, whose cameras they tell of.
    """
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


@dataclass(frozen=True)
class OpenCv:
    """The OpenCV that this process uses."""

    version: str
    place: Path
    """The folder on Python's path that it lies in."""
    gstreamer: bool
    hidden: tuple[Path, ...]
    """Folders later on the path that hold another one."""

    def __str__(self) -> str:
        return f"OpenCV {self.version} {'with' if self.gstreamer else 'without'} GStreamer, from {self.place}"


def opencv() -> OpenCv:
    """Looks at it; opens no camera."""
    found = places()
    file = Path(cv2.__file__).resolve()
    place = next((folder for folder in found if folder in file.parents), file.parent)
    lines = cv2.getBuildInformation().splitlines()
    gstreamer = any(line.strip().startswith("GStreamer:") and "YES" in line for line in lines)
    return OpenCv(cv2.__version__, place, gstreamer, tuple(folder for folder in found if folder != place))
