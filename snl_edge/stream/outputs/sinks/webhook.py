"""Webhook: verdicts go to a web server by HTTP POST, signed if wished.

urllib3 itself, not a client built on it: it is small and typed, and its ``Timeout(total=…)`` bounds a whole request.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from ....network.credentials import Secret, Tls
from ...records.record import Entry
from .message import encode
from .sink_settings import SinkSettings
from .transport import DeliveryError, PoisonError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

REFUSED_FOR_GOOD = (400, 409, 413, 415, 422)
"""What a server answers when it dislikes this one message. 401, 403, 404 and the like say that the address or the token
is wrong: then every message would be refused, so they are tried again until someone has put it right."""
LONGEST_RETRY_AFTER_S = 300.0


def _web_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an address begins with http:// or https:// and names a host")
    if parts.username or parts.password:
        raise ValueError("no user and password in the address: give them as token or in headers")
    return url


class WebhookSink(SinkSettings):
    """Posts verdicts to a web server."""

    type: Literal["webhook"]
    url: Annotated[str, AfterValidator(_web_address)]
    """Where to post."""
    token: Secret | None = None
    """Sent as ``Authorization: Bearer …``."""
    signing_key: Secret | None = None
    """Key of the HMAC-SHA256 signature in ``X-Snl-Edge-Signature``."""
    headers: dict[str, str] = Field(default={})
    """Further headers of each request."""
    tls: Tls | None = None
    """For https: authority and certificate, where the system's do not do."""
    batch: int = Field(default=1, ge=1, le=1000)
    """1: a request's body is one verdict. More: it is an array of up to so many."""

    @model_validator(mode="after")
    def _tls_has_https(self) -> WebhookSink:
        if self.tls is not None and not self.url.startswith("https:"):
            raise ValueError("tls needs an address that begins with https://")
        return self


class WebhookTransport:
    """Keeps one connection to a web server open and reuses it."""

    def __init__(self, settings: WebhookSink) -> None:
        self._settings = settings
        self._pool: PoolManager | None = None
        self._key = b""
        self._headers: dict[str, str] = Field(default={})

    def open(self) -> None:
        """Reads secrets and certificates; the connection is made with the first request."""
        import urllib3

        settings = self._settings
        self._headers = {**settings.headers, "Content-Type": "application/json"}
        if settings.token is not None:
            self._headers["Authorization"] = f"Bearer {settings.token.read()}"
        self._key = settings.signing_key.read().encode() if settings.signing_key is not None else b""
        # Without https no certificate is read: a device need not have any.
        context = (settings.tls or Tls()).context() if settings.url.startswith("https:") else None
        self._pool = urllib3.PoolManager(
            num_pools=1, timeout=urllib3.Timeout(total=settings.timeout_s), retries=False, ssl_context=context
        )

    def deliver(self, entries: Sequence[Entry]) -> int:
        """One request. A batch that is refused for good is halved until the one message is found."""
        if not entries:
            return 0
        answer = self._post(entries)
        if 200 <= answer.status < 300:
            return len(entries)
        text = f"{self._settings.url} answers {answer.status} {answer.reason or ''}: {_short(answer.data)}"
        if answer.status not in REFUSED_FOR_GOOD:
            raise DeliveryError(text, retry_after_s=_retry_after(answer.headers.get("Retry-After")))
        if len(entries) == 1:
            raise PoisonError(text, 0)
        return self.deliver(entries[: len(entries) // 2])

    def close(self) -> None:
        """Closes the connection."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.clear()

    def _post(self, entries: Sequence[Entry]) -> BaseHTTPResponse:
        from urllib3.exceptions import HTTPError

        assert self._pool is not None
        single = self._settings.batch == 1
        body = encode(entries[0]) if single else b"[" + b",".join(map(encode, entries)) + b"]"
        headers = dict(self._headers)
        if single:
            headers["Idempotency-Key"] = entries[0].message_id
        if self._key:
            headers["X-Snl-Edge-Signature"] = signature(self._key, body, int(time.time()))
        try:
            return self._pool.request("POST", self._settings.url, body=body, headers=headers, redirect=False)
        except (HTTPError, OSError) as error:
            raise DeliveryError(f"{self._settings.url} cannot be reached: {error}") from error


def signature(key: bytes, body: bytes, at: int) -> str:
    """``t=<seconds since 1970>,v1=<hex of HMAC-SHA256 over "<t>.<body>">``: the time is signed too, against replays."""
    return f"t={at},v1={hmac.new(key, str(at).encode() + b'.' + body, hashlib.sha256).hexdigest()}"


def _retry_after(value: str | None) -> float:
    """Seconds; the header's other form, a date, is left to our own back-off."""
    return min(float(value), LONGEST_RETRY_AFTER_S) if value is not None and value.isdecimal() else 0.0


def _short(body: bytes) -> str:
    return " ".join(body[:200].decode("utf-8", "replace").split())
