"""Rows of a CSV table from outside (RFC 4180): one at a time, none longer than a table of pictures needs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

LONGEST_LINE = 65_536
"""Characters."""
MOST_LINES_IN_A_ROW = 64
"""A quoted cell may hold line ends; a quote that is never closed would take the rest of the file."""
MOST_ROWS = 1_000_000


def csv_rows(text: str, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """The rows of ``text`` with the number of the line that each ends in, from 1.

    Raises:
        ValueError: a row or the table is too long, or it is no CSV.
    """
    lines = _Lines(text)
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        for number, cells in enumerate(reader):
            if number >= MOST_ROWS:
                raise ValueError(f"it has more than {MOST_ROWS:,} rows: divide it")
            lines.in_this_row = 0
            yield reader.line_num, cells
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error


class _Lines:
    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="")
        self._number = 0
        self.in_this_row = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._lines.readline(LONGEST_LINE + 1)
        if not line:
            raise StopIteration
        self._number += 1
        self.in_this_row += 1
        if len(line) > LONGEST_LINE:
            raise ValueError(f"line {self._number} has more than {LONGEST_LINE:,} characters")
        if self.in_this_row > MOST_LINES_IN_A_ROW:
            raise ValueError(
                f"the row that ends in line {self._number} has more than {MOST_LINES_IN_A_ROW} lines: is a quote open?"
            )
        return line
