"""Draws the README's picture from what `snl-edge demo` left: parts, heatmaps and true defects of the synthetic line.

``python -m studies.detection.readme_picture demo``
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from snl_edge.atomic import replacing
from snl_edge.data.layouts import open_dataset
from snl_edge.data.thumbnails import draw_truth
from snl_edge.evaluation.cases import Picture
from snl_edge.evaluation.run import evaluate_model
from snl_edge.runtime.overlay import draw_overlay

from ..command import run_command
from ..result_files import ROOT

TARGET = ROOT / "docs" / "images" / "verdicts.jpg"
TILE, GAP = 150, 6


def main(demo: Annotated[Path, typer.Argument(help="Folder that `snl-edge demo` made.")]) -> None:
    """One column per product with its clearest detection: the part, the heatmap, the true defect."""
    evaluation, _ = evaluate_model(demo / "run" / "bundle", open_dataset(demo / "line"))
    detections = [
        max((p for p in pictures if not p.case.sample.is_good), key=lambda p: p.case.score)
        for pictures in evaluation.gallery.values()
    ]
    thresholds = [evaluation.products[p.case.sample.product].threshold for p in detections]
    columns = [column(picture, threshold) for picture, threshold in zip(detections, thresholds, strict=True)]
    space = np.full((columns[0].shape[0], GAP, 3), 255, np.uint8)
    sheet = np.concatenate([part for c in columns for part in (c, space)][:-1], axis=1)
    with replacing(TARGET) as temporary:
        cv2.imwrite(str(temporary), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    typer.echo(f"wrote {TARGET.name}: {', '.join(p.case.sample.product for p in detections)}")


def column(picture: Picture, threshold: float) -> NDArray[np.uint8]:
    """The three views of a case above each other."""
    plain = np.zeros_like(picture.mask)
    views = [
        draw_truth(picture.image, plain),
        draw_overlay(picture.image, picture.anomaly_map, threshold),
        draw_truth(picture.image, picture.mask),
    ]
    tiles = [cv2.resize(view, (TILE, TILE), interpolation=cv2.INTER_AREA) for view in views]
    space = np.full((GAP, TILE, 3), 255, np.uint8)
    return np.concatenate([part for tile in tiles for part in (tile, space)][:-1], axis=0).astype(np.uint8)


if __name__ == "__main__":
    run_command(main)
