"""Tables on stdout in which nothing is cut: a name that is cut may be another's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from .outside.shown import shown

LEAST_WORDS = 16
"""Characters of words in a line of their column before the table grows wider than the terminal."""
_BOUNDLESS = 100_000


def text_column(heading: str = "") -> Column:
    """A column of names or sentences: where a terminal is too narrow they go on in the next line."""
    return Column(heading, overflow="fold")


def number_column(heading: str) -> Column:
    """A column of figures, each in one line."""
    return Column(heading, justify="right", no_wrap=True)


def _text(cell: str | Text) -> Text:
    """A cell may be a name: what is not visible in it is written out, in the cell's own style."""
    return Text(shown(cell.plain), cell.style) if isinstance(cell, Text) else Text(shown(cell))


def print_table(
    columns: Sequence[Column], rows: Iterable[Sequence[str | Text]], *, header: bool = True, paged: bool = False
) -> None:
    """Prints ``rows`` under ``columns`` (:func:`text_column`, :func:`number_column`) on stdout.

    Cells are shown as they are: a bracket in a name is no style. On a terminal words are folded until the table fits,
    and it grows beyond the terminal where that is not enough; a file or another program gets every row in one line.
    With ``paged`` a table longer than the terminal is shown by its pager ($PAGER).
    """
    cells = [[_text(cell) for cell in row] for row in rows]
    table = Table(*columns, box=None, show_header=header, header_style="bold", pad_edge=False)
    for row in cells:
        table.add_row(*row)
    out = Console()
    widest = Measurement.get(out, out.options.update(width=_BOUNDLESS), table).maximum
    foldable = [index for index, column in enumerate(columns) if not column.no_wrap]
    spare = sum(max(0, max((row[index].cell_len for row in cells), default=0) - LEAST_WORDS) for index in foldable)
    width = max(out.width, widest - spare) if out.is_terminal else widest
    shown = Console(width=max(1, min(width, widest)))
    if not (paged and out.is_terminal and len(cells) >= out.height):
        shown.print(table)
        return
    os.environ.setdefault("LESS", "-R")  # colours are colours
    with shown.pager(styles=True):
        shown.print(table)
