"""Every public setting of ``line.yaml`` in one table, made from the schema that checks the file."""

from __future__ import annotations

import enum
import types
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .line_config import LineConfig

Row = tuple[str, str, str, str]


def settings_table() -> str:
    """A Markdown table: setting, what it takes, its default, what it means."""
    lines = ["| setting | takes | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {takes} | {default} | {meaning} |" for name, takes, default, meaning in rows(LineConfig)]
    return "\n".join(lines) + "\n"


def rows(model: type[BaseModel], prefix: str = "", without: Set[str] = frozenset()) -> Iterator[Row]:
    """(dotted name, what it takes, default, meaning) of every setting below ``model``.

    What all kinds of a block share is given once, then what each kind (in brackets) has of its own.
    """
    for own, field in model.model_fields.items():
        if own in without:
            continue
        name, models = f"{prefix}{field.alias or own}", list(_models(field.annotation))
        several = "[]" if _is_sequence(field.annotation) else ""
        yield name, _block(models, several) or _takes(field.annotation), _default(field), _one_line(field.description)
        if len(models) == 1:
            yield from rows(models[0], f"{name}{several}.", _tag(models[0]))
            continue
        shared = _shared(models) if models else set()
        if shared:
            yield from rows(models[0], f"{name}{several}.", set(models[0].model_fields) - shared)
        for inner in models:
            yield from rows(inner, f"{name}{several}({_kind(inner)}).", shared | _tag(inner))


def _block(models: list[type[BaseModel]], several: str) -> str:
    if not models:
        return ""
    kinds = ", ".join(f"`{_kind(one)}`" for one in models if _tag(one))
    tag = next(iter(_tag(models[0])), "")
    return ("list of blocks" if several else "block") + (f" with `{tag}`: {kinds}" if kinds else "")


def _shared(models: list[type[BaseModel]]) -> set[str]:
    """Settings that are the same in all of these blocks."""

    def told(model: type[BaseModel]) -> dict[str, tuple[str, str, str]]:
        fields = model.model_fields.items()
        return {name: (_takes(f.annotation), _default(f), _one_line(f.description)) for name, f in fields}

    first, *others = map(told, models)
    return {name for name, says in first.items() if all(other.get(name) == says for other in others)} - _tag(models[0])


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The blocks that a setting may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is Annotated:
        yield from _models(get_args(annotation)[0])
    else:
        for argument in get_args(annotation):
            yield from _models(argument)


def _is_sequence(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return _is_sequence(get_args(annotation)[0])
    return get_origin(annotation) in (tuple, list)


def _tag(model: type[BaseModel]) -> set[str]:
    """The setting that tells blocks of one place apart, if there is one."""
    return {name for name in ("type", "by") if name in model.model_fields}


def _kind(model: type[BaseModel]) -> str:
    return "".join(get_args(model.model_fields[tag].annotation)[0] for tag in _tag(model))


def _takes(annotation: Any) -> str:  # noqa: PLR0911
    origin = get_origin(annotation)
    if origin is Annotated:
        return _takes(get_args(annotation)[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if origin in (Union, types.UnionType):
        return " or ".join(_takes(one) for one in get_args(annotation) if one is not type(None))
    if origin in (tuple, list):
        return f"list of {_takes(get_args(annotation)[0])}"
    if origin is dict:
        return "names and values"
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return ", ".join(f"`{value.value}`" for value in annotation)
    names = {int: "whole number", float: "number", bool: "true, false", str: "text", SecretStr: "text", Path: "path"}
    return names.get(annotation, "block")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True) if field.default is PydanticUndefined else field.default
    if value is None:
        return "–"
    if isinstance(value, BaseModel) or value in ((), {}):
        return ""
    if isinstance(value, tuple):
        return ", ".join(f"`{one}`" for one in value)
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split()).replace("``", "`").replace("|", "\\|").replace("`null`", "null")
