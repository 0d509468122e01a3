"""Routes for coming in and going out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from .auth import COOKIE, Gate, TooManyTriesError
from .guard import refuse, too_many_tries


class Login(BaseModel):
    """What the login form sends."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, Field(max_length=1000)]
    name: Annotated[str, Field(max_length=200)] = ""
    """Who it is, for the audit; not checked."""


def entrance_routes(gate: Gate, secure: bool) -> APIRouter:
    """``/api/login``, ``/api/logout``.

    Args:
        gate: who may come in.
        secure: served over TLS, so the cookie must never travel without.
    """
    router = APIRouter()

    @router.post("/api/login", include_in_schema=False)
    def login(request: Request, body: Login) -> Response:
        """A session for a browser, as a cookie; programs send their token with each request instead."""
        try:
            cookie = gate.login(body.token.strip(), body.name, request.state.address)
        except TooManyTriesError as error:
            return too_many_tries(error)
        if cookie is None:
            return refuse(401, "wrong token")
        answer = JSONResponse({})
        answer.set_cookie(COOKIE, cookie, max_age=gate.session_seconds, httponly=True, secure=secure, samesite="strict")
        return answer

    @router.post("/api/logout", include_in_schema=False)
    def logout() -> Response:
        """Forgets the cookie."""
        answer = JSONResponse({})
        answer.delete_cookie(COOKIE, httponly=True, secure=secure, samesite="strict")
        return answer

    return router
