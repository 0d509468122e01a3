"""The folder of a run: what lies in it already is not written over unasked."""

from __future__ import annotations

import shutil
from pathlib import Path

from snl_edge.contract.run_folder import CHECKPOINT
from snl_edge.errors import OutputError
from snl_edge.progress import console
from snl_edge.runtime.manifest import FILE as MANIFEST

from . import resume

REPORT = "report"
"""Where `snl-edge evaluate` writes unless told otherwise."""


def require_free(folder: Path) -> None:
    """Refuses a folder in which a run lies, finished or interrupted.

    Raises:
        OutputError: one does.
    """
    if (folder / resume.FILE).is_file():
        raise OutputError(
            f"{folder} holds an interrupted run",
            "training again would throw away what it has learned",
            "go on with the same command and --resume, start again with --replace, or give another --out",
        )
    if (folder / CHECKPOINT).is_file():
        bundle = "; its bundle would be of no use any more" if (folder / "bundle" / MANIFEST).is_file() else ""
        raise OutputError(
            f"{folder} holds a finished run",
            f"training again would replace its model{bundle}",
            "give another --out, or --replace; --start-from trains on from a finished run",
        )


def require_no_bundle(folder: Path) -> None:
    """Refuses a folder that is a bundle: run and bundle in one would be taken for this by some and that by others.

    Raises:
        OutputError: it is one.
    """
    if (folder / MANIFEST).is_file():
        raise OutputError(
            f"{folder} is a bundle",
            "a run in it would tell of another model than the bundle runs",
            "give another --out",
        )


def remove_outdated(folder: Path) -> list[Path]:
    """Removes what an earlier run in ``folder`` left that tells of its model; returns what stays and is refused.

    A report of another model would be read as this one's. A bundle stays, as a line may run it and its thresholds may
    be tuned: `snl_edge.runtime.bundle.Bundle.open` refuses it from now on, and a new build tells what becomes of them.
    """
    report = folder / REPORT
    if (report / "metrics.json").is_file():
        shutil.rmtree(report, ignore_errors=True)
        console.print(
            f"the report {report} is removed: it told of the earlier model; `snl-edge evaluate` measures this one"
        )
    return [folder / "bundle"] if (folder / "bundle" / MANIFEST).is_file() else []
