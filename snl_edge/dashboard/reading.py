"""Routes that look: events, pictures, parts, scores, changes made, recipes to choose from."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ..stream.config.dashboard_settings import DashboardSettings
from ..stream.control.bundles import offered_bundles
from ..stream.control.interface import Line
from ..stream.journal.journal import Journal
from ..stream.journal.thumbnails import kept_picture
from ..stream.records.record import REASONS, VerdictName
from . import queries
from .auth import changes
from .events import EventFeed
from .guard import refuse
from .live import LiveFeed
from .wire import entry_json, known_parameters

_WIDTHS = {"small": 320, "large": 1280}
_Text = Annotated[str | None, Query(max_length=200)]
_Number = Annotated[float | None, Query(allow_inf_nan=False)]
_Id = Annotated[int | None, Query(ge=0, lt=2**63)]


class _Events(StreamingResponse):
    media_type = "text/event-stream"


class _EventStream(Response):
    """Holds its viewer's place from the first byte to the last, however it ends."""

    def __init__(self, events: EventFeed, address: str) -> None:
        super().__init__()
        self._events, self._address = events, address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._events.place(self._address) as there:
            if there:
                answer = _Events(self._events.stream())
            else:
                answer = refuse(503, "too many pages are open", fix="close one")
            await answer(scope, receive, send)


class _Jpeg(Response):
    media_type = "image/jpeg"


def reading_routes(
    line: Line, journal: Journal, settings: DashboardSettings, live: LiveFeed, events: EventFeed
) -> APIRouter:
    """All of them; none changes anything."""
    router = APIRouter(prefix="/api", dependencies=[Depends(known_parameters)])
    # Scaled one by one, however many a gallery asks for at once: the other cores are the line's.
    one_at_a_time = CapacityLimiter(1)

    @router.get("/session")
    def session(request: Request) -> dict[str, Any]:
        """Who one is, and by which paths one may change the line."""
        actor = request.state.actor
        may = changes(actor.role)
        who = {"actor": actor.name, "role": actor.role, "may": may}
        return {**who, "stale_seconds": settings.stale_seconds, "reasons": REASONS}

    @router.get("/events", response_class=_Events)
    async def stream(request: Request) -> Response:
        """Server-sent events: `status` every second, `part` for each new live view."""
        return _EventStream(events, request.state.address)

    @router.get("/live/{camera}/{entry_id}", response_class=_Jpeg)
    def live_picture(camera: str, entry_id: int, heatmap: bool = True) -> Response:
        """A live view, with or without its heatmap, as long as it is there."""
        picture = live.picture(camera, entry_id, heatmap)
        return refuse(404, "the picture is gone") if picture is None else _Jpeg(picture)

    @router.get("/parts")
    def parts(
        verdict: Annotated[list[VerdictName] | None, Query()] = None,
        product: _Text = None,
        camera: _Text = None,
        part: _Text = None,
        order: _Text = None,
        lot: _Text = None,
        since: _Number = None,
        until: _Number = None,
        score_above: _Number = None,
        score_to: _Number = None,
        unaccounted: bool = False,
        before: _Id = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 24,
    ) -> dict[str, Any]:
        """Records of parts, newest first; all but the good ones if no verdict is given."""
        chosen = tuple(dict.fromkeys(verdict)) if verdict else queries.Filter().verdicts
        wanted = queries.Filter(
            chosen, product, camera, part, order, lot, since, until, score_above, score_to, unaccounted
        )
        found = queries.parts(journal, wanted, before, limit + 1)
        shown = found[:limit]
        outcomes = journal.outcomes([entry.id for entry in shown])
        parts = [entry_json(entry, outcomes.get(entry.id, ())) for entry in shown]
        return {"parts": parts, "more": len(found) > limit}

    @router.get("/parts/{entry_id}/{kind}", response_class=_Jpeg)
    async def picture(entry_id: int, kind: str, size: str = "large") -> Response:
        """A part's kept `image` or `heatmap`, `small` or `large`."""
        return await to_thread.run_sync(_picture, entry_id, kind, size, limiter=one_at_a_time)

    def _picture(entry_id: int, kind: str, size: str) -> Response:
        if kind not in ("image", "heatmap") or size not in _WIDTHS or not 0 <= entry_id < 2**63:
            return refuse(404, "no such picture")
        entries = journal.select("id = ?", (entry_id,))
        name = getattr(entries[0].record, kind) if entries else None
        if name is None:
            return refuse(404, "no picture of this part was kept")
        # A part's picture never changes: the browser may keep it, but no proxy.
        kept = {"Cache-Control": "private, max-age=86400, immutable"}
        return _Jpeg(kept_picture(journal.folder, name, _WIDTHS[size]), headers=kept)

    @router.get("/scores")
    def scores(product: _Text = None, last: Annotated[int, Query(ge=10, le=5000)] = 1000) -> dict[str, Any]:
        """The last scores of a product, or of all without a threshold of their own, and the threshold in force."""
        status = line.status()
        own = status.product_thresholds
        found = queries.scores(journal, product, tuple(own), last)
        return {
            "threshold": status.threshold if product is None else own.get(product, status.threshold),
            "own_threshold": product in own,
            "usual": status.usual_thresholds.get(product),
            "version": status.threshold_version,
            "parts": [asdict(one) for one in found],
        }

    @router.get("/audit")
    def audit(limit: Annotated[int, Query(ge=1, le=1000)] = 200) -> dict[str, Any]:
        """Who changed what, and when; the newest first."""
        return {"changes": [asdict(entry) for entry in journal.audits(limit)]}

    @router.get("/recipes")
    def listed_recipes() -> dict[str, Any]:
        """Bundles that the recipe may be changed to."""
        found = offered_bundles(settings.bundles) if settings.bundles else []
        return {"folder": settings.bundles is not None, "recipes": [asdict(one) for one in found]}

    return router
