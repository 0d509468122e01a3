"""Modules that a study starts by itself say what they are when a person starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("module", "wrong"),
    [
        ("studies.gpu_proof.step", ()),
        ("studies.gpu_proof.step", ("no-such-step",)),
        ("studies.gpu_proof.step", ("driver",)),  # without the settings that the run hands over
        ("studies.hostile.child", ()),
        ("studies.hostile.child", ("no-such-parser", "1", "0", "1", "found.jsonl")),
        ("studies.hostile.commands", ("surplus",)),
    ],
)
def test_a_step_that_is_called_wrongly_says_how(module: str, wrong: tuple[str, ...]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SNL_EDGE")}
    for words, status in ((("--help",), 0), (wrong, 2)):
        command = [sys.executable, "-m", module, *words]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment, check=False
        )
        assert done.returncode == status, done.stderr
        said = done.stderr if status else done.stdout
        assert said.startswith(f"usage: {module} ")
        assert "Traceback" not in done.stderr
