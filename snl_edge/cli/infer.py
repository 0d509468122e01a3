"""`infer`: verdicts for pictures in files."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from snl_edge.errors import ConfigError

from .app import app
from .options import RUN, Backend

NOT_JUDGED, REJECT, UNKNOWN = 3, 4, 5
"""Exit codes of a command that did its work; 1 is an error, 2 a wrong call, 130 an interruption."""


class Sort(str, Enum):
    """Order of the table."""

    verdict = "verdict"
    relation = "relation"
    score = "score"
    distance = "distance"
    product = "product"
    path = "path"
    given = "given"


class OverlayFormat(str, Enum):
    """Of overlays."""

    jpeg = "jpeg"
    png = "png"


@app.command()
def infer(
    images: Annotated[list[str], typer.Argument(help="Image files, folders (searched through) or quoted globs.")],
    bundle: Annotated[Path, typer.Option(help="Bundle folder.")] = RUN / "bundle",
    out: Annotated[Path | None, typer.Option(help="Folder for heatmap overlays and verdicts.jsonl.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on in --out where the same call was interrupted, by whatever.")
    ] = False,
    csv: Annotated[Path | None, typer.Option(help="CSV file for a row of each image.")] = None,
    backend: Backend = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, fp16, bf16 or int8.")] = "auto",
    threshold: Annotated[
        float | None,
        typer.Option(help="One threshold for all, for this call; the bundle's own, of each product, if not given."),
    ] = None,
    product: Annotated[str | None, typer.Option(help="The product shown; recognised if not given.")] = None,
    compare: Annotated[
        bool,
        typer.Option(help="Hold --product against what is recognised; without it parts of other products may be good."),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line per image on stdout.")] = False,
    sort: Annotated[
        Sort,
        typer.Option(help="Order of the table; verdict: errors, rejects, unknown, good, the highest relation first."),
    ] = Sort.verdict,
    only: Annotated[
        str | None, typer.Option(help="Rows of the table: error, reject, unknown, good, separated by commas.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most rows of the table; all if not given.")] = None,
    pager: Annotated[bool, typer.Option(help="Show a table longer than the terminal in its pager.")] = True,
    overlay_format: Annotated[OverlayFormat, typer.Option(help="Of overlays.")] = OverlayFormat.jpeg,
    overlay_side: Annotated[
        int, typer.Option(min=0, help="Longest side of an overlay in pixels; 0: as large as the image.")
    ] = 1600,
    fail_on: Annotated[
        str | None,
        typer.Option(help="Leave with 4 if there is a reject, 5 if an unknown: reject, unknown, or both with a comma."),
    ] = None,
) -> None:
    """Give a verdict and a heatmap for each image.

    Leaves with 0 if all were judged, 3 if one was not or its overlay not written, 1 at an error that ended it; with
    --fail-on, where all were judged, with 4 if there is a reject and 5 if there is an unknown product.

    In the table, regions are their number and the box of the worst: width x height + x + y, in pixels.

    Example: snl-edge infer camera/*.png --bundle runs/line3/bundle --out verdicts/
    """
    from snl_edge.infer.command import infer_files
    from snl_edge.infer.overlay_file import OverlayStyle
    from snl_edge.infer.table import KINDS, View, parse_kinds

    failing = parse_kinds(fail_on, ("reject", "unknown")) if fail_on is not None else ()
    if resume and out is None:
        raise ConfigError("--resume needs --out", "what is there of the interrupted call lies in it")
    summary = infer_files(
        images,
        bundle,
        out,
        backend=backend,
        precision=precision,
        threshold=threshold,
        product=product,
        as_json=as_json,
        compare=compare,
        csv=csv,
        resume=resume,
        overlays=OverlayStyle(overlay_format.value, overlay_side),
        view=View(sort.value, KINDS if only is None else parse_kinds(only), limit, pager),
    )
    if summary.errors:
        raise typer.Exit(NOT_JUDGED)
    if "reject" in failing and summary.reject:
        raise typer.Exit(REJECT)
    if "unknown" in failing and summary.unknown:
        raise typer.Exit(UNKNOWN)
