"""Line and scatter charts as inline SVG: a page of its own needs no library and follows the reader's theme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from markupsafe import Markup, escape

WIDTH, HEIGHT = 560.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 16.0, 14.0, 46.0
COLOURS = 8
"""Classes ``c0`` to ``c7`` of the page's style sheet."""


@dataclass(frozen=True)
class Series:
    """One line or set of points; ``y`` at ``x``, and what a pointer over a point shows."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int
    dashed: bool = False


def draw_chart(
    series: Sequence[Series], x_title: str, y_title: str, *, lines: bool = True, log_y: bool = False
) -> Markup:
    """The chart; from 0 upwards, or with a logarithmic axis over the range of the values.

    Points carry titles, so that a pointer over them shows their numbers; names are in `draw_key`.
    """
    xs = [value for one in series for value in one.x]
    ys = [value for one in series for value in one.y]
    x_ticks = _ticks(0.0, max(xs)) if lines else _ticks(min(0.0, *xs), max(xs))
    y_ticks = _decades(min(ys), max(ys)) if log_y else _ticks(*(_near(ys) if not lines else (0.0, max(ys))))
    x_of = _scale(x_ticks[0], x_ticks[-1], LEFT, WIDTH - RIGHT, log=False)
    y_of = _scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP, log=log_y)
    parts = [_grid(x_ticks, y_ticks, x_of, y_of, x_title, y_title)]
    for one in series:
        places = [(x_of(x), y_of(y)) for x, y in zip(one.x, one.y, strict=True)]
        if lines and len(places) > 1:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            dash = ' stroke-dasharray="5 4"' if one.dashed else ""
            parts.append(f'<polyline class="c{one.colour % COLOURS}" points="{path}"{dash}/>')
        for (x, y), value_x, value_y in zip(places, one.x, one.y, strict=True):
            label = escape(f"{one.name}: {x_title} {value_x:g}, {y_title} {value_y:.4g}")
            parts.append(
                f'<circle class="c{one.colour % COLOURS}" cx="{x:.1f}" cy="{y:.1f}" r="{2.6 if lines else 5}">'
                f"<title>{label}</title></circle>"
            )
    title = escape(f"{y_title} against {x_title}")
    return Markup(f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{title}">{"".join(parts)}</svg>')


def draw_key(series: Sequence[Series]) -> Markup:
    """Names of the series in their colours."""
    entries = []
    for name, one in {one.name: one for one in series}.items():
        kind = ' class="dashed"' if one.dashed else ""
        entries.append(f'<span class="c{one.colour % COLOURS}"><i{kind}></i>{escape(name)}</span>')
    return Markup(f'<p class="key">{"".join(entries)}</p>')


def _grid(x_ticks, y_ticks, x_of, y_of, x_title: str, y_title: str) -> str:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for tick in y_ticks:
        y = y_of(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        parts.append(f'<text x="{x_of(tick):.1f}" y="{bottom + 17}" text-anchor="middle">{tick:g}</text>')
    middle = (TOP + bottom) / 2
    parts.append(f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_title)}</text>')
    parts.append(
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">{escape(y_title)}</text>'
    )
    return "".join(parts)


def _near(values: Sequence[float]) -> tuple[float, float]:
    """A range around values that all lie close together, as qualities do."""
    low, high = min(values), max(values)
    margin = max((high - low) * 0.3, 0.01 * abs(high), 1e-9)
    return low - margin, high + margin


def _ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from at most ``low`` to at least ``high``."""
    span = high - low or abs(high) or 1.0
    raw = span / about
    power = 10 ** floor(log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]


def _decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten that enclose the range."""
    steps = [factor * 10.0**power for power in range(-6, 7) for factor in (1, 2, 5)]
    first = max(index for index, step in enumerate(steps) if step <= low)
    last = min(index for index, step in enumerate(steps) if step >= high)
    return steps[first : max(last, first + 1) + 1]


def _scale(low: float, high: float, start: float, end: float, *, log: bool):
    place = log10 if log else float
    bottom, top = place(low), place(high)
    return lambda value: start + (place(value) - bottom) / (top - bottom) * (end - start)
