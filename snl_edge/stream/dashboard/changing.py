"""Routes that change the line: threshold, pause, shadow mode, recipe, self-test. The line writes the audit."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from ...runtime.manifest import HIGHEST
from ..control import Line
from .guard import refuse
from .recipes import bundle_path
from .settings import DashboardSettings


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


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


class RecipeChoice(_Body):
    """A bundle's folder, as listed."""

    folder: Annotated[str, Field(max_length=200)]


def changing_routes(line: Line, settings: DashboardSettings) -> APIRouter:
    """All of them; each returns once the line has done it."""
    router = APIRouter(prefix="/api")
    slow = threading.Lock()  # a recipe change or self-test at a time; a second one would wait for minutes

    @router.post("/threshold")
    def threshold(request: Request, body: Threshold) -> dict[str, Any]:
        """Sets a threshold, from the next part on."""
        line.set_threshold(body.value, body.product, request.state.actor.name, confirmed=body.confirmed)
        return {"value": body.value, "product": body.product}

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

    @router.post("/recipe", response_model=None)
    def recipe(request: Request, body: RecipeChoice) -> dict[str, Any] | Response:
        """Changes to another bundle between two parts; returns when it runs, which takes up to minutes."""
        bundle = bundle_path(settings.bundles, body.folder)
        if not slow.acquire(blocking=False):
            return _busy()
        try:
            line.change_recipe(bundle, request.state.actor.name)
        finally:
            slow.release()
        return {"folder": body.folder}

    @router.post("/self-test", response_model=None)
    def self_test(request: Request, body: _Body) -> dict[str, Any] | Response:
        """Judges the golden samples now, and tells how they fared."""
        if not slow.acquire(blocking=False):
            return _busy()
        try:
            return asdict(line.self_test(request.state.actor.name))
        finally:
            slow.release()

    return router


def _busy() -> Response:
    return refuse(409, "a recipe change or self-test is running", fix="wait until it is done")
