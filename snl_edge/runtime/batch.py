"""`snl-edge infer`: verdicts for image files, one broken file never stopping the rest."""

from __future__ import annotations

import glob
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.text import Text

from snl_edge.atomic import replacing, write_text
from snl_edge.bit_depth import DepthWatch, to_uint8
from snl_edge.errors import DataError, OutputError
from snl_edge.image import IMAGE_SUFFIXES, load_image
from snl_edge.image_files import is_kept_heatmap
from snl_edge.progress import console, progress_bar
from snl_edge.table import number_column, print_table, text_column

from ..opencv import cv2
from .detector import Detector
from .frame import as_images
from .manifest import require_threshold
from .overlay import draw_overlay, draw_unknown, ignored_in
from .tuning import standing_doubts, unusual

VERDICTS = "verdicts.jsonl"
LONGEST_TABLE = 12
"""Rows printed for people; more are summed up, and all are in the JSON lines."""


def infer_files(
    arguments: Sequence[str],
    bundle: Path,
    out: Path | None,
    *,
    backend: str,
    precision: str,
    threshold: float | None,
    product: str | None,
    as_json: bool,
    compare: bool = True,
) -> int:
    """Judges every image that ``arguments`` (files, folders, globs) name; returns how many could not be read.

    Prints a table, or JSON lines with ``as_json``. With ``out``, writes ``verdicts.jsonl`` and an overlay per
    image there.

    Heatmaps that a line keeps beside its pictures are left out, and their number is said.

    Raises:
        DataError: an argument names nothing, or all are heatmaps.
        BundleError, BackendError, EngineError: the bundle cannot be loaded or run.
        ConfigError: the threshold cannot be one, or the product is unknown.
        OutputError: ``out`` cannot be written.
    """
    if threshold is not None:
        require_threshold(threshold)
    paths, heatmaps = _apart(find_images(arguments))
    if heatmaps:
        console.print(f"left out: {len(heatmaps)} heatmaps that a line keeps beside its pictures")
    names = overlay_names(paths)
    if out is not None:
        _require_room(out, names)
    lines: list[dict[str, object]] = []
    # One picture at a time: nothing larger need be made ready.
    one = Detector.load(bundle, backend=backend, precision=precision, max_batch=1)
    with one as detector, progress_bar("inspecting") as report:
        console.print(detector.backend_reason)
        manifest = detector.bundle.manifest
        if threshold is None:
            odd = standing_doubts(manifest).values()
        else:
            odd = [
                unusual(manifest, name, threshold) for name in (manifest.products if product is None else (product,))
            ]
        for words in filter(None, odd):
            console.print(f"doubtful: {words}", soft_wrap=True, markup=False)
        depth = DepthWatch()
        for done, path in enumerate(paths, start=1):
            target = out and out / names[path]
            lines.append(_judge(detector, path, target, depth, threshold=threshold, product=product, compare=compare))
            if as_json:
                print(json.dumps(lines[-1]), flush=True)  # noqa: T201
            report(done, len(paths))
    if out is not None:
        write_text(out / VERDICTS, "".join(json.dumps(line) + "\n" for line in lines))
    if not as_json:
        _print_table(lines, paths)
    if depth.doubt is not None:
        console.print(f"snl-edge: {depth.doubt}", style="yellow", soft_wrap=True)
    return sum("error" in line for line in lines)


def _require_room(out: Path, names: Mapping[Path, str]) -> None:
    """Refuses a folder in which a heatmap would be written over a picture that is not one of an earlier call.

    Raises:
        OutputError: it would.
    """
    pictures = {path.resolve() for path in names}
    ours = (out / VERDICTS).is_file()
    for name in names.values():
        target = out / name
        if target.resolve() in pictures:
            raise OutputError(
                f"{target} would be overwritten", "it is one of the pictures to inspect", "give another --out"
            )
        if not ours and target.exists():
            raise OutputError(
                f"{target} would be overwritten",
                f"no {VERDICTS} beside it says that it is a heatmap of an earlier call",
                "give another --out, or remove it",
            )


def find_images(arguments: Sequence[str]) -> list[Path]:
    """Files as given, images below folders, and matches of globs; in order, without repetition.

    Raises:
        DataError: an argument names no file, or a folder without images.
    """
    found: dict[Path, None] = {}
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            matches = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
        elif path.exists():
            matches = [path]
        else:
            matches = sorted(Path(match) for match in glob.glob(argument, recursive=True) if Path(match).is_file())  # noqa: PTH207
        if not matches:
            reason = "the folder holds no images" if path.is_dir() else "there is no such file, folder or match"
            raise DataError(f"nothing to inspect in {argument}", reason, "check the path; quote globs")
        found |= dict.fromkeys(matches)
    return list(found)


