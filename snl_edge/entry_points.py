"""What other installed packages offer by entry points (:mod:`snl_edge.plugins` says what for)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from .errors import ConfigError, SnlEdgeError
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
    with faults_told("what an installed package offers as plug-ins cannot be read"):
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
    if point.pattern.match(point.value) is None:
        raise ConfigError(f"{where} cannot be imported", "that is not written as module:name", "correct the plug-in")
    with faults_told(f"{where} cannot be imported"):
        plugin = point.load()
    if not isinstance(plugin, kind):
        raise ConfigError(f"{where} is no {kind.__name__}", f"it is {type(plugin).__name__}", "see docs/plugins.md")
    return plugin


def own_settings(settings: type[Model], said: dict[str, Any]) -> Model:
    """What a configuration says to a plug-in, checked.

    Raises:
        ValueError: it does not fit; each fault in words.
    """
    try:
        with faults_told("its settings cannot be checked", ValueError):
            return validated(settings, said)
    except ValueError as error:
        raise ValueError(f"settings: {faults(error, limit=5)}") from error


@contextmanager
def faults_told(what: str, *passed: type[Exception]) -> Iterator[None]:
    """Whatever code of a plug-in raises, or its wish to exit, as a ConfigError; errors of ours and ``passed`` stay."""
    try:
        yield
    except (SnlEdgeError, *passed):
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(what, f"{type(error).__name__}: {error}", "correct the plug-in") from error


@contextmanager
def no_exit(name: str, kind: type[Exception]) -> Iterator[None]:
    """Code of a plug-in that would end its thread, as by `sys.exit`, fails as ``kind`` instead: the line goes on."""
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        raise kind(f"{name} tried to end the line ({type(error).__name__}): correct the plug-in") from error
