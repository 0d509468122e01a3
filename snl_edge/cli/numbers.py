"""Numbers on the command line: in their range, or refused before any work begins."""

from __future__ import annotations

from collections.abc import Callable

import typer

from snl_edge.errors import ConfigError

MOST_SEED = 2**32 - 1
"""What every generator of random numbers takes."""


def number(low: float, high: float, *, above: bool = False, below: bool = False) -> Callable[[str | float], float]:
    """A parser for an option: a number from ``low`` to ``high``, without the ends where ``above`` or ``below``.

    typer's own ranges let ``nan`` through, which is neither too small nor too large, and have no open ends.
    """
    span = f"{'above' if above else 'from'} {low:g} {'and below' if below else 'to'} {high:g}"

    def parse(text: str | float) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if (low < value if above else low <= value) and (value < high if below else value <= high):
            return value
        raise typer.BadParameter(f"{text!r} is no number {span}.")

    parse.__name__ = "float"  # what the help calls it
    return parse


def parse_numbers(text: str, option: str) -> tuple[int, ...]:
    """Numbers from 1 to 9999 written as ``1,4,8``, each once, in order.

    Raises:
        ConfigError: that is no list of numbers.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and len(word) < 5 and int(word) for word in words):
        raise ConfigError(f"{option} {text} is not understood", fix=f"write numbers, as in {option} 1,4,8")
    return tuple(sorted(set(map(int, words))))
