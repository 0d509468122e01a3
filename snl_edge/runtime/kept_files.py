"""What people keep in a bundle's folder, such as a report of `evaluate`: a build that replaces the bundle keeps it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..errors import BundleError
from ..progress import console
from .bundle import ENGINES, Bundle
from .manifest import FILE, Manifest
from .signature import FILE as SIGNATURE
from .threshold_history import FILE as HISTORY


def keep_files(before: Bundle, now: Bundle, *, known: bool = True) -> None:
    """Takes over into the bundle ``now`` what no build wrote into that of ``before``, whose files stay where they are.

    A report stays if it tells of the same weights and thresholds; that of another model would be read as this one's
    and is left out, as is any if it is not ``known`` which thresholds were in force. Either is said.

    Raises:
        BundleError: the new bundle has a file of the same name.
        OSError: the new one cannot be written.
    """
    earlier, bundle = before.path, now.path
    own = {FILE, HISTORY, SIGNATURE, *before.built.files}
    files = [path for path in sorted(earlier.rglob("*")) if path.is_symlink() or not path.is_dir()]
    others = [
        name
        for name in (path.relative_to(earlier) for path in files)
        if name.as_posix() not in own and name.parts[0] != ENGINES
    ]
    reports = {name.parent for name in others if name.name == "metrics.json" and name.with_name("index.html") in others}
    dropped = set[Path]() if known and _tells_of(before.manifest, now.manifest) else reports
    for name in others:
        if dropped & set(name.parents):
            continue
        target = bundle / name
        if target.exists():
            raise BundleError(
                f"{earlier / name} is none of the bundle's files",
                "the new bundle has a file of that name",
                "move it elsewhere, and build again",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(earlier / name, target)
    for report in sorted(reports):
        words = (
            "is removed: it tells of another model or of other thresholds than those of the new bundle"
            if report in dropped
            else "is kept: the same model and thresholds, in graphs and engines of before"
        )
        console.print(f"the report {earlier / report} {words}; `snl-edge evaluate` measures the new one")


def tell_what_is_gone(before: Bundle) -> None:
    """Says which engines, and whether a signature, of the bundle ``before`` do not come into the one that takes its
    place: engines were built from its graphs, and the signature covers those."""
    folder = before.path
    if engines := sorted(path.name for path in (folder / ENGINES).glob("*.engine")):
        built = f"engine {engines[0]}" if len(engines) == 1 else f"{len(engines)} engines ({', '.join(engines)})"
        console.print(
            f"the earlier bundle's {built} removed, made of its graphs: on each device, `snl-edge build {folder}`",
            markup=False,
            highlight=False,
        )
    if (folder / SIGNATURE).is_file():
        console.print(
            f"the signature of the earlier bundle is gone, this one has none: snl-edge sign {folder} --key FILE",
            markup=False,
            highlight=False,
        )


def _tells_of(before: Manifest, now: Manifest) -> bool:
    """Whether what was measured with one bundle holds for the other, as far as its model goes."""
    names = ("weights_sha256", "score_scale", "threshold", "product_thresholds", "unknown_limit")
    return now.weights_sha256 is not None and all(getattr(before, name) == getattr(now, name) for name in names)


def _link(source: Path, target: Path) -> None:
    """A second name for the same file: nothing is copied, and nothing lost if the build fails after it."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # not every file system has them
        shutil.copy2(source, target, follow_symlinks=False)
