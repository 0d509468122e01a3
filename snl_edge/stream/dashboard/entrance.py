"""Routes for coming in and going out, and what machines ask: health and metrics."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel, ConfigDict, Field

from ..control import Line
from .auth import COOKIE, Gate, TooManyTriesError
from .guard import refuse, too_many_tries


class Login(BaseModel):
    """What the login form sends."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, Field(max_length=1000)]
    name: Annotated[str, Field(max_length=200)] = ""
    """Who it is, for the audit; not checked."""


def entrance_routes(line: Line, gate: Gate, secure: bool, registry: CollectorRegistry) -> APIRouter:
    """``/api/login``, ``/api/logout``, ``/health``, ``/metrics``.

    Args:
        line: whose health it is.
        gate: who may come in.
        secure: served over TLS, so the cookie must never travel without.
        registry: the line's metrics.
    """
    router = APIRouter()

    @router.post("/api/login")
    def login(request: Request, body: Login) -> Response:
        try:
            cookie = gate.login(body.token.strip(), body.name, request.state.address)
        except TooManyTriesError as error:
            return too_many_tries(error)
        if cookie is None:
            return refuse(401, "wrong token")
        answer = JSONResponse({})
        answer.set_cookie(COOKIE, cookie, max_age=gate.session_seconds, httponly=True, secure=secure, samesite="strict")
        return answer

    @router.post("/api/logout")
    def logout() -> Response:
        answer = JSONResponse({})
        answer.delete_cookie(COOKIE, httponly=True, secure=secure, samesite="strict")
        return answer

    @router.get("/health")
    def health() -> Response:
        status = line.status()
        # A pause is somebody's wish; a line that starts, drains, stopped or has a failed part cannot inspect.
        well = status.state in ("running", "paused") and all(check.light != "failed" for check in status.checks)
        return JSONResponse({"status": "ok" if well else "failed"}, 200 if well else 503)

    @router.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router
