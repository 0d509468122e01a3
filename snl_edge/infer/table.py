"""Verdicts as people read them: a table, what matters first, and what the pictures of each product say together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from rich.text import Text

from ..counted import counted
from ..errors import ConfigError
from ..outside.shown import shown
from ..progress import console
from ..table import number_column, print_table, text_column
from .lines import Line, OfProduct, Summary

Kind = Literal["error", "reject", "unknown", "good"]
Order = Literal["verdict", "relation", "score", "distance", "product", "path", "given"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""In the order in which they matter: what was not judged is nobody's good part."""
_STYLES: dict[Kind, str] = {"good": "green", "reject": "bold red", "unknown": "bold magenta", "error": "bold yellow"}
_MOST_DOUBTS = 10
"""Told on the terminal; all are in the lines."""


@dataclass(frozen=True)
class View:
    """What of the verdicts is shown, and in which order."""

    sort: Order = "verdict"
    only: tuple[Kind, ...] = KINDS
    limit: int | None = None
    """Rows; None for all."""
    paged: bool = True
    """A table longer than the terminal is shown by its pager."""

    def chosen(self, lines: Iterable[Line]) -> list[Line]:
        """The lines of the kinds wanted, in order."""
        wanted = [line for line in lines if kind_of(line) in self.only]
        if self.sort == "given":
            return wanted
        if self.sort in ("path", "product"):
            return sorted(wanted, key=lambda line: (str(line.get(self.sort) or ""), line["path"]))
        if self.sort == "verdict":
            return sorted(wanted, key=lambda line: (KINDS.index(kind_of(line)), -_height(line), line["path"]))
        name = "product_distance" if self.sort == "distance" else self.sort
        # Those without the figure come last: nothing says how high they are, and they are told below the table.
        return sorted(wanted, key=lambda line: (line.get(name) is None, -(line.get(name) or 0.0), line["path"]))


def parse_kinds(text: str, of: Sequence[Kind] = KINDS) -> tuple[Kind, ...]:
    """What ``--only`` or ``--fail-on`` names, separated by commas.

    Raises:
        ConfigError: one of them is none ``of`` these verdicts.
    """
    named = tuple(part.strip() for part in text.split(","))
    for one in named:
        if one not in of:
            raise ConfigError(f"unknown verdict {shown(one)!r}", fix=f"choose {', '.join(of)}")
    return named  # pyright: ignore[reportReturnType]


def kind_of(line: Line) -> Kind:
    """The verdict, or that something failed."""
    return "error" if "error" in line else line["verdict"]


def _height(line: Line) -> float:
    """How far out: over the limit, or where none applies from every product."""
    relation = line.get("relation")
    return line.get("product_distance", 0.0) if relation is None else relation


def print_verdicts(lines: Sequence[Line], view: View) -> None:
    """Prints the table, then what the view leaves out of it."""
    chosen = view.chosen(lines)
    listed = chosen if view.limit is None else chosen[: view.limit]
    headings = (
        text_column("image"),
        text_column("verdict"),
        text_column("product"),
        *map(number_column, ("score", "threshold", "relation", "distance")),
        text_column("regions"),
    )
    if listed:
        print_table(headings, [_row(line) for line in listed], paged=view.paged)
    left = [
        *([f"{len(lines) - len(chosen)} other than {', '.join(view.only)}"] if len(chosen) < len(lines) else []),
        *([f"{len(chosen) - len(listed)} beyond --limit {view.limit}"] if len(listed) < len(chosen) else []),
    ]
    if left:
        print(f"not shown: {', '.join(left)}")  # noqa: T201


def _row(line: Line) -> list[str | Text]:
    kind = kind_of(line)
    styled = Text(kind, _STYLES[kind])
    if "verdict" not in line:
        return [shown(line["path"]), styled, *["-"] * 6]
    if kind == "error":
        styled.append(f" ({line['verdict']})")
    figures = (_figure(line[name]) for name in ("score", "threshold", "relation", "product_distance"))
    return [shown(line["path"]), styled, shown(line["product"] or "-"), *figures, _regions(line["regions"])]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _regions(regions: Sequence[dict]) -> str:
    """How many, and where the one with the highest peak is, as X11 writes a rectangle."""
    if not regions:
        return "-"
    x, y, width, height = regions[0]["box"]
    return f"{len(regions)}: {width}x{height}+{x}+{y}"


def print_summary(lines: Sequence[Line], summary: Summary) -> None:
    """Prints counts, of each product where there are several, then errors and doubts on stderr."""
    if len(summary.products) > 1:
        headings = (text_column("product"), *map(number_column, ("good", "reject", "unknown", "median", "highest")))
        rows = [
            [shown(name), *map(str, (one.good, one.reject, one.unknown)), *map(_figure, _relations(one))]
            for name, one in summary.products.items()
        ]
        print("\nscore over threshold, by product:")  # noqa: T201
        print_table(headings, rows)
    counts = f"{summary.good} good, {summary.reject} reject, {summary.unknown} unknown"
    print(f"{counted(summary.pictures, 'image')}: {counts}, {counted(summary.errors, 'error')}")  # noqa: T201
    for line in lines:
        if "error" in line:
            warn(line["error"])
    for one in summary.doubts[:_MOST_DOUBTS]:
        of = (
            f"{one.pictures} pictures"
            if one.pictures > 1
            else next(shown(line["path"]) for line in lines if one.doubt in line.get("doubts", ()))
        )
        warn(f"doubtful: {of}: {one.doubt}")
    if (more := len(summary.doubts) - _MOST_DOUBTS) > 0:
        warn(f"{counted(more, 'more doubt')} (--json or --csv tells all)")


def _relations(one: OfProduct) -> tuple[float | None, float | None]:
    return one.relation_median, one.relation_highest


def warn(text: str) -> None:
    """One line on stderr."""
    console.print(f"snl-edge: {shown(text)}", style="yellow", markup=False, highlight=False, soft_wrap=True)
