"""Where `infer` may write: over nothing that it did not write itself, and into no folder that stands for a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..atomic import require_replaceable
from ..contract.run_folder import CHECKPOINT
from ..errors import OutputError
from ..outside.files import real_path
from ..runtime.manifest import FILE as MANIFEST
from .csv_file import is_ours
from .marks import is_overlay
from .names import text_of
from .pipeline import Overlays
from .verdict_file import RUN, VERDICTS

_ANOTHER, _ANOTHER_FILE = "give another --out", "give another --csv"


def require_room(overlays: Overlays, bundle: Path) -> None:
    """Refuses a folder of a bundle or a run, and one in which an overlay would be written over what is none.

    Raises:
        OutputError: it is one, or it would.
    """
    folder = real_path(overlays.folder)
    _require_no_bundle(overlays.folder, folder, bundle)
    if (folder / CHECKPOINT).exists():
        raise OutputError(f"cannot write into {text_of(overlays.folder)}", "it is the folder of a run", _ANOTHER)
    pictures = {real_path(path) for path in overlays.names}
    for name in overlays.names.values():
        target = overlays.folder / name
        if real_path(target) in pictures:
            raise OutputError(
                f"{text_of(target)} would be overwritten", "it is one of the pictures to inspect", _ANOTHER
            )
        if target.exists() and not is_overlay(target):
            why = "it is no overlay that infer wrote"
            raise OutputError(f"{text_of(target)} would be overwritten", why, f"{_ANOTHER}, or remove it")


def require_csv_place(target: Path, pictures: Sequence[Path], bundle: Path, overlays: Overlays | None) -> None:
    """Refuses a name for ``--csv`` under which anything else lies, or will lie.

    Raises:
        OutputError: it is the name of a picture, of a file of ``--out``, of a bundle's, or of what is no CSV of ours.
    """
    require_replaceable(target)
    name, real = text_of(target), real_path(target)
    for folder in (real.parent, real_path(target.parent)):  # a link is replaced where it lies
        _require_no_bundle(target, folder, bundle)
    if real in {real_path(path) for path in pictures}:
        raise OutputError(f"{name} would be overwritten", "it is one of the pictures to inspect", _ANOTHER_FILE)
    if overlays is not None and real in {
        real_path(overlays.folder / own) for own in (VERDICTS, RUN, *overlays.names.values())
    }:
        raise OutputError(f"{name} would be overwritten", "--out writes a file of that name", _ANOTHER_FILE)
    if target.exists() and not is_ours(target):
        why = "it is no CSV that infer wrote"
        raise OutputError(f"{name} would be overwritten", why, f"{_ANOTHER_FILE}, or remove it")


def _require_no_bundle(target: Path, folder: Path, bundle: Path) -> None:
    inside = (bundle / MANIFEST).exists() and folder.is_relative_to(real_path(bundle))
    if inside or (folder / MANIFEST).exists():
        why = f"{text_of(folder)} is the folder of a bundle"
        raise OutputError(f"cannot write {text_of(target)}", why, "choose a place outside of it")
