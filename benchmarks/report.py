"""Bench results of one machine or of many as one self-contained HTML page, and as Markdown for a README."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError

from snl_edge.atomic import write_text
from snl_edge.errors import ConfigError, DataError
from snl_edge.outside.shown import as_shown

from .charts import Series, draw_chart, draw_key
from .compare import DAMAGED, read_bench
from .results import Result
from .tables import milliseconds, origin, table

HEADINGS = (
    "batch",
    "p50",
    "p95",
    "p99",
    "p99.9",
    "jitter",
    "missed",
    "backend",
    "engine",
    "images/s",
    "J/image",
    "roof",
)


@dataclass(frozen=True)
class Measured:
    """One subject of one result file, with the name and colour it has on the whole page."""

    label: str
    colour: int
    figures: dict[str, Any]
    result: Result


def write_report(files: Sequence[Path], out: Path) -> tuple[Path, Path]:
    """Writes the page ``out`` and the Markdown table beside it; returns both paths.

    Raises:
        DataError: a file is no bench result, or lacks figures.
        ConfigError: ``out`` is no HTML file.
        OutputError: a page cannot be written.
    """
    if out.suffix != ".html":
        raise ConfigError(f"--out {out} is no page", fix="give a name that ends in .html")
    results = [read_bench(file) for file in files]
    try:
        page, text = _render(results)
    except (*DAMAGED, UndefinedError) as error:
        raise DataError(
            f"a result among {', '.join(map(str, files))} lacks figures",
            f"{type(error).__name__}: {error}",
            "measure again",
        ) from error
    markdown = out.with_suffix(".md")
    write_text(out, page)
    write_text(markdown, text)
    return out, markdown


def _render(results: Sequence[Result]) -> tuple[str, str]:
    """The page and the Markdown table."""
    rows = list(measured(results))
    environment = Environment(
        loader=PackageLoader("snl_edge.benchmarks", "."), autoescape=True, undefined=StrictUndefined, finalize=as_shown
    )
    page = environment.get_template("report.html.jinja").render(
        title=f"Speed of {', '.join(dict.fromkeys(result.name for result in results))}",
        results=results,
        rows=rows,
        best=fastest(rows),
        headings=HEADINGS,
        cells=cells,
        plots=list(plots(rows)),
        ms=milliseconds,
        mib=lambda size: "–" if size is None else f"{size / 2**20:.1f} MiB",
        warnings=[(n, w) for n, r in enumerate(results, start=1) for w in r.figures["noise"]["warnings"]],
        flat=flat,
    )
    return page, markdown_table(rows)


def measured(results: Sequence[Result]) -> Iterator[Measured]:
    """All subjects, with a machine's or bundle's name in front where there are several."""
    several = len(results) > 1
    colour = 0
    for number, result in enumerate(results, start=1):
        for name, figures in result.figures["subjects"].items():
            prefix = f"{number} · {device_of(result)} · " if several else ""
            yield Measured(f"{prefix}{name}", colour, figures, result)
            colour += 1


def device_of(result: Result) -> str:
    """The GPU if there is one, else the processor."""
    gpus = (result.system or {}).get("gpus")
    return gpus[0]["name"] if gpus else f"{result.machine['processor']}, {result.machine['cores']} cores"


def fastest(rows: Sequence[Measured]) -> Measured:
    """The subject that gives the verdict on a single frame soonest."""
    return min(rows, key=lambda row: next(iter(row.figures["latency"]["detector"].values()))["p50"])


def cells(row: Measured, batch: str) -> list[str]:
    """What the table says of one batch size, under ``HEADINGS``."""
    latency = row.figures["latency"]
    own = latency["detector"][batch]
    points = [point for point in row.figures["throughput"] if str(point["batch"]) == batch]
    fastest_point = max(points, key=lambda point: point["images_per_second"])
    energy = [s["joules_per_image"] for s in fastest_point["sensors"].values() if s["joules_per_image"] is not None]
    roofline = row.figures["roofline"]
    return [
        batch,
        *(milliseconds(own[name]) for name in ("p50", "p95", "p99", "p99_9", "jitter")),
        f"{100 * own['missed'] / own['calls']:.2f} %" if "missed" in own else "–",
        milliseconds(latency["backend"][batch]["p50"]),
        milliseconds(latency["engine"][batch]["p50"]) if "engine" in latency else "–",
        f"{fastest_point['images_per_second']:.1f}",
        f"{energy[0]:.3g}" if energy else "–",
        "–" if isinstance(roofline, str) else f"{100 * roofline[batch]['fraction']:.0f} %",
    ]


def plots(rows: Sequence[Measured]) -> Iterator[dict[str, Any]]:
    """Those plots for which there are figures."""
    batch = min(map(int, rows[0].figures["latency"]["detector"]))
    curves = [
        Series(row.label, [share for share, _ in curve], [value for _, value in curve], row.colour)
        for row in rows
        if (curve := row.figures["latency"]["detector"].get(str(batch), {}).get("curve"))
    ]
    yield _plot(
        f"Latency at batch {batch}, frame to verdict",
        "How many percent of all calls were at least this fast. A flat line is a steady machine; a tail at the right "
        "end is what a deadline meets.",
        curves,
        ("percent of calls", "ms"),
        log_y=max(max(c.y) for c in curves) > 4 * min(min(c.y) for c in curves),
    )
    speeds = [
        Series(
            f"{row.label}, {flight} in flight",
            [point["batch"] for point in own],
            [point["images_per_second"] for point in own],
            row.colour,
            dashed=flight > 1,
        )
        for row in rows
        for flight in sorted({point["in_flight"] for point in row.figures["throughput"]})
        if (own := [point for point in row.figures["throughput"] if point["in_flight"] == flight])
    ]
    yield _plot("Throughput", "Frames in, verdicts out, against the batch.", speeds, ("batch", "images/s"))
    known = [row for row in rows if row.result.figures["quality"]]
    if known:
        points = [
            Series(
                row.label,
                [row.figures["latency"]["detector"][str(batch)]["p50"]],
                [100 * row.result.figures["quality"]["image_auroc"]],
                row.colour,
            )
            for row in known
        ]
        yield _plot(
            "Accuracy against latency",
            "Image AUROC (mean over products) of the evaluated model; each precision was held to it when it was built.",
            points,
            (f"ms at batch {batch}", "image AUROC in %"),
            lines=False,
        )
    energy = [
        Series(f"{row.label}: {sensor}", [p["batch"] for p in own], [_joules(p, sensor) for p in own], row.colour)
        for row in rows
        for sensor in row.figures["throughput"][0]["sensors"]
        if (own := [p for p in row.figures["throughput"] if p["in_flight"] == 1 and _joules(p, sensor) is not None])
    ]
    if energy:
        yield _plot("Energy", "Joules for one image, one batch in flight.", energy, ("batch", "J/image"))


def _joules(point: dict[str, Any], sensor: str) -> Any:
    return point["sensors"][sensor]["joules_per_image"]


def _plot(title: str, text: str, series: list[Series], axes: tuple[str, str], **options: bool) -> dict[str, Any]:
    return {"title": title, "text": text, "chart": draw_chart(series, *axes, **options), "key": draw_key(series)}


def flat(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and values of a nested description, one line each."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name} ")
        elif value is not None:
            label = f"{prefix}{name}".replace("_", " ")
            if label.endswith(" bytes"):
                yield label.removesuffix(" bytes"), f"{value / 2**30:.1f} GiB"
            else:
                yield label, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def markdown_table(rows: Sequence[Measured]) -> str:
    """One row for each subject and batch."""
    body = [[row.label, *cells(row, batch)] for row in rows for batch in row.figures["latency"]["detector"]]
    results = {id(row.result): row.result for row in rows}.values()
    sources = [
        f"<sub>{device_of(r)}, {r.settings['frame'][1]}×{r.settings['frame'][0]} frames ({r.settings['frames']}), "
        f"{r.settings['rounds']} rounds, {origin(r)}</sub>"
        for r in results
    ]
    return table(["", *HEADINGS], body) + "\n" + "\n\n".join(sources) + "\n"
