"""Which of two bench results is faster, by how much and how surely."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.text import Text

from snl_edge.errors import DataError
from snl_edge.progress import console
from snl_edge.table import number_column, print_table, text_column

from .bench import KIND
from .latency import CONFIDENCE, ENOUGH_ROUNDS, unpaired_ratio
from .results import Result, read_result

TITLES = {"detector": "frame to verdict", "fitted": "without resize", "backend": "backend", "engine": "engine"}
DAMAGED = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError)
"""What comes of figures that lack something or are none; ``StatisticsError`` is a ``ValueError``."""


@dataclass(frozen=True)
class Difference:
    """One figure of both results: the time after, as a share of the time before."""

    what: str
    before: float
    after: float
    unit: str
    ratio: float
    interval: list[float] | None

    @property
    def verdict(self) -> str:
        """``faster`` or ``slower`` where the interval leaves out 1; else why nothing can be said."""
        if self.interval is None:
            return "too few rounds"
        low, high = self.interval
        return "faster" if high < 1 else "slower" if low > 1 else "no difference"


@dataclass(frozen=True)
class Comparison:
    """All figures that both results have, and what makes them hard to compare."""

    differences: list[Difference]
    warnings: list[str]


def read_bench(path: Path) -> Result:
    """The bench result in ``path``.

    Raises:
        DataError: it is none.
    """
    result = read_result(path)
    if result.kind != KIND:
        raise DataError(f"{path} is a result of kind {result.kind!r}", fix="give a file that `snl-edge bench` wrote")
    return result


def compare_files(before: Path, after: Path) -> Comparison:
    """Compares two bench results.

    Raises:
        DataError: a file is no bench result, or they have nothing in common.
    """
    old, new = read_bench(before), read_bench(after)
    try:
        differences = list(_differences(old.figures["subjects"], new.figures["subjects"]))
        warnings = list(_warnings(old, new))
    except DAMAGED as error:
        raise DataError(
            f"{before} and {after} cannot be compared",
            f"one of them is damaged: {type(error).__name__} {error}",
            "measure again",
        ) from error
    if not differences:
        raise DataError(
            f"{before} and {after} have nothing in common",
            f"{', '.join(old.figures['subjects'])} against {', '.join(new.figures['subjects'])}",
            "measure the same backends, precisions and batches",
        )
    return Comparison(differences, warnings)


def _differences(old: dict[str, Any], new: dict[str, Any]) -> Iterator[Difference]:
    for subject in (name for name in old if name in new):
        for way, batches in new[subject]["latency"].items():
            for batch, latency in batches.items():
                before = old[subject]["latency"].get(way, {}).get(batch)
                if before is not None:
                    what = f"{subject}, batch {batch}, {TITLES[way]}"
                    yield _difference(what, before["rounds"], latency["rounds"], "ms")
        points = {(p["batch"], p["in_flight"]): p for p in old[subject]["throughput"]}
        for point in new[subject]["throughput"]:
            if (before := points.get((point["batch"], point["in_flight"]))) is not None:
                what = f"{subject}, batch {point['batch']}, {point['in_flight']} in flight"
                slow, fast = ([1e3 / speed for speed in one["rounds"]] for one in (before, point))
                yield _difference(what, slow, fast, "ms an image")
        what = f"{subject}, cold start"
        yield _difference(what, old[subject]["cold_start"]["runs"], new[subject]["cold_start"]["runs"], "s")


def _difference(what: str, before: list[float], after: list[float], unit: str) -> Difference:
    found = unpaired_ratio(after, before)
    return Difference(what, median(before), median(after), unit, found["ratio"], found["interval"])


def _warnings(old: Result, new: Result) -> Iterator[str]:
    if old.machine != new.machine:
        yield f"two machines: {old.machine['processor']} and {new.machine['processor']}"
    for name in ("threads", "frame", "frames"):
        if old.settings[name] != new.settings[name]:
            yield f"{name} differ: {old.settings[name]} and {new.settings[name]}"
    for label, result in (("before", old), ("after", new)):
        for warning in result.figures["noise"]["warnings"]:
            yield f"{label}: {warning}"


def print_comparison(comparison: Comparison) -> None:
    """Prints a row for each figure, and what to mind."""
    styles = {"faster": "green", "slower": "red"}
    rows = [
        (
            one.what,
            f"{one.before:.3g} {one.unit}",
            f"{one.after:.3g} {one.unit}",
            f"{one.ratio:.3f}",
            f"{one.interval[0]:.3f} to {one.interval[1]:.3f}" if one.interval else "–",
            Text(one.verdict, styles.get(one.verdict, "dim")),
        )
        for one in comparison.differences
    ]
    headings = ("before", "after", "after / before", f"{CONFIDENCE} % interval")
    print_table([text_column(), *map(number_column, headings), text_column("verdict")], rows)
    print("Intervals come from the rounds of each run; a drift of the machine between the runs is not in them.")
    if any(one.interval is None for one in comparison.differences):
        print(f"An interval takes {ENOUGH_ROUNDS} rounds: measure with --rounds {ENOUGH_ROUNDS} or more.")
    for warning in comparison.warnings:
        console.print(f"warning: {warning}", style="yellow")
