"""`stream`: the line that runs for months, its file, its journal, and a demonstration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import time
from enum import Enum
from pathlib import Path
from time import time as now
from typing import TYPE_CHECKING, Annotated

import typer

from snl_edge.answer import say, say_json
from snl_edge.errors import ConfigError
from snl_edge.extras import GRAPHS, require

from .app import WholeSentences, app
from .numbers import number
from .options import RUN, Backend, Json

if TYPE_CHECKING:
    from snl_edge.stream.report.rejudge import Rejudged

if TYPE_CHECKING:
    from snl_edge.stream.report.period import Period

stream = typer.Typer(
    cls=WholeSentences,
    help="Inspect on a line: cameras in, verdicts, journal, sinks and dashboard out.",
    no_args_is_help=True,
)
app.add_typer(stream, name="stream")

Line = Annotated[Path, typer.Argument(help="The line's file; annotated examples are in examples/lines.")]


_MOMENT = "From this moment on, local time: 2026-11-28T06:00, 2026-11-28 or 06:00 (today)."
Since = Annotated[str | None, typer.Option(help=f"{_MOMENT} Without it 24 hours before --until.")]
Until = Annotated[str | None, typer.Option(help="Before this moment, written as --since. Without it until now.")]


class Format(str, Enum):
    """What a journal is exported as."""

    csv = "csv"
    jsonl = "jsonl"


def _needs() -> None:
    require("the line", "yaml", "prometheus_client", extra="stream")


@stream.command()
def run(line: Line = Path("line.yaml")) -> None:
    """Run a line until its pictures end, or until SIGTERM or Ctrl-C; then it drains.

    Example: snl-edge stream run line.yaml
    """
    _needs()
    from snl_edge.service.run import run_line
    from snl_edge.stream.config.line_config import read_config

    run_line(read_config(line))


@stream.command()
def check(
    line: Line = Path("line.yaml"),
    connect: Annotated[bool, typer.Option("--connect", help="Also try cameras, brokers and servers.")] = False,
) -> None:
    """Explain a line's file in plain words and try what can be tried. Leaves with 1 if something will not work.

    Example: snl-edge stream check line.yaml --connect
    """
    _needs()
    from snl_edge.service.check import check_line, print_findings
    from snl_edge.stream.config.line_config import read_config

    if not print_findings(check_line(read_config(line), connect=connect)):
        raise typer.Exit(1)


@stream.command()
def journal(
    folder: Annotated[Path, typer.Argument(help="The journal's folder.")] = Path("journal"),
    export: Annotated[
        Path | None, typer.Option(help="Write records to this file: all, or with --since or --until those of a time.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="Of the exported file.")] = Format.csv,
    since: Annotated[
        str | None,
        typer.Option(help=f"{_MOMENT} With --until alone 24 hours before that; with neither from the first."),
    ] = None,
    until: Until = None,
    as_json: Json = False,
) -> None:
    """Check that a journal is whole: file, numbering, pictures. Leaves with 1 if something is lost or damaged.

    Example: snl-edge stream journal journal/

    Or: snl-edge stream journal journal/ --export shift.csv --since 06:00 --until 14:00
    """
    from snl_edge.stream.journal.soundness import check_journal, require_outside
    from snl_edge.stream.report.export import export_journal

    if export is not None:
        require_outside(folder, export)
    ranged = since is not None or until is not None
    if ranged and export is None:
        raise ConfigError("a time range without an export", "the whole journal is checked", "add --export FILE")
    period = _period(since, until) if ranged else None
    report = check_journal(folder)
    if as_json:
        say_json({**asdict(report), "consistent": report.consistent})
    else:
        for camera in report.cameras:
            counts = ", ".join(f"{count} {verdict}" for verdict, count in camera.verdicts.items())
            end = "" if camera.ended else " (not ended in order: still running, or killed)"
            say(f"run {camera.run} {camera.camera}: {camera.parts} parts, {counts}; {camera.missing} missing{end}")
            for actuator, outcomes in camera.outcomes.items():
                moved = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
                say(f"run {camera.run} {camera.camera} at {actuator}: {moved}")
        if report.unaccounted:
            say(f"{report.unaccounted} rejects of unknown outcome: check the bin, then snl-edge stream acknowledge")
        doubt = f"NOT consistent: {report.damage}" if report.damage else "NOT consistent"
        say(
            f"{report.pictures} pictures and {report.heatmaps} heatmaps, {report.missing_pictures} files missing, "
            f"{report.orphans} without a record; "
            f"{'consistent' if report.consistent else doubt}"
        )
    if export is not None:
        say(f"{export_journal(folder, export, form.value, period)} records in {export}")
    if not report.consistent:
        raise typer.Exit(1)


@stream.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The journal's folder.")] = Path("journal"),
    since: Since = None,
    until: Until = None,
    shift: Annotated[
        str | None,
        typer.Option(
            help="When shifts begin, as 06:00,14:00,22:00: figures by shift; without --since and --until of the last "
            "one that has ended."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write a page with the worst parts' pictures to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Tell what a line did in a time: parts, rejects, fail-safes, outcomes, stops, changes. The line may run or not.

    Example: snl-edge stream report journal/ --shift 06:00,14:00,22:00

    Or: snl-edge stream report journal/ --since 2026-11-28T06:00 --until 2026-11-28T14:00 --out report.html
    """
    from snl_edge.atomic import write_text
    from snl_edge.progress import console
    from snl_edge.stream.journal.soundness import require_outside
    from snl_edge.stream.report.page import report_html, report_text
    from snl_edge.stream.report.period import shift_times
    from snl_edge.stream.report.shift_report import read_report

    if out is not None:
        require_outside(folder, out)
    shifts = shift_times(shift) if shift else ()
    found = read_report(folder, _period(since, until, shifts), shifts)
    if as_json:
        say_json(found.plain())
    else:
        for line in report_text(found):
            say(line)
    if out is not None:
        write_text(out, report_html(found, folder))
        console.print(f"page in {out}")


