"""Result files: one JSON per run, with the machine, versions, revision and command that it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from snl_edge import provenance
from snl_edge.atomic import write_text
from snl_edge.errors import DataError
from snl_edge.outside.files import reason
from snl_edge.outside.json_text import faults, read_model


class Result(BaseModel):
    """One measured run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    kind: str
    """What was measured: ``bench`` for `snl-edge bench`; each study has its own."""
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


def describe_run(
    kind: str,
    name: str,
    *,
    settings: dict[str, Any],
    figures: dict[str, Any],
    system: dict[str, Any] | None = None,
) -> Result:
    """The result of a run that ends now, with where it came from."""
    return Result(
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


def write_result(result: Result, path: Path) -> Path:
    """Writes ``result`` as the JSON file ``path``, which it returns.

    Raises:
        OutputError: it cannot be written.
    """
    write_text(path, result.model_dump_json(indent=1) + "\n")
    return path


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
