"""Figures of an evaluation in words, the same on a terminal and on the report's page."""

from __future__ import annotations

import math
from collections.abc import Iterator

from snl_edge.scoring.intervals import CONFIDENCE, Share

from .outcome import Outcome
from .results import Evaluation

ABSENT = "–"
INTERVALS = f"in brackets the {100 * CONFIDENCE:.0f} % confidence interval (Clopper-Pearson)"


def percent(fraction: float) -> str:
    """As ``97.3``; a dash where it is not defined."""
    return ABSENT if math.isnan(fraction) else f"{100 * fraction:.1f}"


def interval(share: Share) -> str:
    """As ``86.8 to 99.5``; a dash of no parts."""
    return ABSENT if not share.total else " to ".join(map(percent, share.interval))


def of_parts(share: Share) -> str:
    """As ``50 of 52``; a dash of no parts."""
    return f"{share.count} of {share.total}" if share.total else ABSENT


def outcome_lines(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """What a plant asks first: heading and figure of what is caught, what escapes and what is stopped for nothing."""
    for heading, share, parts, unknown in (
        ("caught", outcome.caught, "defective", outcome.unknown),
        ("escaped", outcome.escaped, "defective", 0),
        ("falsely stopped", outcome.falsely_stopped, "good", outcome.falsely_unknown),
    ):
        if not share.total:
            yield heading, f"{ABSENT} (no {parts} parts in the test set)"
            continue
        apart = f", {unknown} of them as an unknown product" if unknown else ""
        yield heading, f"{of_parts(share)} {parts} parts, {percent(share.rate)} % ({interval(share)} %){apart}"


def in_short(outcome: Outcome) -> str:
    """The counts of an outcome in one line."""
    return (
        f"caught {of_parts(outcome.caught)}, escaped {of_parts(outcome.escaped)}, "
        f"falsely stopped {of_parts(outcome.falsely_stopped)}"
    )


def stranger_lines(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Product that the model never learned, and how many of its parts are stopped."""
    for product, (stopped, unknown) in evaluation.strangers.items():
        yield (
            product,
            f"{of_parts(stopped)} parts stopped, {percent(stopped.rate)} % ({interval(stopped)} %), "
            f"{unknown} of them as an unknown product",
        )


def recognition_line(evaluation: Evaluation) -> str:
    """How well products are recognised, in one sentence."""
    seen = evaluation.recognition
    parts = (
        (name, right, unknown)
        for name, right, unknown in (
            ("good", seen.accuracy, seen.false_unknown_rate),
            ("defective", seen.defective_accuracy, seen.defective_unknown_rate),
        )
        if not math.isnan(right)
    )
    return "products recognised: " + "; ".join(
        f"{percent(right)} % of {name} parts come closest to their own, {percent(unknown)} % are called unknown"
        for name, right, unknown in parts
    )
