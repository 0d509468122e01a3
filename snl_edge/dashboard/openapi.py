"""The description of the API that programs read: FastAPI's, with what the guard adds to every path."""

from __future__ import annotations

from typing import Any, get_args

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ..stream.config.dashboard_settings import Role
from .auth import allows

_REFUSAL = {
    "type": "object",
    "description": "Why it was refused, and what to do.",
    "properties": {name: {"type": "string"} for name in ("what", "why", "fix")},
    "required": ["what", "why", "fix"],
}


def describe(app: FastAPI, public: frozenset[str]) -> None:
    """Lets ``app`` tell what is behind the token, for which roles, and how a refusal looks.

    Args:
        app: with all its routes.
        public: paths that need no token.
    """

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            parts = found.setdefault("components", {})
            parts.setdefault("schemas", {})["Refusal"] = _REFUSAL
            parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            for path, methods in found["paths"].items():
                for method, operation in methods.items():
                    _complete(operation, method.upper(), path, public)
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = document


def _complete(operation: dict[str, Any], method: str, path: str, public: frozenset[str]) -> None:
    """Adds token, roles and refusals to one path's description."""
    refusals = {
        "400": "The line refuses it, or the path takes no such parameter.",
        "422": "A parameter or the body is not as described.",
        "503": "Too many requests at a time.",
    }
    if method == "POST":
        refusals |= {"413": "The body is too large.", "415": "The body is not JSON."}
    if path not in public:
        operation["security"] = [{"token": []}]
        roles = [role for role in get_args(Role) if allows(role, method, path)]
        operation["description"] = f"{operation.get('description', '')}\n\nFor: {', '.join(roles)}.".strip()
        refusals |= {
            "401": "There is no token, or a wrong one.",
            "403": "The role may not do this, or the request came from another site.",
            "429": "Too many wrong tokens came from this address.",
        }
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    operation["responses"] |= {code: {"description": text, "content": content} for code, text in refusals.items()}
