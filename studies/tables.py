"""Fractions as cells of tables."""

from __future__ import annotations


def cell(fraction: float | None) -> str:
    """A fraction in percent, one decimal; a dash where it is not defined."""
    return "–" if fraction is None else f"{percent(fraction):.1f}"


def percent(fraction: float) -> float:
    """A fraction in percent, two decimals."""
    return round(100 * fraction, 2)
