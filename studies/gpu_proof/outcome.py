"""The result file of a proof, from the lines that its steps said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from snl_edge.benchmarks.system import describe_system

from ..result_files import save_result
from .lines import read_lines
from .settings import ProofSettings

KIND = "gpu_proof"
FILE = "gpu-proof.json"
DRY_RUN = "dry-run"
"""Name of a result that no GPU gave."""


def write_outcome(lines: Path, settings: ProofSettings, stood_in: Sequence[str]) -> Path:
    """Writes ``gpu-proof.json``; ``stood_in`` names what was no real part: with the driver, this is a dry run."""
    found = read_lines(lines)
    gpu = found.get("gpu", [{}])[-1].get("name", "")
    name = (
        DRY_RUN
        if "driver" in stood_in or settings.quick or not gpu
        else re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")
    )
    tests = settings.out / "tests-gpu.txt"
    summary = tests.read_text().strip().splitlines()[-1:] if tests.exists() else []
    return save_result(
        KIND,
        name,
        settings={**settings.model_dump(mode="json", exclude={"work", "out", "root"}), "stood_in": list(stood_in)},
        figures={**found, "gpu_tests": summary[0] if summary else None},
        system=describe_system([]),
        folder=settings.out,
        file=FILE,
    )
