"""The dashboard's web application: routes, guard, and errors as the page shows them."""

from __future__ import annotations

import logging
import sqlite3
import threading

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from prometheus_client import REGISTRY, CollectorRegistry
from starlette.exceptions import HTTPException

from ..errors import BusyError, DataError, SnlEdgeError
from ..stream.config.dashboard_settings import DashboardSettings
from ..stream.control.interface import Line
from ..stream.journal.journal import Journal
from ..version import __version__
from .assets import asset_routes
from .auth import Gate
from .changing import changing_routes
from .entrance import entrance_routes
from .events import EventFeed
from .guard import Guard, refuse
from .live import LiveFeed
from .machines import machine_routes
from .openapi import describe
from .reading import reading_routes
from .reporting import reporting_routes
from .wire import LISTED, malformed_request

_log = logging.getLogger(__name__)


def create_app(
    line: Line,
    journal: Journal,
    settings: DashboardSettings,
    registry: CollectorRegistry = REGISTRY,
    closing: threading.Event | None = None,
) -> FastAPI:
    """The application; `server.DashboardServer` serves it.

    Args:
        line: the running line.
        journal: its journal, only read.
        settings: where the token is, and what to show.
        registry: the metrics under ``/metrics``.
        closing: ends the event streams when set, so that a server can stop.

    Raises:
        ConfigError: no usable token.
    """
    gate = Gate(settings.access(), settings.session_days * 86400)
    live = LiveFeed(line, settings.live_width, settings.live_rate)
    events = EventFeed(line, journal, live, closing or threading.Event())
    most_pages = settings.connections - settings.connections // 3
    public = frozenset({"/login", "/api/login", *_public(settings)})
    app = _guarded(gate, public, most_pages)
    app.include_router(asset_routes())
    app.include_router(entrance_routes(gate, settings.certificate is not None))
    app.include_router(machine_routes(line, registry))
    app.include_router(reading_routes(line, journal, settings, live, events))
    app.include_router(reporting_routes(line, journal))
    app.include_router(changing_routes(line, settings))
    describe(app, public)
    return app


def create_machine_app(line: Line, settings: DashboardSettings, registry: CollectorRegistry = REGISTRY) -> FastAPI:
    """What is served at the machines' own address: health, metrics and triggers, no page and nothing that changes.

    Raises:
        ConfigError: no usable token.
    """
    public = frozenset(_public(settings))
    app = _guarded(Gate(settings.access(), 0), public, most_pages=1)
    app.include_router(machine_routes(line, registry))
    describe(app, public)
    return app


def _public(settings: DashboardSettings) -> list[str]:
    return ["/health", *(["/metrics"] if settings.open_metrics else [])]


def _guarded(gate: Gate, public: frozenset[str], most_pages: int) -> FastAPI:
    # No generated API pages: they load scripts from elsewhere, and the page needs none.
    app = FastAPI(title="snl-edge", version=__version__, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    app.add_middleware(Guard, gate=gate, public=public, most_pages=most_pages)

    @app.exception_handler(SnlEdgeError)
    def refused(_: Request, error: SnlEdgeError) -> Response:
        status = 409 if isinstance(error, BusyError) else 404 if isinstance(error, DataError) else 400
        return refuse(status, error.what, error.why, error.fix)

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> Response:
        return refuse(422, *malformed_request(error))

    @app.exception_handler(HTTPException)
    def nothing_there(request: Request, error: HTTPException) -> Response:
        asked = f"{request.method} {request.url.path}"
        return refuse(error.status_code, error.detail, asked, f"{LISTED} lists the paths", dict(error.headers or {}))

    @app.exception_handler(sqlite3.Error)
    def no_journal(_: Request, error: sqlite3.Error) -> Response:
        _log.error("dashboard: the journal cannot be read: %s", error)
        return refuse(503, "the journal cannot be read", str(error), "look at the health page")

    return app
