"""`constraints.txt` fits what `pyproject.toml` asks for: whoever installs by it gets an environment that can be had."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def test_every_dependency_has_a_version_that_it_allows() -> None:
    tomllib = pytest.importorskip("tomllib", reason="part of Python from 3.11 on")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    fixed: dict[str, list[str]] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition("==")
            fixed.setdefault(name, []).append(rest.partition(";")[0].strip())
    for text in asked:
        wanted = Requirement(text)
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if name == project["name"] or (wanted.marker and not wanted.marker.evaluate({"sys_platform": sys.platform})):
            continue
        assert name in fixed, f"{text}: make constraints"
        assert any(wanted.specifier.contains(version) for version in fixed[name]), f"{text}: make constraints"
