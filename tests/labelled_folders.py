"""Folders of empty pictures, and what a data set in one of them says."""

from __future__ import annotations

import re
from pathlib import Path

from snl_edge.data.samples import Dataset


def make(root: Path, *files: str) -> Path:
    """Empty files: opening a data set lists them and decodes none. ``a/{b,c}/0.png`` is two."""
    for file in files:
        if braces := re.search(r"\{(.*?)\}", file):
            for choice in braces[1].split(","):
                make(root, file[: braces.start()] + choice + file[braces.end() :])
        else:
            path = root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root


def sorted_out(dataset: Dataset) -> tuple[list[str], dict[str, str]]:
    """The training images, and the type of defect of each test image, by their path below the root."""
    below = lambda sample: str(sample.path.relative_to(dataset.root))  # noqa: E731
    return [below(s) for s in dataset.train], {below(s): s.defect for s in dataset.test}


def said(dataset: Dataset) -> dict[str, str]:
    return {finding.kind: finding.text for finding in dataset.findings}
