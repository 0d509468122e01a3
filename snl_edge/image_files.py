"""Which files in a folder are pictures of parts, and which look like it and are none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .image import IMAGE_SUFFIXES

HEATMAP = "-heatmap.jpg"
"""What a line puts behind the name of a kept picture for the heatmap beside it."""
_KEPT_HEATMAP = re.compile(rf"(\d{{6,}}-.+-\d{{8,}}|[0-9a-f]{{32}}-\d+){re.escape(HEATMAP)}")
"""As the journal names it, or as a sink of pictures does: by message id."""


@dataclass(frozen=True)
class Listing:
    """What lies directly in a folder, each sorted by name."""

    images: tuple[Path, ...]
    """With what has a picture's name and is neither file nor folder (a pipe, a socket, a device): its reader refuses
    it, so that nobody believes that it counted."""
    heatmaps: tuple[Path, ...]
    """Those that a line kept beside its pictures (`is_kept_heatmap`)."""
    hidden: tuple[Path, ...]
    """Images whose names begin with a dot."""
    dangling: tuple[Path, ...]
    """Links that lead nowhere, whatever their suffix: what they led to may have been images, or a folder of them."""


def list_folder(folder: Path) -> Listing:
    """The images directly in ``folder``, and what is left out of them; other files are not told of.

    Raises:
        OSError: it cannot be read.
    """
    images: list[Path] = []
    heatmaps: list[Path] = []
    hidden: list[Path] = []
    dangling: list[Path] = []
    for path in sorted(Path(folder).iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.exists() and not path.is_dir():
            kind = hidden if path.name.startswith(".") else heatmaps if is_kept_heatmap(path) else images
            kind.append(path)
        elif path.is_symlink() and not path.exists() and not path.name.startswith("."):
            dangling.append(path)
    return Listing(tuple(images), tuple(heatmaps), tuple(hidden), tuple(dangling))


def list_images(folder: Path) -> list[Path]:
    """The pictures of parts directly in ``folder``, sorted by name, as `list_folder` tells them from others.

    Raises:
        OSError: it cannot be read.
    """
    return list(list_folder(folder).images)


def is_kept_heatmap(path: Path) -> bool:
    """Whether a line named this file, as the heatmap beside a picture that it kept: no picture of a part."""
    return _KEPT_HEATMAP.fullmatch(path.name) is not None
