"""The bundles in the configured folder: what the recipe may be changed to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import BundleError, ConfigError
from ...runtime.manifest import FILE
from ...runtime.manifest_file import read_manifest


@dataclass(frozen=True)
class OfferedBundle:
    """One bundle. Its files are checked when the line loads it, not in this list."""

    folder: str
    name: str
    created: str
    products: tuple[str, ...]
    fault: str | None = None
    """Why it cannot be used."""


def offered_bundles(folder: Path) -> list[OfferedBundle]:
    """The bundles directly below ``folder``, by name; a damaged manifest is listed with its fault."""
    found = []
    for manifest in sorted(folder.glob(f"*/{FILE}")):
        try:
            content = read_manifest(manifest)
        except BundleError as error:
            found.append(OfferedBundle(manifest.parent.name, manifest.parent.name, "", (), str(error)))
        else:
            found.append(OfferedBundle(manifest.parent.name, content.name, content.created, content.products))
    return found


def bundle_path(folder: Path | None, name: str) -> Path:
    """The bundle called ``name`` in the list above, and no other place.

    Raises:
        ConfigError: there is no such bundle.
    """
    if folder is None or name not in {path.parent.name for path in folder.glob(f"*/{FILE}")}:
        raise ConfigError(
            f"no recipe {name!r}", "it is not in the dashboard's folder of bundles", "choose from the list"
        )
    return folder / name
