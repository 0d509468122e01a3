"""Routes for what a line did in a time: figures, a page to keep, and records for a spreadsheet."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from ..stream.control.interface import Line
from ..stream.journal.journal import Journal
from ..stream.report.export import csv_header, csv_line, rows
from ..stream.report.figures import ShiftReport
from ..stream.report.page import report_html
from ..stream.report.period import Period, chosen_period, shift_times
from ..stream.report.shift_report import shift_report
from .queries import limited
from .wire import known_parameters

_LONGEST = 8.0
"""Seconds: it counts all parts of a period; a page waits for ten."""
_SHORTER = "choose a shorter time, or ask at the line's machine: snl-edge stream report"
_LINES = 500
_Number = Annotated[float | None, Query(allow_inf_nan=False)]
_Shifts = Annotated[str | None, Query(max_length=200)]


class _Csv(StreamingResponse):
    media_type = "text/csv"


def reporting_routes(line: Line, journal: Journal) -> APIRouter:
    """All of them; without a time the last 24 hours, or with ``shifts`` the last one that has ended."""
    # One by one, however many pages ask: the other cores are the line's.
    counting = threading.Lock()
    router = APIRouter(prefix="/api", dependencies=[Depends(known_parameters)])

    def report(since: float | None, until: float | None, shifts: str | None) -> ShiftReport:
        begin, now = shift_times(shifts) if shifts else (), time.time()
        period = chosen_period(since, until, begin, now)
        with counting, limited(journal, _LONGEST, _SHORTER) as connection:
            return shift_report(connection, period, begin, now)

    @router.get("/report")
    def figures(since: _Number = None, until: _Number = None, shifts: _Shifts = None) -> dict[str, Any]:
        """What the line did in a time; without one in the last 24 hours, or the last shift that has ended."""
        return report(since, until, shifts).plain()

    @router.get("/report.html", response_class=HTMLResponse)
    def page(since: _Number = None, until: _Number = None, shifts: _Shifts = None) -> Response:
        """The same as a page to keep, with pictures of the worst parts in it."""
        found = report(since, until, shifts)
        content = report_html(found, journal.folder)
        return HTMLResponse(content, headers=_named("report", found.period, "html"))

    @router.get("/records.csv", response_class=_Csv)
    def records(since: _Number = None, until: _Number = None) -> Response:
        """All records of a time for a spreadsheet."""
        period = chosen_period(since, until, (), time.time())
        return _Csv(_lines(journal, period), headers=_named("records", period, "csv"))

    def _named(kind: str, period: Period, ending: str) -> dict[str, str]:
        """A file to keep, named by line and begin: never shown in the dashboard's own place."""
        name = f"{line.status().name}-{kind}-{datetime.fromtimestamp(period.since):%Y-%m-%dT%H%M}.{ending}"
        return {"Content-Disposition": f'attachment; filename="{name}"'}

    return router


def _lines(journal: Journal, period: Period) -> Iterator[str]:
    yield csv_header()
    lines = (csv_line(row) for row in rows(journal, period))
    while some := "".join(islice(lines, _LINES)):
        yield some
