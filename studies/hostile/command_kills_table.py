"""What commands left that were stopped, as a table for the pages."""

from __future__ import annotations

from collections.abc import Mapping

from snl_edge.benchmarks.results import Result

from ..result_files import require_result
from ..tables import table

KIND = "command_kills"
SIGNALS = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM", "SIGKILL": "SIGKILL", "disks": "full and read-only disks"}


def command_kills_table(results: Mapping[str, Result], name: str) -> str:
    """A row for each command of the measurement ``name``.

    Raises:
        DataError: there is no such result.
    """
    result = require_result(results, KIND, name)
    body = []
    for command, figures in result.figures.items():
        cells = [_left(figures[key]) for key in SIGNALS]
        faults = sum(figures[key].get("faults", 0) for key in SIGNALS)
        body.append([f"`{command}`", f"{figures['seconds']:.1f} s", *cells, f"{faults}"])
    machine, settings = result.machine, result.settings
    rooms = ", ".join(str(room) for room in settings["disk_kib"])
    note = (
        f"<sub>Calls that left the earlier result / one to go on from / the new one. Each command {settings['kills']} "
        f"times, stopped between its start and its usual end; disks with {rooms} KiB left. {machine['processor']}, "
        f"{machine['cores']} cores, {result.created[:10]}, revision {result.revision}; `{result.command}`</sub>"
    )
    return table(["", "takes", *SIGNALS.values(), "faults"], body) + "\n" + note + "\n"


def _left(counts: Mapping[str, int]) -> str:
    return " / ".join(str(counts.get(state, 0)) for state in ("old", "resumable", "new"))
