"""What callers from Python give, held to its type before anything runs: a wrong argument is an error in one line.

The public functions ask here; what an argument must be beyond its type, whoever uses it checks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np

from .errors import ConfigError
from .outside.shown import brief

Kind = TypeVar("Kind")
_LONGEST_NAME, _LONGEST_PATH = 255, 4095
"""Bytes, on Linux: NAME_MAX, and PATH_MAX without its end."""


def require_path(value: object, what: str) -> Path:
    """A path that a file can have; ``what`` names the argument in the error.

    Raises:
        ConfigError: it is neither text nor a path, is empty, or no file can have it.
    """
    fix = "give a path as str or Path"
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str) or not text:
        raise ConfigError(f"{what} cannot be {brief(value)}", fix=fix)
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError as error:
        raise ConfigError(f"{what} cannot be {brief(text)}", "no file has such a name", fix) from error
    if b"\0" in encoded:
        raise ConfigError(f"{what} cannot be {brief(text)}", "no file has a zero byte in its name", fix)
    if len(encoded) > _LONGEST_PATH or max(map(len, encoded.split(b"/"))) > _LONGEST_NAME:
        raise ConfigError(
            f"{what} cannot be {brief(text)}",
            f"a name has at most {_LONGEST_NAME} bytes, a path {_LONGEST_PATH:,}",
            "give a shorter one",
        )
    return Path(text)


def optional_path(value: object, what: str) -> Path | None:
    """As `require_path`; None stays None."""
    return None if value is None else require_path(value, what)


def require_kind(value: object, what: str, kind: type[Kind], fix: str) -> Kind:
    """What must be a ``kind``.

    Raises:
        ConfigError: it is none; ``fix`` says what to give.
    """
    if not isinstance(value, kind):
        raise ConfigError(f"{what} cannot be {brief(value)}", fix=fix)
    return value


def require_text(value: object, what: str) -> str:
    """Text.

    Raises:
        ConfigError: it is none.
    """
    return require_kind(value, what, str, "give text")


def require_texts(value: object, what: str) -> tuple[str, ...]:
    """Several pieces of text, in order; one alone is one of them, not its letters.

    Raises:
        ConfigError: it is something else, or something else is among them.
    """
    if isinstance(value, str):
        return (value,)
    if isinstance(value, bytes | np.ndarray) or not isinstance(value, Iterable):
        raise ConfigError(f"{what} cannot be {brief(value)}", fix="give a list of text")
    texts = tuple(value)
    for text in texts:
        require_kind(text, f"one of {what}", str, "give a list of text")
    return texts


def require_choice(value: object, what: str, choices: Iterable[str]) -> str:
    """One of several words.

    Raises:
        ConfigError: it is none of them.
    """
    known = tuple(choices)
    if not isinstance(value, str) or value not in known:
        raise ConfigError(f"{what} cannot be {brief(value)}", fix=f"choose of {', '.join(known)}")
    return value


def require_switch(value: object, what: str) -> bool:
    """True or False.

    Raises:
        ConfigError: it is something else: of text, even "no" would count as yes.
    """
    if not isinstance(value, bool | np.bool_):
        raise ConfigError(f"{what} cannot be {brief(value)}", fix="give True or False")
    return bool(value)


def require_whole(value: object, what: str, lowest: int, highest: int) -> int:
    """A whole number from ``lowest`` to ``highest``, as Python's own.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not lowest <= value <= highest:
        raise ConfigError(f"{what} cannot be {brief(value)}", fix=f"give a whole number from {lowest} to {highest}")
    return int(value)
