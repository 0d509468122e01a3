"""What programs of the plant ask of a line, over HTTP, MQTT and OPC UA alike: another recipe, another order."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr

from ...errors import ConfigError, SnlEdgeError
from ...outside.json_text import faults, parse_model
from ..records.record import Order
from .bundles import bundle_path
from .interface import Check, Line

CommandName = Literal["recipe", "order"]
LONGEST, LONGEST_FIELD, MOST_FIELDS = 64, 200, 16
"""Characters of order, lot and operator; of a free field; how many free fields."""
LARGEST = 16 * 1024
"""Bytes of a command."""
_log = logging.getLogger(__name__)


def _plain(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("plain text of one line, without spaces at its ends")
    return text


def _plain_fields(fields: dict[str, str]) -> dict[str, str]:
    if len(fields) > MOST_FIELDS:
        raise ValueError(f"at most {MOST_FIELDS} fields")
    return fields


Text = Annotated[StrictStr, Field(min_length=1, max_length=LONGEST), AfterValidator(_plain)]
_FieldText = Annotated[StrictStr, Field(max_length=LONGEST_FIELD), AfterValidator(_plain)]
_FieldName = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_.-]{1,32}$")]


class OrderCommand(BaseModel):
    """From the next trigger on records carry this, and nothing of what they carried before."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    order: Text | None = None
    lot: Text | None = None
    operator: Text | None = None
    fields: Annotated[dict[_FieldName, _FieldText], AfterValidator(_plain_fields)] = {}

    @property
    def wanted(self) -> Order:
        """What records are to carry."""
        return Order(self.order, self.lot, self.operator, self.fields)


class RecipeCommand(OrderCommand):
    """Another recipe, and what is made with it."""

    folder: Annotated[StrictStr, Field(max_length=200)]
    """The bundle's folder, as listed."""


_MODELS: dict[CommandName, type[OrderCommand]] = {"recipe": RecipeCommand, "order": OrderCommand}


class Commands:
    """Carries them out. Any thread may call any method.

    Args:
        line: the running line.
        bundles: folder of bundles that the recipe may be changed to; None: to none.
    """

    def __init__(self, line: Line, bundles: Path | None) -> None:
        self._line = line
        self._bundles = bundles

    def change_recipe(self, asked: RecipeCommand, actor: str) -> Check:
        """As `interface.Line.change_recipe`, by the bundle's folder.

        Raises:
            SnlEdgeError: it is refused.
        """
        try:
            bundle = bundle_path(self._bundles, asked.folder)
        except ConfigError as error:
            self._line.refused("recipe", error, actor)
            raise
        return self._line.change_recipe(bundle, actor, asked.wanted)

    def answer(self, name: str, content: bytes, actor: str) -> dict[str, Any]:
        """Carries out what came as JSON over a bus; never raises.

        Returns:
            ``accepted``; for another recipe what its golden samples said; of a refusal ``what``, ``why`` and ``fix``.
        """
        try:
            return {"accepted": True, **self._carried_out(name, content, actor)}
        except SnlEdgeError as error:
            refused = error
        except sqlite3.Error as error:
            refused = SnlEdgeError("the journal cannot be written", str(error), "look at the health page")
        except Exception as error:  # whoever asked waits for an answer
            _log.exception("command %s of %s", name, actor)
            refused = SnlEdgeError("it could not be carried out", f"{type(error).__name__}: {error}", "see the log")
        return {"accepted": False, "what": refused.what, "why": refused.why, "fix": refused.fix}

    def _carried_out(self, name: str, content: bytes, actor: str) -> dict[str, Any]:
        asked = self._read(name, content, actor)
        if isinstance(asked, RecipeCommand):
            return {"golden": asdict(self.change_recipe(asked, actor))}
        self._line.set_order(asked.wanted, actor)
        return {}

    def _read(self, name: str, content: bytes, actor: str) -> OrderCommand:
        try:
            if name not in _MODELS:
                raise ConfigError(f"there is no command {name!r}", fix=f"choose of {', '.join(_MODELS)}")
            if len(content) > LARGEST:
                raise ConfigError("the command is too large", fix=f"send at most {LARGEST} bytes")
            try:
                return parse_model(_MODELS[name], content)
            except ValueError as error:
                raise ConfigError(f"the command {name} is not valid", faults(error), "see docs/sinks.md") from error
        except ConfigError as error:
            self._line.refused(name if name in _MODELS else "command", error, actor)
            raise
