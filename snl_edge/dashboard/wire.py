"""The line's records in the form in which the page reads them; what is wrong with a request in the form of errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError

from ..errors import ConfigError
from ..stream.control.interface import Status
from ..stream.records.actuation import Actuation
from ..stream.records.record import Entry

LISTED = "docs/dashboard.md, For programs,"
"""Where the paths and what they take are told."""
_LONGEST_SHOWN = 40
_OUTCOME = ("actuator", "outcome", "detail", "acknowledged")


def entry_json(entry: Entry, outcomes: Sequence[Actuation] = ()) -> dict[str, Any]:
    """A part with all that the journal knows of it; whether pictures were kept, not where they lie."""
    fields = _finite(asdict(entry.record))
    fields["image"] = entry.record.image is not None
    fields["heatmap"] = entry.record.heatmap is not None
    moved = [{name: getattr(one, name) for name in _OUTCOME} for one in outcomes]
    return {"id": entry.id, "run": entry.run, "message_id": entry.message_id, **fields, "outcomes": moved}


def brief_json(entry: Entry) -> dict[str, Any]:
    """A part in the strip of the last verdicts."""
    record = entry.record
    return {"id": entry.id, "camera": record.camera, "verdict": record.verdict, "product": record.product}


def status_json(status: Status) -> dict[str, Any]:
    """The line's state."""
    return _finite(asdict(status))


def malformed_request(error: RequestValidationError) -> tuple[str, str, str]:
    """What, why and fix of a request whose form is wrong; of several faults the first."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return "the request's body is no JSON", str(first["ctx"]["error"]), "send one JSON object"
    where, *path = (str(one) for one in first["loc"])
    place = ".".join(path) or where
    given = "" if first["type"] == "missing" else f", not {_short(first['input'])}"
    return f"{place} is not as it must be", f"{first['msg']}{given}", f"{LISTED} says what each path takes"


def known_parameters(request: Request) -> None:
    """Refuses a query with a parameter that its path does not take: a filter that is misspelt would filter nothing.

    Raises:
        ConfigError: it has one.
    """
    taken = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    for name in request.query_params:
        if name not in taken:
            why = f"this path takes {', '.join(sorted(taken)) or 'none'}"
            raise ConfigError(f"no parameter {name!r}", why, "correct its name or leave it out")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _finite(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON has no word for infinity or no number (the latency before the first part): null, shown as a dash."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in fields.items()
    }
