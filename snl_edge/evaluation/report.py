"""The evaluation as one self-contained HTML page, with the figures as JSON beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from snl_edge.atomic import require_replaceable, require_writable, write_text
from snl_edge.data.thumbnails import data_uri, draw_truth
from snl_edge.outside.shown import as_shown
from snl_edge.runtime.overlay import draw_overlay, draw_unknown, ignored_in
from snl_edge.scoring.intervals import Share

from .cases import Case, Kind, Picture
from .other_thresholds import NOTE
from .results import METRICS, Evaluation
from .wording import INTERVALS, in_short, interval, of_parts, percent, recognition_line, stranger_lines

HEADINGS = {
    "image_auroc": "AUROC",
    "image_ap": "AP",
    "image_f1_max": "F1-max",
    "pixel_auroc": "AUROC",
    "pixel_ap": "AP",
    "pixel_f1_max": "F1-max",
    "aupro": "AUPRO",
}
BARS = 36
_PAGE, _METRICS = "index.html", "metrics.json"


def require_report_place(folder: Path) -> None:
    """Refuses, before anything is measured, a folder that `write_report` could not write into.

    Raises:
        OutputError: it could not.
    """
    for name in (_PAGE, _METRICS):
        require_replaceable(folder / name)
        require_writable(folder / name)


def write_report(
    evaluation: Evaluation,
    folder: Path,
    *,
    title: str,
    provenance: Mapping[str, str],
    robustness: Mapping[str, Any] | None = None,
) -> tuple[Path, Path]:
    """Writes ``index.html`` and ``metrics.json`` into ``folder``; returns both paths.

    Args:
        evaluation: what was found.
        folder: where to write.
        title: the page's heading.
        provenance: where the figures came from, in words.
        robustness: how verdicts move when pictures change: ``note``, a sentence; ``rows``, each with a ``name`` and the
            shares (:class:`Share`) ``falsely_stopped`` and ``caught``; ``picture``, `Markup` of an inline SVG or image,
            or None.

    Raises:
        OutputError: the folder cannot be written.
    """
    html, metrics = folder / _PAGE, folder / _METRICS
    content = {
        **evaluation.figures(),
        "provenance": dict(provenance),
        "images": [_record(case) for case in (*evaluation.cases, *evaluation.never_learned)],
    }
    if robustness is not None:
        content["robustness"] = [
            {k: v.figures() if isinstance(v, Share) else v for k, v in row.items()} for row in robustness["rows"]
        ]
    write_text(metrics, json.dumps(content, indent=1) + "\n")
    environment = Environment(
        loader=PackageLoader("snl_edge.evaluation", "."), autoescape=True, undefined=StrictUndefined, finalize=as_shown
    )
    pictures = [picture for kept in evaluation.gallery.values() for picture in kept]
    ignores = evaluation.ignores
    wrong: tuple[Kind, ...] = ("escape", "not stopped", "false stop")
    page = environment.get_template("report.html.jinja").render(
        title=title,
        evaluation=evaluation,
        outcome=evaluation.outcome(),
        named=evaluation.outcome(named=True),
        strangers=list(stranger_lines(evaluation)),
        other_thresholds_note=NOTE,
        recognition=recognition_line(evaluation) if evaluation.recognises else "",
        confidence=INTERVALS,
        headings=HEADINGS,
        mean=evaluation.mean,
        percent=percent,
        interval=interval,
        of_parts=of_parts,
        in_short=in_short,
        provenance=provenance,
        products=[_product(evaluation, name) for name in evaluation.products],
        wrong=[_figure(picture, ignores) for kind in wrong for picture in pictures if picture.case.kind == kind],
        images=len(evaluation.cases) + len(evaluation.never_learned),
        robustness=robustness,
    )
    write_text(html, page)
    return html, metrics


def _record(case: Case) -> dict[str, Any]:
    """One image as plain data: what a line sees, and the verdict with the product named."""
    return {
        "path": str(case.sample.path),
        "product": case.sample.product,
        "defect": case.sample.defect,
        "score": case.score,
        "verdict": case.verdict.kind,
        "threshold": case.verdict.threshold,
        "verdict_if_named": case.named.kind if case.named else None,
        "nearest_product": case.nearest,
        "product_distance": case.product_distance,
    }


def _product(evaluation: Evaluation, name: str) -> dict[str, Any]:
    result = evaluation.products[name]
    cases = [case for case in evaluation.cases if case.sample.product == name]
    return {
        "name": name,
        "threshold": result.threshold,
        "metrics": [getattr(result, metric) for metric in METRICS],
        "point": result.at_threshold,
        "others": result.other_thresholds,
        "outcome": evaluation.outcome(name),
        "histogram": histogram(cases, result.threshold, name),
        "detections": [_figure(p, evaluation.ignores) for p in evaluation.gallery[name] if p.case.kind == "detection"],
    }


def histogram(cases: Sequence[Case], threshold: float, name: str) -> Markup:
    """Scores of good (up) and defective (down) parts as inline SVG, with the threshold as a line."""
    width, half = 440.0, 60.0
    scores = np.array([case.score for case in cases])
    bad = np.array([not case.sample.is_good for case in cases])
    high = max(float(scores.max()), 2 * threshold) * 1.02
    edges = np.linspace(0, high, BARS + 1)
    counts = {
        "good": np.histogram(scores[~bad].clip(0, high), edges)[0],
        "bad": np.histogram(scores[bad].clip(0, high), edges)[0],
    }
    bars = []
    for kind, values in counts.items():
        for index, count in enumerate(values):
            if count:
                tall = half * count / values.max()
                y = half - tall if kind == "good" else half + 1
                bars.append(
                    f'<rect class="{kind}" x="{width * index / BARS:.1f}" y="{y:.1f}" '
                    f'width="{width / BARS - 1:.1f}" height="{tall:.1f}"><title>{edges[index]:.2f} to '
                    f"{edges[index + 1]:.2f}: {count} {'good' if kind == 'good' else 'defective'}</title></rect>"
                )
    line = width * threshold / high
    label = Markup("{}: scores of {} good and {} defective parts, threshold {:.2f}").format(
        name, int((~bad).sum()), int(bad.sum()), threshold
    )
    return Markup(
        f'<svg viewBox="0 0 {width:.0f} {2 * half + 18:.0f}" role="img"><title>{label}</title>{"".join(bars)}'
        f'<line class="axis" x1="0" x2="{width:.0f}" y1="{half + 0.5}" y2="{half + 0.5}"/>'
        f'<line class="limit" x1="{line:.1f}" x2="{line:.1f}" y1="0" y2="{2 * half + 2:.0f}"/>'
        f'<text x="0" y="{2 * half + 15:.0f}">0</text>'
        f'<text x="{line:.1f}" y="{2 * half + 15:.0f}" text-anchor="middle">{threshold:.2f}</text>'
        f'<text x="{width:.0f}" y="{2 * half + 15:.0f}" text-anchor="end">{high:.2f}</text></svg>'
    )


def _figure(picture: Picture, ignores: bool) -> dict[str, Any]:
    case, verdict = picture.case, picture.case.verdict
    if verdict.kind == "unknown" or verdict.threshold is None:
        # A heat map shows the distance from what is normal for a product; of an unknown one it would say nothing.
        said, drawn = f"unknown product, distance {case.product_distance:.2f}", draw_unknown(picture.image)
    else:
        seen = "" if verdict.product == case.sample.product else f" as {verdict.product}"
        said = f"{verdict.kind}{seen}, score {case.score:.2f}, threshold {verdict.threshold:.2f}"
        ignored = ignored_in(picture.anomaly_map) if ignores else None
        drawn = draw_overlay(picture.image, picture.anomaly_map, verdict.threshold, ignored)
    return {
        "kind": case.kind,
        "product": case.sample.product,
        "said": said,
        "defect": case.sample.defect,
        "file": case.sample.path.name,
        "image": data_uri(draw_truth(picture.image, picture.mask)),
        "overlay": data_uri(drawn),
    }
