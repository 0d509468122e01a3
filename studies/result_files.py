"""The committed result files: the only source of figures in README and docs.

They lie in ``results``, those of the ablation in a folder of its name there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snl_edge.benchmarks.results import Result, describe_run, read_result, write_result
from snl_edge.errors import DataError

ROOT = Path(__file__).resolve().parents[1]
"""Of the checkout."""
FOLDER = ROOT / "studies" / "results"
SUMMARY = "summary.json"


def save_result(
    kind: str,
    name: str,
    *,
    settings: dict[str, Any],
    figures: dict[str, Any],
    system: dict[str, Any] | None = None,
    folder: Path = FOLDER,
    file: str | None = None,
) -> Path:
    """Writes the result ``file`` in ``folder``, named after kind, name and day if it is None; returns its path.

    Raises:
        OutputError: it cannot be written.
    """
    result = describe_run(kind, name, settings=settings, figures=figures, system=system)
    return write_result(result, folder / (file or f"{kind}-{name}-{result.created[:10]}.json"))


def read_results(folder: Path = FOLDER) -> dict[str, Result]:
    """All result files in ``folder`` and in the folders in it, by path below ``folder``, sorted.

    Raises:
        DataError: a file is no result.
    """
    paths = [*sorted(folder.glob("*.json")), *sorted(folder.glob("*/*.json"))]
    return {p.relative_to(folder).as_posix(): read_result(p) for p in paths if p.name != SUMMARY}


def find_result(results: Mapping[str, Result], kind: str, name: str) -> tuple[str, Result] | None:
    """File and content of the result of this kind and name; None if it has not been measured."""
    return next(((file, r) for file, r in results.items() if (r.kind, r.name) == (kind, name)), None)


def require_result(results: Mapping[str, Result], kind: str, name: str) -> Result:
    """The result of this kind and name.

    Raises:
        DataError: there is none.
    """
    found = find_result(results, kind, name)
    if found is None:
        raise DataError(f"there is no {kind} result {name!r}", fix="measure it, or take its block off the page")
    return found[1]
