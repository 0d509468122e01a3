"""What machines ask: health, metrics, and a part's trigger. They have threads of their own, at both addresses.

Pages that look long, or many of them, must keep no part and no monitoring waiting.
"""

from __future__ import annotations

from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel, ConfigDict, Field

from ..stream.control.interface import Line

_TRIGGERS = 4
"""At a time; each takes well below a millisecond."""
_LOOKS = 2


class Trigger(BaseModel):
    """A part is there now."""

    model_config = ConfigDict(extra="forbid", strict=True)

    camera: Annotated[str, Field(max_length=32)]
    part: Annotated[str, Field(max_length=200)] | None = None
    encoder: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None


def machine_routes(line: Line, registry: CollectorRegistry) -> APIRouter:
    """``/health``, ``/metrics``, ``/api/trigger``.

    Args:
        line: whose health it is, and whose parts.
        registry: its metrics.
    """
    router = APIRouter()
    triggers, looks = CapacityLimiter(_TRIGGERS), CapacityLimiter(_LOOKS)

    @router.get("/health")
    async def health() -> Response:
        """200 where the line inspects or somebody has paused it, else 503; no detail."""
        return await to_thread.run_sync(_health, line, limiter=looks)

    router.head("/health", include_in_schema=False)(health)  # what load balancers and monitors ask

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Prometheus' text format."""
        content = await to_thread.run_sync(generate_latest, registry, limiter=looks)
        return Response(content, headers={"Content-Type": CONTENT_TYPE_LATEST})

    @router.post("/api/trigger")
    async def trigger(body: Trigger) -> dict[str, Any]:
        """A part is there now; gives its sequence number at the camera, null while the line is ending."""
        sequence = await to_thread.run_sync(line.trigger, body.camera, body.part, body.encoder, limiter=triggers)
        return {"camera": body.camera, "sequence": sequence}

    return router


def _health(line: Line) -> Response:
    status = line.status()
    # A pause is somebody's wish; a line that starts, drains, stopped or has a failed part cannot inspect.
    well = status.state in ("running", "paused") and all(check.light != "failed" for check in status.checks)
    return JSONResponse({"status": "ok" if well else "failed"}, 200 if well else 503)
