"""Result files: one JSON per run, with where it came from; the only source of figures in README and docs.

They lie in ``results``, those of a study in a folder of its name there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from snl_edge import provenance
from snl_edge.atomic import write_text
from snl_edge.errors import DataError
from snl_edge.outside.files import reason
from snl_edge.outside.json_text import faults, read_model

FOLDER = Path(__file__).resolve().parent / "results"
SUMMARY = "summary.json"


class Result(BaseModel):
    """One measured run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    kind: str
    """What was measured: ``quality``, ``experiment`` (one run of a study), ``recognition``, ``many_products``,
    ``training_speed``, ``int8``, ``engine_sizes``, ``bench`` (a bundle on one machine), ``speed`` (beside its peers),
    ``edge_install``, ``infer`` (a folder of camera pictures), ``stream``, ``stream_kills``, ``command_kills``,
    ``stream_siege`` (a line under attack), ``threshold_draws``, ``contamination`` (defective parts among training
    images), ``robustness``, ``fuzz`` (broken files for every reader) or ``gpu_proof`` (a quarter of an hour on one
    GPU)."""
    name: str
    created: str
    revision: str
    command: str
    machine: dict[str, str | int]
    system: dict[str, Any] | None = None
    """The machine in detail (:mod:`.system`), where speed was measured."""
    versions: dict[str, str]
    settings: dict[str, Any]
    figures: dict[str, Any]


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
    result = Result(
        kind=kind,
        name=name,
        created=provenance.now(),
        revision=provenance.revision(),
        command=provenance.command(),
        machine=provenance.machine(),
        system=system,
        versions=provenance.versions(),
        settings=settings,
        figures=figures,
    )
    target = folder / (file or f"{kind}-{name}-{result.created[:10]}.json")
    write_text(target, result.model_dump_json(indent=1) + "\n")
    return target


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


def read_result(path: Path) -> Result:
    """The result in the file ``path``.

    Raises:
        DataError: the file is no result, or cannot be read.
    """
    try:
        return read_model(Result, path)
    except OSError as error:
        raise DataError(f"cannot read {path}", reason(error), "check path and permissions") from error
    except ValueError as error:
        raise DataError(f"{path} is no result file", faults(error), "measure again or remove it") from error