def _apart(found: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Pictures of parts, and heatmaps of a line's journal."""
    heatmaps = [path for path in found if is_kept_heatmap(path)]
    if len(heatmaps) == len(found):
        raise DataError(
            f"nothing to inspect: {heatmaps[0]} and all others are heatmaps",
            "a line keeps them beside its pictures",
            "give the pictures, whose names end before -heatmap",
        )
    return [path for path in found if path not in set(heatmaps)], heatmaps


def _judge(
    detector: Detector,
    path: Path,
    target: Path | None,
    depth: DepthWatch,
    *,
    threshold: float | None,
    product: str | None,
    compare: bool,
) -> dict[str, object]:
    takes = detector.bundle.manifest.input
    try:
        stored = load_image(path)
        depth.look(stored, takes.bits)
        image = to_uint8(stored, takes.bits, path)
        frame = image if takes.frame is None else as_images(image, takes)
    except DataError as error:
        return {"path": str(path), "error": str(error)}
    verdict = detector.detect([frame], product, threshold=threshold, compare=compare)[0]
    line: dict[str, object] = {
        "path": str(path),
        "verdict": verdict.kind,
        "product": verdict.product,
        "recognised": verdict.recognised,
        "product_distance": round(verdict.product_distance, 6),
        "score": round(verdict.score, 6),
        "threshold": verdict.threshold,
        **({"reason": verdict.objection} if verdict.objection else {}),
        **({"doubt": verdict.doubt} if verdict.doubt else {}),
    }
    if target is not None:
        # A heat map shows the distance from what is normal for a product; of an unknown one it would say nothing.
        if verdict.kind == "unknown" or verdict.threshold is None:
            overlay = draw_unknown(image)
        else:
            ignored = ignored_in(verdict.anomaly_map) if detector.bundle.manifest.ignored else None
            overlay = draw_overlay(image, verdict.anomaly_map, verdict.threshold, ignored)
        with replacing(target) as temporary:
            cv2.imwrite(str(temporary), cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR))
        line["overlay"] = str(target)
    return line


def overlay_names(paths: Sequence[Path]) -> dict[Path, str]:
    """A PNG name for each path: its stem, with as many parent folders in front as make it unique.

    Files that differ in nothing but the suffix keep theirs.
    """
    names: dict[Path, str] = {}
    undecided, depth = list(paths), 1
    while undecided:
        tails = {path: "_".join(part.strip("/") for part in path.with_suffix("").parts[-depth:]) for path in undecided}
        counts = Counter(tails.values())
        for path, tail in tails.items():
            if counts[tail] == 1:
                names[path] = f"{tail}.png"
            elif depth >= len(path.parts):
                names[path] = f"{tail}{path.suffix.replace('.', '_')}.png"
        undecided = [path for path in undecided if path not in names]
        depth += 1
    return names


def _print_table(lines: Sequence[dict[str, object]], paths: Sequence[Path]) -> None:
    styles = {"good": "green", "reject": "bold red", "unknown": "bold magenta"}
    rows: list[list[str | Text]] = []
    for line in lines[:LONGEST_TABLE]:
        path = str(line["path"])
        if "error" in line:
            rows.append([path, Text("unreadable", "yellow"), *["-"] * 4])
            continue
        verdict = str(line["verdict"])
        limit = "-" if line["threshold"] is None else f"{line['threshold']:.3f}"
        distance, score = (f"{line[name]:.3f}" for name in ("product_distance", "score"))
        rows.append([path, Text(verdict, styles[verdict]), str(line["product"] or "-"), distance, score, limit])
    headings = (
        text_column("image"),
        text_column("verdict"),
        text_column("product"),
        *map(number_column, ("distance", "score", "threshold")),
    )
    print_table(headings, rows)
    if len(lines) > LONGEST_TABLE:
        print(f"… and {len(lines) - LONGEST_TABLE} more (--json prints all)")  # noqa: T201
    counts = {verdict: sum(line.get("verdict") == verdict for line in lines) for verdict in styles}
    unreadable = [line for line in lines if "error" in line]
    doubtful = [line for line in lines if "doubt" in line]
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    print(f"{len(paths)} images: {summary}, {len(unreadable)} unreadable")  # noqa: T201
    for line in unreadable:
        console.print(f"snl-edge: {line['error']}", style="yellow", markup=False, soft_wrap=True)
    for line in doubtful:
        console.print(f"snl-edge: {line['path']}: {line['doubt']}", style="yellow", markup=False, soft_wrap=True)
