"""JSON from outside (RFC 8259), held to what all readers of it agree on.

Python's own reader takes NaN and infinities, the last of two equal keys, halves of characters and numbers that nothing
can hold; and it builds whatever a file describes, however large. A file that says such things is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from .files import MIB, MOST_TEXT, read_bytes, reason, text_of

DEEPEST = 64
"""Objects and lists within each other; ours have fewer than ten."""
MOST_VALUES = 2_000_000
"""In one text: together some hundred MB of Python's objects."""
MOST_ANNOTATIONS, MOST_ANNOTATED_VALUES = 512 * MIB, 10_000_000
"""Bytes and values of a file of annotations, which may carry pictures and the outlines of a whole data set."""
_LONGEST_INTEGER = 19
"""Digits: what a 64-bit integer holds."""
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_Model = TypeVar("_Model", bound=BaseModel)


def parse_json(content: bytes | str, *, most_values: int = MOST_VALUES) -> Any:
    """What a JSON text says.

    Raises:
        ValueError: it is no JSON, nested deeper than ``DEEPEST``, has more than ``most_values`` values, a key twice,
            half a character, NaN, infinity or an integer beyond 64 bits.
    """
    text = text_of(content) if isinstance(content, bytes) else content
    values = text.count(",") + text.count("[") + text.count("{")
    if values > most_values:
        raise ValueError(f"it has about {values:,} values, and {most_values:,} are the most")
    if text.count("[") + text.count("{") > DEEPEST:
        _refuse_depth(text)
    try:
        said = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_integer
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from error
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from error
    if _HALF.search(text):
        _refuse_halves(said)
    return said


def read_json(path: Path, *, most: int = MOST_TEXT, most_values: int = MOST_VALUES) -> Any:
    """What a JSON file of up to ``most`` bytes says.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger.
        ValueError: as `parse_json`.
    """
    return parse_json(read_bytes(path, most), most_values=most_values)


def parse_model(model: type[_Model], content: bytes | str, *, most_values: int = MOST_VALUES) -> _Model:
    """A JSON text as ``model``.

    Raises:
        ValueError: as `parse_json`; or a ``pydantic.ValidationError``, which is one.
    """
    return validated(model, parse_json(content, most_values=most_values))


def read_model(model: type[_Model], path: Path, *, most: int = MOST_TEXT, most_values: int = MOST_VALUES) -> _Model:
    """A JSON file as ``model``.

    Raises:
        OSError: as `read_json`.
        ValueError: as `parse_model`.
    """
    return parse_model(model, read_bytes(path, most), most_values=most_values)


def validated(model: type[_Model], said: object) -> _Model:
    """What was read as ``model``; :func:`faults` words the error.

    Raises:
        ValueError: it does not fit, in the words of pydantic or of one of the model's own checks.
    """
    try:
        return model.model_validate(said)
    except ValidationError:
        raise
    except (RecursionError, OverflowError, TypeError) as error:  # of a check that met what it did not count on
        raise ValueError(f"it cannot be checked: {error}") from error


def faults(error: Exception, limit: int = 3) -> str:
    """What is wrong, in one line: the first faults that pydantic found, and where; else the error's own words."""
    if not isinstance(error, ValidationError):
        return reason(error)
    every = error.errors(include_url=False, include_context=False, include_input=False)
    places = [fault["loc"] for fault in every]
    # Pydantic counts the items that passed: where one has a fault, "too short" is said of a list that is not.
    found = [
        fault
        for fault in every
        if fault["type"] != "too_short" or not any(_is_below(place, fault["loc"]) for place in places)
    ]
    named = [f"{'.'.join(map(str, fault['loc'])) or 'content'}: {fault['msg']}" for fault in found[:limit]]
    more = f" (and {len(found) - limit} more)" if len(found) > limit else ""
    return "; ".join(named) + more


def _is_below(place: Sequence[int | str], above: Sequence[int | str]) -> bool:
    return len(place) > len(above) and tuple(place[: len(above)]) == tuple(above)


def _refuse_depth(text: str) -> None:
    depth = 0
    for match in re.finditer(r"[\[\]{}]", _STRING.sub("", text)):
        depth += 1 if match[0] in "[{" else -1
        if depth > DEEPEST:
            raise ValueError(f"it is nested deeper than {DEEPEST} levels")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in made if names.count(name) > 1)
        raise ValueError(f"the key {twice[:80]!r} stands there twice")
    return made


def _constant(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits[:40]} is beyond what a number of 64 bits holds")
    return value


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > _LONGEST_INTEGER:
        raise ValueError(f"an integer of {len(digits)} digits is beyond 64 bits")
    return int(digits)


def _refuse_halves(said: object) -> None:
    try:
        json.dumps(said, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise ValueError(f"a text holds half a character ({half.encode('unicode_escape').decode()})") from error
