"""A shift report to be read: as text, and as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from ...errors import DataError
from ...outside.shown import as_shown
from ..journal.thumbnails import kept_picture
from .figures import OUTCOMES, VERDICTS, Reason, Row, ShiftReport, Worst
from .standstill import Standstill

INTERVAL = "rejects among the judged parts, fail-safe ones left out; in brackets the 95 % confidence interval"
_WIDTH = 320
_NONE = "–"


def report_text(report: ShiftReport) -> Iterator[str]:
    """Line by line."""
    yield f"{report.line or 'line without a name'}, {report.period}"
    yield f"{_counts(report.total)}; reject rate {rate(report.total)}"
    yield from notes(report)
    for title, rows in sections(report):
        yield ""
        yield f"{title}:"
        width = max(len(row.name) for row in rows)
        yield from (f"  {row.name:{width}}  {_counts(row)}; reject rate {rate(row)}" for row in rows)
    if report.reasons:
        yield ""
        yield "reasons:"
        yield from (f"  {one.count} {one.verdict}: {reason(one)}" for one in report.reasons)
    if report.actuators:
        yield ""
        yield "at actuators:"
        for one in report.actuators:
            told = ", ".join(f"{count} {name}" for name, count in one.outcomes.items() if count)
            late = "" if one.latest_ms is None else f"; at most {one.latest_ms:.0f} ms late"
            yield f"  {one.actuator}: {told}{f' ({one.acknowledged} acknowledged)' if one.acknowledged else ''}{late}"
    if report.standstills:
        yield ""
        yield "stops and pauses:"
        yield from (f"  {stood(one, report)}" for one in report.standstills)
    if report.changes:
        yield ""
        yield "changes:"
        yield from (f"  {clock(one.time)} {one.actor}: {one.action}{_detail(one.detail)}" for one in report.changes)


def report_html(report: ShiftReport, folder: Path) -> str:
    """A whole page; pictures of the worst parts from below the journal's ``folder`` lie in it."""
    environment = Environment(
        loader=PackageLoader("snl_edge.stream.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=as_shown,
    )
    return environment.get_template("shift_report.html.jinja").render(
        report=report,
        sections=list(sections(report)),
        notes=list(notes(report)),
        verdicts=VERDICTS,
        outcomes=OUTCOMES,
        interval=INTERVAL,
        rate=rate,
        reason=reason,
        stood=stood,
        clock=clock,
        detail=_detail,
        pictures={one.id: _pictures(one, folder) for one in report.worst},
    )


def sections(report: ShiftReport) -> Iterator[tuple[str, Sequence[Row]]]:
    """Title and rows of each table of parts that has some."""
    shifts = [row for _, row in report.shifts]
    by = (("by shift", shifts), ("by product", report.products), ("by camera", report.cameras))
    for title, rows in (*by, ("by order and lot", report.orders)):
        if rows:
            yield title, rows


def notes(report: ShiftReport) -> Iterator[str]:
    """What a reader of the figures must know."""
    if report.kept_from is not None:
        yield f"Retention has removed records from before {clock(report.kept_from)}: they are in no figure here."
    if not report.total.parts:
        yield "No part was recorded in this time."
    if report.shadow:
        yield f"{report.shadow} of these parts were decided but not acted upon (shadow mode, or old files)."
    if report.unrecorded:
        yield f"{report.unrecorded} more parts were fail-safe and are in no figure here: the disk could not take them."
    unknown = sum(one.outcomes["unknown"] - one.acknowledged for one in report.actuators)
    if unknown:
        yield f"{unknown} outcomes at actuators are unknown and not acknowledged: check the bin."
    if report.open_run is not None:
        yield f"Run {report.open_run} has no end on record: it goes on, or its process died."
    if report.changes_left_out:
        yield f"{report.changes_left_out} earlier changes are left out."


def rate(row: Row) -> str:
    """As ``1.2 % (0.8 to 1.7)``; a dash where nothing was judged."""
    share = row.rejected
    if not share.total:
        return _NONE
    low, high = share.interval
    return f"{100 * share.rate:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def reason(one: Reason) -> str:
    """The journal's word, and what it means."""
    return f"{one.reason}: {one.text}" if one.text else one.reason


def stood(one: Standstill, report: ShiftReport) -> str:
    """One time without verdicts, in words."""
    minutes = report.period.overlap(one.since, one.until) / 60
    until = "still" if one.until is None else f"until {clock(one.until)}"
    what = {"stopped": "stopped", "died": "process died after its last part", "paused": f"paused by {one.actor}"}[
        one.kind
    ]
    return f"{clock(one.since)} {until}, {minutes:.0f} min of this time: {what}{f' ({one.why})' if one.why else ''}"


def clock(seconds: float) -> str:
    """A time as people of this place read it."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S}"


def _counts(row: Row) -> str:
    counts = ", ".join(f"{row.counts[verdict]:,} {verdict}" for verdict in VERDICTS)
    return f"{row.parts:,} {'part' if row.parts == 1 else 'parts'}: {counts}"


def _detail(detail: dict[str, object]) -> str:
    told = [f"{name} {_plain(value)}" for name, value in detail.items() if value not in ("", {}, None)]
    return f" ({', '.join(told)})" if told else ""


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, list) else str(value)


def _pictures(one: Worst, folder: Path) -> list[str]:
    """Picture and heatmap as data URLs; what retention has taken is left out."""
    found = []
    for name in (one.image, one.heatmap):
        try:
            if name is not None:
                found.append(f"data:image/jpeg;base64,{base64.b64encode(kept_picture(folder, name, _WIDTH)).decode()}")
        except DataError:
            continue  # the page says that there is none
    return found
