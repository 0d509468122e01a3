"""Tables: a bench result on a terminal, and Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from snl_edge.progress import console
from snl_edge.table import number_column, print_table, text_column

from .results import Result


def print_figures(figures: dict[str, Any]) -> None:
    """Prints a row for each subject and batch, what else is worth a line, and every warning."""
    rows: list[list[str]] = []
    for name, own in figures["subjects"].items():
        for batch, latency in own["latency"]["detector"].items():
            best = max(p["images_per_second"] for p in own["throughput"] if str(p["batch"]) == batch)
            roofline = own["roofline"]
            rows.append(
                [
                    name,
                    batch,
                    milliseconds(latency["p50"]),
                    milliseconds(latency["p99"]),
                    milliseconds(latency["jitter"]),
                    f"{100 * latency['missed'] / latency['calls']:.2f} %" if "missed" in latency else "–",
                    milliseconds(own["latency"]["backend"][batch]["p50"]),
                    f"{best:.1f}",
                    "–" if isinstance(roofline, str) else f"{100 * roofline[batch]['fraction']:.0f} %",
                ]
            )
    headings = ("batch", "p50", "p99", "jitter", "missed", "backend", "images/s", "roof")
    print_table([text_column("subject"), *map(number_column, headings)], rows)
    print(
        "p50, p99, jitter, missed: from frame to verdict; backend: p50 of the backend alone; roof: share of the limit"
    )
    for name, own in figures["subjects"].items():
        rss = own["memory"].get("rss_bytes", 0) / 2**20
        print(
            f"{name}: cold start {own['cold_start']['total']:.2f} s, {rss:.0f} MiB resident, "
            f"end to end {100 * own['end_to_end']['ratio']:.1f} % of the backend's throughput at batch "
            f"{own['end_to_end']['batch']} ({100 * own['end_to_end']['fitted_ratio']:.1f} % without the resize)"
        )
    for name, reason in figures["skipped"].items():
        print(f"{name}: not measured: {reason}")
    for reason in {own["roofline"] for own in figures["subjects"].values() if isinstance(own["roofline"], str)}:
        print(reason)
    for warning in figures["noise"]["warnings"]:
        console.print(f"warning: {warning}", style="yellow")


def milliseconds(value: float | None) -> str:
    """With three digits that mean something; a dash where there were too few calls."""
    return "–" if value is None else f"{value:#.3g} ms" if value < 100 else f"{value:.0f} ms"


def table(headings: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = ["| " + " | ".join(headings) + " |", "|---|" + "---:|" * (len(headings) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in body)]) + "\n"


def origin(result: Result) -> str:
    """When, at which revision and by which command a result was measured."""
    return f"{result.created[:10]}, revision {result.revision}; `{result.command}`"
