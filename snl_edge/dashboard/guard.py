"""What every request passes before a route sees it: size, origin, token. What every answer carries: strict headers."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..network.addresses import is_loopback
from .auth import COOKIE, MACHINES, READING, Gate, TooManyTriesError, allows

LARGEST_BODY = 16 * 1024
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """ASGI middleware that refuses by default: a new route is behind the token unless its path is listed here.

    Args:
        app: what it guards.
        gate: who may come in.
        public: paths that need no token.
        most_pages: answers at a time; those to machines do not count.
    """

    def __init__(self, app: ASGIApp, gate: Gate, public: frozenset[str], most_pages: int) -> None:
        self._app = app
        self._gate = gate
        self._most_pages = most_pages
        self._pages = 0
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers it with a refusal."""
        if scope["type"] != "http":
            return  # no websocket and no lifespan here

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        answer = refusal or self._app
        if refusal is None and scope["method"] not in READING:
            # First the whole request, then a place among the answers: one that never ends must not hold any.
            whole = await _whole(receive)
            if whole is None:
                return
            receive = whole
        if scope["path"] in MACHINES:
            await answer(scope, receive, send_with_headers)
            return
        if self._pages >= self._most_pages:
            answer = refuse(503, "too many requests at a time", fix="close pages that nobody needs")
        self._pages += 1
        try:
            await answer(scope, receive, send_with_headers)
        finally:
            self._pages -= 1

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        path: str = scope["path"]
        if self._gate.open and not is_loopback(_host(f"//{headers.get('host', '')}")[1]):
            # A foreign name that resolves to this machine: a page elsewhere is using the visitor's browser.
            return refuse(403, "open this page as http://localhost", "it has no token and serves this machine alone")
        if scope["method"] not in READING and (refused := _unsafe_change(headers)):
            return refused
        address = scope["client"][0] if scope.get("client") else "unknown"
        scope.setdefault("state", {})["address"] = address
        if path in self._public or path.startswith("/static/"):
            return None
        return self._uninvited(scope, headers, address)

    def _uninvited(self, scope: Scope, headers: Headers, address: str) -> Response | None:
        """Refuses who has no token, or one that is not good for this; notes who it is."""
        path: str = scope["path"]
        try:
            actor = self._gate.actor(HTTPConnection(scope).cookies.get(COOKIE), headers.get("authorization"), address)
        except TooManyTriesError as error:
            return too_many_tries(error)
        if actor is None:
            to_login = path == "/" and "/login" in self._public
            return RedirectResponse("/login", 303) if to_login else refuse(401, "log in first")
        if not allows(actor.role, scope["method"], path):
            return refuse(403, f"this is not for the role {actor.role}", fix="log in with a token that may do it")
        scope["state"]["actor"] = actor
        return None


async def _whole(receive: Receive) -> Receive | None:
    """Waits for the body and gives what hands it on; None if the client went away meanwhile."""
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def hand_on() -> Message:
        return waiting.pop() if waiting else await receive()

    return hand_on


def refuse(status: int, what: str, why: str = "", fix: str = "", headers: dict[str, str] | None = None) -> JSONResponse:
    """An answer that says no, in the form that the page shows."""
    return JSONResponse({"what": what, "why": why, "fix": fix}, status, headers)


def too_many_tries(error: TooManyTriesError) -> JSONResponse:
    """429, with the seconds to wait."""
    seconds = int(error.seconds) + 1
    return refuse(429, "too many wrong tokens", fix=f"wait {seconds} s", headers={"Retry-After": str(seconds)})


def _unsafe_change(headers: Headers) -> Response | None:
    """Refuses what a form or script of another site could send, and a body too large to be ours."""
    length = headers.get("content-length", "")
    if not length.isdecimal() or int(length) > LARGEST_BODY:
        return refuse(413, "the request is too large or does not tell its size")
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return refuse(415, "send JSON", fix="set Content-Type: application/json")
    origin = headers.get("origin")
    if origin is not None and _host(origin)[0] != headers.get("host"):
        return refuse(403, "the request came from another site")
    return None


def _host(url: str) -> tuple[str, str]:
    """``(host:port, host)`` of a URL; empty where it is none."""
    try:
        parts = urlsplit(url)
        return parts.netloc, parts.hostname or ""
    except ValueError:
        return "", ""
