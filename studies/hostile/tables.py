"""Tables of broken files and of stopped commands, for the pages."""

from __future__ import annotations

from collections.abc import Mapping

from snl_edge.benchmarks.results import Result
from snl_edge.benchmarks.tables import origin, table

from ..result_files import require_result

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
        f"{machine['cores']} cores, {origin(result)}</sub>"
    )
    return table(["", "takes", *SIGNALS.values(), "faults"], body) + "\n" + note + "\n"


def _left(counts: Mapping[str, int]) -> str:
    return " / ".join(str(counts.get(state, 0)) for state in ("old", "resumable", "new"))


_HEADINGS = ("read from outside", "inputs", "accepted", "refused in one line", "tracebacks", "hangs", "crashes")


def fuzz_table(results: Mapping[str, Result], name: str) -> str:
    """A row for each reader, and one for the command line.

    Raises:
        DataError: there is no such result.
    """
    result = require_result(results, "fuzz", name)
    parsers, commands = result.figures["parsers"], result.figures["commands"]
    body = [
        [
            parser,
            *(f"{own[key]:,}" for key in ("inputs", "accepted", "refused")),
            f"{own['tracebacks'] + own['more_than_a_line']:,}",
            f"{own['hangs']:,}",
            f"{own['crashes']:,}",
            f"{own['peak_bytes'] / 2**20:,.0f} MiB",
            f"{own['slowest_s']:.1f} s",
        ]
        for parser, own in parsers.items()
    ]
    totals = [
        sum(own[key] for own in parsers.values()) for key in ("inputs", "accepted", "refused", "hangs", "crashes")
    ]
    wrong = sum(own["tracebacks"] + own["more_than_a_line"] for own in parsers.values())
    body.append(
        ["**all**", *(f"**{n:,}**" for n in totals[:3]), f"**{wrong}**", *(f"**{n}**" for n in totals[3:]), "", ""]
    )
    done, refused = commands.get("done", 0), commands.get("refused", 0)
    odd = commands["tried"] - done - refused
    note = (
        f"<sub>Seed {result.settings['seed']}; {commands['tried']} commands with such files, names and numbers as "
        f"arguments: {done} done, {refused} refused in one line, {odd} otherwise. "
        f"{result.machine['processor']}, {result.machine['cores']} cores, {origin(result)}</sub>"
    )
    return table([*_HEADINGS, "most memory", "slowest"], body) + "\n" + note + "\n"
