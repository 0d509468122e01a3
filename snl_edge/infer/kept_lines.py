"""Lines that an interrupted call left: a call goes on after them only if they are what it would have written itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..outside.files import KIB, opened, readable_size, reason
from ..outside.json_text import parse_json
from ..runtime.manifest import Manifest, Precision
from ..runtime.verdict import decide, written
from .lines import LINE, Line
from .marks import is_overlay
from .names import bytes_of, text_of
from .pipeline import Overlays, Rules

LONGEST = 256 * KIB
"""Bytes of a line: a path of 4096 bytes stands in it three times, and a byte may take six characters."""
_ROUNDED = 1e-6
"""By so much at most a number in a line differs from the one that decided."""
_LARGEST = float(np.finfo(np.float32).max)
_ANEW = "begin again with another --out"


def read_lines(path: Path, most: int) -> tuple[list[Line], int]:
    """The whole lines of an interrupted call, and how many bytes they take; a torn last one is left out.

    Args:
        path: the file.
        most: how many pictures there are.

    Raises:
        DataError: it cannot be read, has more lines, or one that is damaged or longer than any that is written.
    """
    lines: list[Line] = []
    kept = 0
    try:
        with opened(path, (most + 1) * LONGEST) as (file, _):
            while text := file.readline(LONGEST + 1):
                if len(text) > LONGEST:
                    why = f"it is longer than {readable_size(LONGEST)}"
                    raise DataError(f"line {len(lines) + 1} of {path} is damaged", why, _ANEW)
                if not text.endswith(b"\n"):
                    break
                if len(lines) == most:
                    raise DataError(f"{path} holds more than the lines of {most} pictures", "", _ANEW)
                lines.append(_parsed(path, len(lines) + 1, text))
                kept += len(text)
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise DataError(f"cannot read {path}", reason(error), _ANEW) from error
    return lines, kept


def _parsed(path: Path, number: int, text: bytes) -> Line:
    try:
        said = parse_json(text)
        LINE.validate_json(text, strict=True)
    except ValueError as error:
        raise DataError(f"line {number} of {path} is damaged", "", _ANEW) from error
    return said


def require_own_lines(
    lines: Sequence[Line],
    paths: Sequence[Path],
    manifest: Manifest,
    precision: Precision,
    rules: Rules,
    overlays: Overlays,
    where: Path,
) -> None:
    """Refuses lines of which one is not of the picture in its place, contradicts itself or has lost its overlay.

    Args:
        lines: those that were kept, in their order.
        paths: all pictures, in theirs.
        manifest, precision: of what judges them.
        rules: by which it does.
        overlays: where those of the lines are.
        where: the lines' file, for errors.

    Raises:
        DataError: names the first such line.
    """
    for number, (line, path) in enumerate(zip(lines, paths, strict=False), start=1):
        if (line["path"], line.get("path_bytes")) != (text_of(path), bytes_of(path)):
            why = f"it is of {line['path']}, and picture {number} is {text_of(path)}"
        else:
            why = _contradiction(line, manifest, precision, rules) or _lost_overlay(line, path, overlays)
        if why:
            raise DataError(f"cannot go on after line {number} of {text_of(where)}", why, _ANEW)


def _contradiction(line: Line, manifest: Manifest, precision: Precision, rules: Rules) -> str:
    """Why these figures and this verdict cannot stand together; empty where they can."""
    if "verdict" not in line:
        return ""
    score, distance, threshold = line["score"], line["product_distance"], line["threshold"]
    if abs(score) > _LARGEST or abs(distance) > _LARGEST:
        return "no graph gives such a score or distance"
    if line["recognised"] not in manifest.products:
        return "it recognised a product that the bundle does not know"
    nearest = manifest.products.index(line["recognised"])
    # What was rounded may lie on the other side of its limit by now.
    near = [[value - _ROUNDED, value, value + _ROUNDED] for value in (score, distance)]
    possible = [
        decide(manifest, precision, one, nearest, far, rules.product, rules.threshold, compare=rules.compare)
        for one, far in product(*near)
    ]
    said = (line["verdict"], line["product"], threshold, line["reason"])
    if said not in [(one.kind, one.product, written(one.threshold), one.objection) for one in possible]:
        return f"its verdict, {line['verdict']}, does not follow from its score, distance and threshold"
    return _contradicting_figures(line)


def _contradicting_figures(line: Line) -> str:
    """Why relation and regions cannot be those of score and threshold; empty where they can."""
    score, threshold, relation = line["score"], line["threshold"], line["relation"]
    if threshold is None:
        return "it has a relation to no threshold" if relation is not None else ""
    exact = score / threshold
    if relation is None or abs(relation - exact) > _ROUNDED * (1 + (1 + abs(exact)) / threshold):
        return "its relation is not that of score and threshold"
    if line["regions"] and score < threshold - _ROUNDED:
        return "it has regions, and its score is below the threshold"
    return ""


def _lost_overlay(line: Line, path: Path, overlays: Overlays) -> str:
    """Why the picture's overlay is not there, though no error of the line says so."""
    if "error" in line:
        return "it has an overlay and an error" if "overlay" in line else ""
    name = overlays.names[path]
    if Path(line.get("overlay", "")).name != name:
        return f"it does not name its overlay, {name}"
    place = overlays.folder / name
    return "" if is_overlay(place) else f"its overlay {text_of(place)} is gone, or is another file by now"
