"""What a person should look at after training, and what that person said of it: the folder ``review`` of a run."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

from snl_edge.atomic import write_text
from snl_edge.counted import counted
from snl_edge.data.findings import Finding
from snl_edge.data.findings_page import show_sample, write_findings
from snl_edge.data.loader import ImageStore
from snl_edge.errors import DataError
from snl_edge.image import fit_to_input
from snl_edge.model.snl import Snl
from snl_edge.outside.csv_rows import csv_rows
from snl_edge.outside.files import read_bytes, read_text, real_path, reason
from snl_edge.progress import console
from snl_edge.runtime.overlay import draw_overlay, ignored_in

from .checkpoint import Checkpoint
from .image_record import ImageEntry

FOLDER, TABLE, EARLIER = "review", "suspicious.csv", "suspicious-earlier.csv"
PLACE = Path(FOLDER, "index.html")
"""Of the page in a run folder."""
COLUMNS = ("image", "product", "standing", "verdict", "sha256")
STRANGEST = 12
"""Images that are shown, and listed in the table, in all, beside the suspicious ones."""

STRANGE = 0.75
"""Of an image's largest value, what its heatmap's contour surrounds where the threshold lies higher."""

Verdict = Literal["good", "defect"]


def read_review(path: Path) -> dict[str, Verdict]:
    """What the table ``path`` says of images, by SHA-256; rows without a verdict say nothing.

    Raises:
        DataError: the table cannot be read, lacks a column, or has another verdict than ``good`` and ``defect``.
    """
    try:
        header, rows = _rows(read_text(path))
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read the review {path}", reason(error), f"give the {TABLE} of a run's review"
        ) from error
    if not {"sha256", "verdict"} <= set(header):
        raise DataError(f"{path} is no review", "it has no columns sha256 and verdict", f"start from a run's {TABLE}")
    verdicts: dict[str, Verdict] = {}
    for line, cells in rows:
        row = dict(zip(header, cells, strict=False))
        verdict = row.get("verdict", "").strip().lower()
        if verdict not in ("", "good", "defect"):
            raise DataError(
                f"line {line} of {path} has the verdict {row['verdict'][:80]!r}",
                fix="write good or defect, or leave it empty",
            )
        digest = row.get("sha256", "").strip().lower()
        beside = [cell for cell in cells[len(header) :] if cell.strip()]
        if beside or (verdict and not re.fullmatch("[0-9a-f]{64}", digest)):
            raise DataError(
                f"line {line} of {path} cannot be read",
                "it has a cell too many" if beside else f"{digest[:80] or 'nothing'} is no SHA-256",
                "change the verdict column alone",
            )
        if verdict and verdicts.setdefault(digest, cast(Verdict, verdict)) != verdict:
            raise DataError(
                f"line {line} of {path} calls an image {verdict} that another line calls {verdicts[digest]}",
                fix="give one verdict on each image",
            )
    if not verdicts:
        raise DataError(f"{path} has no verdict", fix="write good or defect into its verdict column")
    return verdicts


def _rows(text: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the columns, and the rows that are not empty with their lines.

    Raises:
        ValueError: it is no table.
    """
    delimiter = ";" if ";" in text.partition("\n")[0] else ","  # spreadsheets of some countries write semicolons
    rows = csv_rows(text, delimiter)
    header = next(rows, (1, []))[1]
    return header, [(line, cells) for line, cells in rows if cells]


def write_review(
    run: Path,
    target: Path,
    checkpoint: Checkpoint,
    model: Snl,
    store: ImageStore,
    images: Sequence[ImageEntry],
    findings: Sequence[Finding],
    verdicts: Mapping[str, Verdict],
) -> None:
    """Writes the page of all ``findings`` and the table of the images that stand out most.

    Args:
        run: the run folder, by which the page calls its files.
        target: below which they are written.
        checkpoint: of the finished run.
        model: in evaluation mode; its heatmaps show why an image stands out.
        store: the training images, in the order of ``images``.
        images: what each was used for.
        findings: what was found, the gravest first.
        verdicts: what a person said of images before; the table keeps it.

    Raises:
        OutputError: they cannot be written.
    """
    listed = _listed(images, verdicts)
    overlays = _overlays(checkpoint, model, store, images, listed)
    shown = [*findings]
    for kind, (text, chosen) in _groups(images, verdicts, listed).items():
        if chosen:
            shown.append(Finding(kind, text, tuple(store.samples[i].path for i in chosen)))

    plain = show_sample(store.samples)

    def read(path: Path) -> NDArray[np.uint8]:
        return overlays[path] if path in overlays else plain(path)

    rows = io.StringIO()
    table = csv.writer(rows, lineterminator="\n")
    table.writerow(COLUMNS)
    for i in listed:
        entry = images[i]
        verdict = verdicts.get(entry.sha256, "")
        table.writerow([entry.file, entry.product, f"{entry.standing or 0:.2f}", verdict, entry.sha256])
    write_text(target / FOLDER / TABLE, rows.getvalue())
    _keep_earlier(run / FOLDER / TABLE, target / FOLDER / EARLIER, verdicts)
    write_findings(
        shown,
        target / PLACE,
        title=f"What to look at: {real_path(run).name}",
        summary=what_to_do(images, verdicts, run / FOLDER / TABLE),
        provenance={"created": checkpoint.created, "revision": checkpoint.revision},
        read=read,
    )


