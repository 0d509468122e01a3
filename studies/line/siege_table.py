"""What a line did under siege, as a table for the pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snl_edge.benchmarks.results import Result

from ..result_files import require_result
from ..tables import table


def siege_table(results: Mapping[str, Result], name: str) -> str:
    """What was measured in the siege ``name``.

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
        f"{result.created[:10]}, revision {result.revision}; `{result.command}`</sub>"
    )
    return table(["", "measured"], body) + "\n" + note + "\n"


def _answered(figures: Mapping[str, Any]) -> str:
    """Of one path."""
    if not figures["answered"]:
        return f"{figures['asked']} / 0"
    return f"{figures['asked']} / {figures['answered']}; {figures['median_ms']:.0f}, {figures['slowest_ms']:.0f} ms"
