"""Findings as one self-contained HTML page: what is refused, what is doubtful, and the images that show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from snl_edge.atomic import write_text
from snl_edge.errors import DataError
from snl_edge.image import read_image

from .findings import Finding
from .thumbnails import data_uri

SHOWN = 12
"""Pictures of one finding; the others are counted."""


def write_findings(
    findings: Sequence[Finding],
    target: Path,
    *,
    title: str,
    summary: str = "",
    refused: Sequence[Finding] = (),
    provenance: Mapping[str, str] | None = None,
    read: Callable[[Path], NDArray[np.uint8]] = read_image,
) -> Path:
    """Writes the page ``target``; what cannot be shown is named in it with the reason.

    Args:
        findings: what is doubtful; several of one kind stand under one heading.
        target: the HTML file.
        title: the page's heading.
        summary: one line below it.
        refused: what cannot be used at all; stands first.
        provenance: where this came from, name and value.
        read: gives ``uint8 [H, W, 3]`` RGB of a finding's image, or raises `DataError`.

    Returns:
        ``target``.

    Raises:
        OutputError: it cannot be written.
    """
    groups = {"refused": _by_kind(refused, read), "doubtful": _by_kind(findings, read)}
    environment = Environment(loader=PackageLoader("snl_edge.data", "."), autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("findings.html.jinja").render(
        title=title, summary=summary, groups=groups, provenance=dict(provenance or {})
    )
    write_text(target, page)
    return target


def _by_kind(
    findings: Sequence[Finding], read: Callable[[Path], NDArray[np.uint8]]
) -> dict[str, list[dict[str, object]]]:
    kinds: dict[str, list[dict[str, object]]] = {}
    for finding in findings:
        kinds.setdefault(finding.kind.replace("_", " "), []).append(
            {
                "text": finding.text,
                "pictures": [_picture(path, read) for path in finding.images[:SHOWN]],
                "more": max(0, len(finding.images) - SHOWN),
            }
        )
    return kinds


def _picture(path: Path, read: Callable[[Path], NDArray[np.uint8]]) -> dict[str, str]:
    try:
        return {"path": str(path), "name": path.name, "image": data_uri(read(path)), "fault": ""}
    except DataError as error:
        return {"path": str(path), "name": path.name, "image": "", "fault": error.why or error.what}
