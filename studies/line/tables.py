"""Figures of the streaming line: for the summary and for the pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snl_edge.benchmarks.results import Result
from snl_edge.benchmarks.tables import origin, table

from ..result_files import require_result

HEADLINE = ("throughput_ratio", "p99_ms", "frames_soaked", "rss_growth_percent", "verdicts_lost")


def stream_figures(results: Mapping[str, Result]) -> dict[str, Any] | None:
    """The newest stream result's headline figures; None before the first."""
    found = [(result.created, name, result) for name, result in results.items() if result.kind == "stream"]
    if not found:
        return None
    _, name, result = max(found, key=lambda one: one[:2])
    return {**{figure: result.figures[figure] for figure in HEADLINE}, "file": name}


def kills_table(results: Mapping[str, Result], name: str) -> str:
    """What the journal of a line that was killed again and again knows, in the result ``name``.

    Raises:
        DataError: there is no such result.
    """
    result = require_result(results, "stream_kills", name)
    figures, settings, machine = result.figures, result.settings, result.machine
    body = [
        ["kills", f"{settings['kills']}"],
        ["rejects in the journal", f"{figures['rejects']:,}"],
        *([f"of these {word}", f"{figures[word]:,}"] for word in ("done", "late", "failed", "unknown")),
        ["of the unknown, had moved", f"{figures['unknown_moved']:,}"],
        ["rejects with neither outcome nor intent", f"{figures['rejects_without_trace']}"],
        ["rejects with two outcomes", f"{figures['outcomes_twice']}"],
        ["moves that the journal does not know of", f"{figures['pulses_unrecorded']}"],
        ["`done` without a move", f"{figures['done_without_pulse']}"],
    ]
    note = (
        f"<sub>{figures['parts']:,} parts in {figures['runs']} runs, {settings['delay_ms']:g} ms from trigger to "
        f"actuator, {machine['processor']}, {machine['cores']} cores, {origin(result)}</sub>"
    )
    return table(["", "measured"], body) + "\n" + note + "\n"


def _all_cores(figures: Mapping[str, Any]) -> str:
    return f"{figures['all_cores']['throughput_ratio']:.3f}" if "all_cores" in figures else "–"


def stream_table(results: Mapping[str, Result], name: str) -> str:
    """What was measured of a line in the stream result ``name``.

    Raises:
        DataError: there is no such result.
    """
    result = require_result(results, "stream", name)
    figures, settings, machine = result.figures, result.settings, result.machine
    body = [
        ["bare engine, pictures a second", f"{figures['bare_per_second']:.1f}"],
        ["whole line, pictures a second", f"{figures['line_per_second']:.1f}"],
        [f"line over engine, median of {settings['rounds']} pairs", f"{figures['throughput_ratio']:.3f}"],
        ["the same with the engine on all cores", _all_cores(figures)],
        ["trigger to verdict at half that rate, p50 / p99", f"{figures['p50_ms']:.1f} / {figures['p99_ms']:.1f} ms"],
        ["dropped, deadline missed there", f"{figures['dropped']}, {figures['deadline_missed']}"],
        ["soak: pictures", f"{figures['frames_soaked']:,}"],
        ["soak: verdicts lost", f"{figures['verdicts_lost']}"],
        ["soak: growth of memory", f"{figures['rss_growth_percent']:.2f} %"],
        [
            "soak: open descriptors, early / late",
            f"{figures['descriptors_early']:.0f} / {figures['descriptors_late']:.0f}",
        ],
    ]
    note = (
        f"<sub>{figures['backend']}, {settings['threads']} thread, {machine['processor']}, {machine['cores']} cores, "
        f"{origin(result)}</sub>"
    )
    return table(["", "measured"], body) + "\n" + note + "\n"


def attack_table(results: Mapping[str, Result], name: str) -> str:
    """What was measured of the attacked line in the result ``name``.

    Raises:
        DataError: there is no such result.
    """
    result = require_result(results, "stream_siege", name)
    figures, settings, machine = result.figures, result.settings, result.machine
    attack = (
        f"{settings['connections']:,} connections that never finish a request, from {settings['addresses']} addresses"
    )
    body = [
        [f"{attack}: opened", f"{figures['connections_opened']:,}"],
        *(
            [f"{path} asked / answered; median, slowest", _answered(figures[key])]
            for path, key in (("`/health`", "health"), ("`/metrics`", "metrics"), ("`/api/trigger`", "trigger"))
        ),
        ["triggers answered without a record", f"{figures['triggers_without_record']}"],
        [
            "parts; fail-safe; p99 and longest time to the verdict",
            f"{figures['parts']:,}; {figures['failsafe']}; {figures['latency_p99_ms']:.0f}, "
            f"{figures['latency_most_ms']:.0f} ms",
        ],
        ["rejects; without a picture", f"{figures['rejects']}; {figures['rejects_without_picture']}"],
        ["verdicts that the sink missed", f"{figures['sink_missed']}"],
        [
            f"most open files, of {settings['descriptors']:,}; log",
            f"{figures['descriptors_most']}; {figures['log_bytes'] / 1000:.1f} kB",
        ],
    ]
    note = (
        f"<sub>{figures['seconds']:.0f} s, with {settings['wrong_tokens_per_second']:g} wrong tokens a second from the "
        f"honest client's address; attackers on the same machine, {machine['processor']}, {machine['cores']} cores, "
        f"{origin(result)}</sub>"
    )
    return table(["", "measured"], body) + "\n" + note + "\n"


def _answered(figures: Mapping[str, Any]) -> str:
    """Of one path."""
    if not figures["answered"]:
        return f"{figures['asked']} / 0"
    return f"{figures['asked']} / {figures['answered']}; {figures['median_ms']:.0f}, {figures['slowest_ms']:.0f} ms"
