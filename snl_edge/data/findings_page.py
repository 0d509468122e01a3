"""Findings as one self-contained HTML page: what is refused, what is doubtful, and the images that show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from snl_edge.atomic import write_text
from snl_edge.errors import DataError
from snl_edge.image import load_image, read_image, suspected_bits, to_uint8
from snl_edge.outside.shown import as_shown

from .findings import Finding
from .samples import Sample
from .thumbnails import data_uri, draw_truth

SHOWN = 12
"""Pictures of one finding; the others are counted."""


def write_findings(
    findings: Sequence[Finding],
    target: Path,
    *,
    title: str,
    summary: str = "",
    refused: Sequence[Finding] = (),
    notes: Sequence[Finding] = (),
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
        notes: how the data set was read; stands last, without pictures.
        provenance: where this came from, name and value.
        read: gives ``uint8 [H, W, 3]`` RGB of a finding's image, or raises `DataError`.

    Returns:
        ``target``.

    Raises:
        OutputError: it cannot be written.
    """
    groups = {"refused": _by_kind(refused, read), "doubtful": _by_kind(findings, read)}
    environment = Environment(
        loader=PackageLoader("snl_edge.data", "."), autoescape=True, undefined=StrictUndefined, finalize=as_shown
    )
    page = environment.get_template("findings.html.jinja").render(
        title=title, summary=summary, groups=groups, notes=notes, provenance=dict(provenance or {})
    )
    write_text(target, page)
    return target


def show_sample(samples: Iterable[Sample]) -> Callable[[Path], NDArray[np.uint8]]:
    """A reader for `write_findings`: samples by their depth and with their masks' outlines; other files as they are.

    Where nobody said the depth of a 16-bit image, its brightest pixel is shown white: black would show nothing.
    """
    known = {sample.path: sample for sample in samples}

    def read(path: Path) -> NDArray[np.uint8]:
        sample = known.get(path)
        bits = None if sample is None else sample.bits
        image = load_image(path)
        if bits is None and image.dtype == np.uint16:
            bits = suspected_bits(int(image.max()))
        shown = to_uint8(image, bits, path)
        if sample is not None and sample.mask is not None:
            mask = sample.mask.read()
            if mask.shape == shown.shape[:2]:
                shown = draw_truth(shown, mask)
        return shown

    return read


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
    shown = {"path": str(path), "name": "/".join(path.parts[-3:]), "image": "", "fault": ""}
    try:
        return shown | {"image": data_uri(read(path))}
    except DataError as error:
        return shown | {"fault": error.why or error.what}
