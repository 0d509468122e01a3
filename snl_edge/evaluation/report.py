"""The evaluation as one self-contained HTML page, with the figures as JSON beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from snl_edge.atomic import write_text
from snl_edge.data.thumbnails import data_uri
from snl_edge.runtime.overlay import draw_overlay

from .evaluate import METRICS, Case, Evaluation, Picture

HEADINGS = {
    "image_auroc": "AUROC",
    "image_ap": "AP",
    "image_f1_max": "F1-max",
    "pixel_auroc": "AUROC",
    "pixel_ap": "AP",
    "pixel_f1_max": "F1-max",
    "aupro": "AUPRO",
}
MASK_COLOUR = (60, 220, 120)
BARS = 36


def write_report(
    evaluation: Evaluation, folder: Path, *, title: str, provenance: Mapping[str, str]
) -> tuple[Path, Path]:
    """Writes ``index.html`` and ``metrics.json`` into ``folder``; returns both paths.

    Raises:
        OutputError: the folder cannot be written.
    """
    html, metrics = folder / "index.html", folder / "metrics.json"
    content = {
        **evaluation.figures(),
        "provenance": dict(provenance),
        "images": [
            {
                "path": str(case.sample.path),
                "product": case.sample.product,
                "defect": case.sample.defect,
                "score": case.score,
                "verdict": "reject" if case.reject else "good",
                "nearest_product": case.nearest,
                "product_distance": case.product_distance,
            }
            for case in evaluation.cases
        ],
    }
    write_text(metrics, json.dumps(content, indent=1) + "\n")
    environment = Environment(
        loader=PackageLoader("snl_edge.evaluation", "."), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("report.html.jinja").render(
        title=title,
        headings=HEADINGS,
        mean=evaluation.mean,
        recognition=evaluation.recognition,
        percent=_percent,
        provenance=provenance,
        products=[_product(evaluation, name) for name in evaluation.products],
        images=len(evaluation.cases),
    )
    write_text(html, page)
    return html, metrics


def _product(evaluation: Evaluation, name: str) -> dict[str, Any]:
    result = evaluation.products[name]
    cases = [case for case in evaluation.cases if case.sample.product == name]
    return {
        "name": name,
        "threshold": result.threshold,
        "metrics": [getattr(result, metric) for metric in METRICS],
        "point": result.at_threshold,
        "histogram": histogram(cases, result.threshold, name),
        "pictures": [_figure(picture, result.threshold) for picture in evaluation.gallery[name]],
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


def _figure(picture: Picture, threshold: float) -> dict[str, Any]:
    case = picture.case
    kind = "false reject" if case.sample.is_good else ("detection" if case.reject else "escape")
    return {
        "kind": kind,
        "defect": case.sample.defect,
        "file": case.sample.path.name,
        "score": case.score,
        "image": data_uri(draw_truth(picture.image, picture.mask)),
        "overlay": data_uri(draw_overlay(picture.image, picture.anomaly_map, threshold)),
    }


def draw_truth(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The picture ``uint8 [H, W, 3]`` with the outline of the true defect."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    drawn = image.copy()
    cv2.drawContours(drawn, contours, -1, MASK_COLOUR, max(1, image.shape[0] // 128))
    return drawn


def _percent(fraction: float) -> str:
    return "–" if math.isnan(fraction) else f"{100 * fraction:.1f}"
