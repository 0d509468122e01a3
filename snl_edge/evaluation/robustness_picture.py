"""The good parts that are stopped under each change of the pictures, as bars."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup, escape

from .outcome import Outcome

LABELS, BARS, ROW = 230.0, 330.0, 20.0
"""Widths of the names and of a bar of 100 %, and height of a row, in the picture's units."""


def draw_outcomes(outcomes: Mapping[str, Outcome]) -> Markup:
    """An inline SVG, a row for each change: of the good parts, the share rejected, then that called unknown.

    Its classes take their colours from the page; every bar says its counts when pointed at.
    """
    height = ROW * len(outcomes) + 18
    rows = Markup().join(_row(index, name, own) for index, (name, own) in enumerate(outcomes.items()))
    ticks = Markup().join(
        Markup('<text x="{:.0f}" y="{:.0f}" text-anchor="middle">{} %</text>').format(
            LABELS + BARS * share / 100, height - 2, share
        )
        for share in (0, 50, 100)
    )
    return Markup(
        '<svg viewBox="0 0 {:.0f} {:.0f}" role="img" style="max-width: 720px"><title>Good parts that are stopped, by '
        "change of the pictures: rejected, and called unknown</title>{}{}</svg>"
    ).format(LABELS + BARS + 90, height, rows, ticks)


def _row(index: int, name: str, own: Outcome) -> Markup:
    y = ROW * index
    bars, left = Markup(), LABELS
    for kind, count, words in (("bad", own.falsely_rejected, "rejected"), ("odd", own.falsely_unknown, "unknown")):
        if count:
            wide = BARS * count / own.good
            bars += Markup(
                '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{} of {} good parts {}'
                "</title></rect>"
            ).format(kind, left, y + 3, wide, ROW - 6, count, own.good, words)
            left += wide
    total = own.falsely_rejected + own.falsely_unknown
    figure = f"{total} of {own.good}" if own.good else "no good parts"
    return Markup(
        '<text x="{:.0f}" y="{:.1f}" text-anchor="end">{}</text><line class="axis" x1="{:.0f}" x2="{:.0f}" y1="{:.1f}" '
        'y2="{:.1f}"/>{}<text x="{:.1f}" y="{:.1f}">{}</text>'
    ).format(LABELS - 6, y + 14, escape(name), LABELS, LABELS + BARS, y + ROW, y + ROW, bars, left + 5, y + 14, figure)
