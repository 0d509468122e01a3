"""Routes that change the line: threshold, pause, shadow mode, recipe, order, self-test; what was looked for by hand.

The line writes the audit.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from ..runtime.manifest import HIGHEST
from ..stream.config.dashboard_settings import DashboardSettings
from ..stream.control.commands import Commands, OrderCommand, RecipeCommand
from ..stream.control.interface import Line


class _Body(BaseModel):
    # Strict: JSON's true is no 1.0, and "0.5" no number.
    model_config = ConfigDict(extra="forbid", strict=True)


class Threshold(_Body):
    """A new threshold for a product, or for all that have none of their own."""

    value: Annotated[float, Field(gt=0, le=HIGHEST, allow_inf_nan=False)]
    product: Annotated[str, Field(max_length=200)] | None
    confirmed: StrictBool = False
    """Of a value that is far from that of training, and refused otherwise."""


class Pause(_Body):
    """Pause or go on."""

    paused: StrictBool


class Shadow(_Body):
    """Shadow mode on or off."""

    shadow: StrictBool


class Acknowledgement(_Body):
    """Somebody has looked for the rejects of unknown outcome."""

    last: Annotated[int, Field(ge=1, lt=2**63)]
    """Newest of them, as the line's state named it: what came later was not seen."""


def changing_routes(line: Line, settings: DashboardSettings) -> APIRouter:
    """All of them; each returns once the line has done it."""
    router = APIRouter(prefix="/api")
    commands = Commands(line, settings.bundles)

    @router.post("/threshold")
    def threshold(request: Request, body: Threshold) -> dict[str, Any]:
        """Sets a threshold, from the next part on."""
        golden = line.set_threshold(body.value, body.product, request.state.actor.name, confirmed=body.confirmed)
        return {"value": body.value, "product": body.product, "golden": golden and asdict(golden)}

    @router.post("/pause")
    def pause(request: Request, body: Pause) -> dict[str, Any]:
        """Pauses, or goes on; while paused, parts get the fail-safe verdict."""
        line.pause(body.paused, request.state.actor.name)
        return {"paused": body.paused}

    @router.post("/shadow")
    def shadow(request: Request, body: Shadow) -> dict[str, Any]:
        """Shadow mode: parts are judged and recorded, and nothing is rejected."""
        line.set_shadow(body.shadow, request.state.actor.name)
        return {"shadow": body.shadow}

    @router.post("/recipe")
    def recipe(request: Request, body: RecipeCommand) -> dict[str, Any]:
        """Changes to another bundle between two parts; returns when it runs, which takes up to minutes."""
        return {"folder": body.folder, "golden": asdict(commands.change_recipe(body, request.state.actor.name))}

    @router.post("/order")
    def order(request: Request, body: OrderCommand) -> dict[str, Any]:
        """Sets what parts carry from now on: order, lot, operator and free fields."""
        line.set_order(body.wanted, request.state.actor.name)
        return body.wanted.plain()

    @router.post("/self-test")
    def self_test(request: Request, body: _Body) -> dict[str, Any]:
        """Judges the golden samples now, and tells how they fared."""
        return asdict(line.self_test(request.state.actor.name))

    @router.post("/acknowledge")
    def acknowledge(request: Request, body: Acknowledgement) -> dict[str, Any]:
        """Somebody has looked for the rejects of unknown outcome, up to the one named."""
        found = line.acknowledge(body.last, request.state.actor.name)
        return {"rejects": found.rejects if found else 0}

    return router