def what_to_do(images: Sequence[ImageEntry], verdicts: Mapping[str, Verdict], table: Path) -> str:
    """What became of suspicious ones among the training ``images``, and what a person does about it in ``table``."""
    open_ones = [image for image in images if image.suspicious and image.sha256 not in verdicts]
    left = sum(image.role == "excluded" for image in open_ones)
    learned = len(open_ones) - left
    lines: list[str] = []
    if left:
        lines.append(f"{_of(left, images)} left out as suspicious, unless you say that they show good parts.")
    if learned:
        lines.append(
            f"{_of(learned, images)} suspicious and learned as good all the same, as --trust says: if one shows a "
            "defective part, parts like it will pass."
        )
    if open_ones:
        stays = " and ".join(
            [*(["what was left out stays out"] if left else []), *(["what was learned is learned"] if learned else [])]
        )
        lines.append(
            f"What to do: look at the pictures below, open {table.name} beside this page in any spreadsheet, and write "
            f"good or defect into the column verdict. Where it stays empty, {stays} with the same options. Then give "
            f"the same train command again with --review {table} and --replace (or another --out)."
        )
    else:
        lines.append("No training image is suspicious without your verdict: nothing has to be done about that.")
    return " ".join(lines)


def _of(number: int, images: Sequence[ImageEntry]) -> str:
    return f"{number} of {len(images)} training images {'is' if number == 1 else 'are'}"


def _groups(
    images: Sequence[ImageEntry], verdicts: Mapping[str, Verdict], listed: Sequence[int]
) -> dict[str, tuple[str, list[int]]]:
    """What the page shows beside what was found: text and images of each kind."""
    said = [verdicts.get(images[i].sha256) for i in listed]
    by = {
        verdict: [i for i, own in zip(listed, said, strict=True) if own == verdict]
        for verdict in ("defect", "good", None)
    }
    return {
        "called defective": ("left out, as the review says", by["defect"]),
        "called good": ("used as the good parts that the review says they are", by["good"]),
        "strangest": (
            "not suspicious, and used; they stand out most of what was. Nothing is to be done, unless one shows a "
            f"defective part: then write defect into its line of {TABLE}, or parts like it will pass",
            [i for i in by[None] if not images[i].suspicious],
        ),
    }


def _keep_earlier(table: Path, target: Path, verdicts: Mapping[str, Verdict]) -> None:
    """Copies the ``table`` that is to be replaced to ``target``, if words stand in it that are not ``verdicts``."""
    if not table.is_file():
        return
    try:
        header, rows = _rows(read_bytes(table).decode("utf-8-sig", "replace"))
    except (OSError, ValueError):  # nobody can tell what it says: kept
        shutil.copyfile(table, target)
        console.print(f"{table} could not be read: it is kept in {target.name} beside it", style="bold")
        return
    named = [dict(zip(header, cells, strict=False)) for _, cells in rows]
    written = [row for row in named if row.get("verdict", "").strip()]
    if lost := [row for row in written if row.get("sha256", "").strip().lower() not in verdicts]:
        shutil.copyfile(table, target)
        console.print(
            f"{table} had {counted(len(lost), 'verdict')} that this training was not given (--review): "
            f"they are kept in {target.name} beside it",
            style="bold",
        )


def _listed(images: Sequence[ImageEntry], verdicts: Mapping[str, Verdict]) -> list[int]:
    """Suspicious images and those with a verdict, then the strangest of the others; each the clearest first."""
    order = sorted(range(len(images)), key=lambda i: -(images[i].standing or 0.0))
    known = [i for i in order if images[i].suspicious or images[i].sha256 in verdicts]
    rest = [i for i in order if i not in set(known) and images[i].standing is not None]
    return [*known, *rest[:STRANGEST]]


@torch.no_grad()
def _overlays(
    checkpoint: Checkpoint, model: Snl, store: ImageStore, images: Sequence[ImageEntry], chosen: Sequence[int]
) -> dict[Path, NDArray[np.uint8]]:
    """The images at ``chosen`` with the heatmap that they would have if their part had not been learned."""
    device = next(model.parameters()).device
    score_scale = checkpoint.score_scale
    drawn: dict[Path, NDArray[np.uint8]] = {}
    for i in chosen:
        pixels = torch.from_numpy(store.batch([i])).to(device)
        left_out = torch.tensor([images[i].group], dtype=torch.int32, device=device)
        heat = model(pixels, left_out if model.memory is not None else None)[0][0].cpu().numpy() * score_scale.gain
        path = store.samples[i].path
        finite = np.nan_to_num(heat, nan=0.0, posinf=10.0)
        # Why an image stands out must be seen of one below the threshold, too: its strangest place is always hot.
        limit = min(score_scale.product_thresholds.get(images[i].product, 0.5), STRANGE * float(finite.max()) + 1e-6)
        ignored = ignored_in(finite) if checkpoint.ignored else None
        drawn[path] = draw_overlay(fit_to_input(store.samples[i].read(), store.size), finite, limit, ignored)
    return drawn
