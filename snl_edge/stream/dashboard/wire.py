"""The line's records in the form in which the page reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..actuation import Actuation
from ..control import Status
from ..record import Entry

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


def _finite(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON has no word for infinity or no number (the latency before the first part): null, shown as a dash."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in fields.items()
    }
