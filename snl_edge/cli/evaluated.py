"""An evaluation on a terminal: what a plant sees first, then metrics, then what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snl_edge.answer import say
from snl_edge.evaluation.other_thresholds import NOTE
from snl_edge.evaluation.results import Evaluation
from snl_edge.evaluation.wording import (
    INTERVALS,
    in_short,
    of_parts,
    outcome_lines,
    percent,
    recognition_line,
    stranger_lines,
)
from snl_edge.table import number_column, print_table, text_column

METRICS = {
    "image_auroc": "image\nAUROC",
    "image_ap": "image\nAP",
    "pixel_auroc": "pixel\nAUROC",
    "pixel_ap": "pixel\nAP",
    "aupro": "AUPRO",
}


def print_evaluation(evaluation: Evaluation, robustness: Mapping[str, Any] | None = None) -> None:
    """Prints it on stdout; ``robustness`` as for :func:`snl_edge.evaluation.report.write_report`."""
    outcome, named = evaluation.outcome(), evaluation.outcome(named=True)
    how = "recognises the product by itself" if evaluation.recognises else "is told the product"
    say(f"a device that {how}; {INTERVALS}:")
    for heading, figure in outcome_lines(outcome):
        say(f"  {heading}: {figure}")
    if evaluation.recognises:
        say(f"a device that is told the product: {in_short(named)}")
    for product, figure in stranger_lines(evaluation):
        say(f"never learned, in no other figure: {product}: {figure}")
    say()
    _print_outcomes(evaluation)
    say()
    _print_metrics(evaluation)
    if evaluation.recognises:
        say(recognition_line(evaluation))
    if any(result.other_thresholds for result in evaluation.products.values()):
        say()
        _print_other_thresholds(evaluation)
    if robustness is not None:
        say()
        say(robustness["note"])
        print_table(
            [text_column("pictures changed by"), number_column("falsely\nstopped"), number_column("caught")],
            [(row["name"], of_parts(row["falsely_stopped"]), of_parts(row["caught"])) for row in robustness["rows"]],
        )
    for note in evaluation.notes:
        say(f"note: {note}")


def _print_outcomes(evaluation: Evaluation) -> None:
    rows = [(name, evaluation.outcome(name)) for name in evaluation.products]
    if len(rows) > 1:
        rows.append(("all", evaluation.outcome()))
    print_table(
        [
            text_column("product"),
            *map(number_column, ("caught", "escaped", "falsely\nstopped", "unknown:\ndefective", "unknown:\ngood")),
        ],
        [
            (
                name,
                *(of_parts(share) for share in (own.caught, own.escaped, own.falsely_stopped)),
                str(own.unknown),
                str(own.falsely_unknown),
            )
            for name, own in rows
        ],
    )


def _print_other_thresholds(evaluation: Evaluation) -> None:
    say(f"other thresholds, product named; {NOTE}:")
    print_table(
        [
            text_column("product"),
            number_column("threshold"),
            text_column("which"),
            *map(number_column, ("good\nstopped", "defective\nescaped")),
        ],
        [
            (
                "" if row else name,
                f"{other.threshold:.3g}",
                other.rule,
                f"{other.point.false_rejects} of {other.point.good}",
                f"{other.point.escapes} of {other.point.defective}",
            )
            for name, result in evaluation.products.items()
            for row, other in enumerate(result.other_thresholds)
        ],
    )


def _print_metrics(evaluation: Evaluation) -> None:
    """In percent, with the product named."""
    rows = [
        (
            name,
            [*(getattr(r, metric) for metric in METRICS), r.at_threshold.false_reject_rate, r.at_threshold.escape_rate],
        )
        for name, r in evaluation.products.items()
    ]
    if len(rows) > 1:
        mean = evaluation.mean
        rows.append(("mean", [mean[name] for name in (*METRICS, "false_reject_rate", "escape_rate")]))
    print_table(
        [text_column("product named, %"), *map(number_column, (*METRICS.values(), "false\nrejects", "escapes"))],
        [(name, *map(percent, values)) for name, values in rows],
    )
