"""What other installed packages offer by entry points (:mod:`snl_edge.plugins` says what for)."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from .errors import ConfigError
from .outside.json_text import faults, validated

Group = Literal["snl_edge.sources", "snl_edge.sinks", "snl_edge.teachers"]
"""Groups of entry points, one for each kind of plug-in."""
Model = TypeVar("Model", bound=BaseModel)
Kind = TypeVar("Kind")


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