def _period(since: str | None, until: str | None, shifts: Sequence[time] = ()) -> Period:
    from snl_edge.stream.report.period import asked_period

    return asked_period(since, until, shifts, now())


@stream.command()
def rejudge(
    folder: Annotated[Path, typer.Argument(help="The journal's folder.")] = Path("journal"),
    bundle: Annotated[Path, typer.Option(help="Bundle folder.")] = RUN / "bundle",
    since: Annotated[
        str | None, typer.Option(help="Only parts from then on: 2026-11-28T06:00, 2026-11-28, or 06:00 for today.")
    ] = None,
    backend: Backend = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line per picture on stdout.")] = False,
) -> None:
    """Judge the kept pictures of a journal again: what differs, and why it may. Leaves with 1 if anything does.

    Example: snl-edge stream rejudge journal/ --bundle runs/line3/bundle --since 2027-01-15
    """
    from snl_edge.runtime.detector import Detector
    from snl_edge.stream.journal.soundness import require_journal
    from snl_edge.stream.report.period import moment
    from snl_edge.stream.report.rejudge import rejudge

    require_journal(folder)
    begin = moment(since, now()) if since else 0.0
    same = other = 0
    changed: Counter[str] = Counter()
    with Detector.load(bundle, backend=backend, max_batch=1) as detector:
        for one in rejudge(folder, detector, begin):
            same, other = same + one.same, other + (not one.same)
            if one.again != one.verdict:
                changed[f"{one.verdict} then, {one.again or 'not judged'} now"] += 1
            if as_json:
                say_json({**asdict(one), "same": one.same}, indent=None)
            elif not one.same:
                before, after = (f"{word or 'not judged'} {_score(value)}" for word, value in _then_and_now(one))
                say(f"{one.image}: {before} then, {after} now; {'; '.join(one.differences) or 'no reason is known'}")
    if not as_json:
        verdicts = "; ".join(f"{count} {what}" for what, count in changed.most_common()) or "every verdict is the same"
        say(f"{same + other} pictures judged again: {same} as in the journal, {other} not; {verdicts}")
    if other:
        raise typer.Exit(1)


def _then_and_now(one: Rejudged) -> tuple[tuple[str | None, float | None], tuple[str | None, float | None]]:
    return (one.verdict, one.score), (one.again, one.score_again)


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


@stream.command()
def acknowledge(
    by: Annotated[str, typer.Option(help="Who has looked for them; it goes into the journal's audit.")],
    folder: Annotated[Path, typer.Argument(help="The journal's folder.")] = Path("journal"),
) -> None:
    """Acknowledge that you looked for the rejects whose outcome is unknown, and list them; the line may run or not.

    Example: snl-edge stream acknowledge journal/ --by "M. Huber"
    """
    from snl_edge.stream.journal.acknowledging import acknowledge

    done, sought = acknowledge(folder, by)
    for one in sought:
        say(one)
    say(f"{done} acknowledged by {by}" if done else "every reject's outcome is known, or was acknowledged before")


@stream.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for bundle, journal and verdicts.")] = Path("demo-stream"),
    bundle: Annotated[
        Path | None, typer.Option(help="A bundle of synthetic products; a quick one is trained if not given.")
    ] = None,
    rate: Annotated[
        float, typer.Option(parser=number(0, 1000, above=True), help="Parts a second at each of the two cameras.")
    ] = 2.0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the dashboard here; 0: a free one.")] = 8080,
    count: Annotated[
        int | None, typer.Option(min=1, max=1_000_000_000, help="End after so many parts of each camera.")
    ] = None,
) -> None:
    """Stream drawn parts through a bundle, with dashboard, journal and metrics. Ctrl-C ends it.

    Example: snl-edge stream demo --bundle demo/run/bundle
    """
    _needs()
    if bundle is None:
        require("training a bundle for the demo", *GRAPHS, extra="train")
    from snl_edge.service.demo import demo_bundle, demo_config
    from snl_edge.service.run import run_line

    run_line(demo_config(out, bundle or demo_bundle(out), rate, port, count))
