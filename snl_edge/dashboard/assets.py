"""The page's own files. They are read once, by the names found in the package: a request opens no file."""

from __future__ import annotations

import gzip
import hashlib
from importlib.resources import files

from fastapi import APIRouter, Request
from fastapi.responses import Response

from .guard import refuse

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def asset_routes() -> APIRouter:
    """``/``, ``/login`` and ``/static/NAME``."""
    router = APIRouter()
    contents = {
        file.name: (
            gzip.compress(file.read_bytes(), mtime=0),
            _TYPES[file.name.rpartition(".")[2]],
            f'W/"{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"',
        )
        for file in files("snl_edge.dashboard").joinpath("static").iterdir()
    }

    def answer(name: str, request: Request) -> Response:
        if name not in contents:
            return refuse(404, "no such file")
        content, kind, tag = contents[name]
        # Asked for each time, sent when changed.
        headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(content, media_type=kind, headers={**headers, "Content-Encoding": "gzip"})
        return Response(gzip.decompress(content), media_type=kind, headers=headers)

    @router.get("/", include_in_schema=False)
    def page(request: Request) -> Response:
        return answer("index.html", request)

    @router.get("/login", include_in_schema=False)
    def login(request: Request) -> Response:
        return answer("login.html", request)

    @router.get("/static/{name}", include_in_schema=False)
    def static(name: str, request: Request) -> Response:
        return answer(name, request)

    return router
