"""The architecture page names files and folders that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")


def test_every_file_that_is_named_exists() -> None:
    ours = [path.relative_to(ROOT).as_posix() for folder in _folders() for path in folder.rglob("*.py")]
    named = set(re.findall(r"`([a-z_]+(?:/[a-z_]+)*\.py)`", PAGE))
    assert len(named) > 30
    assert not {name for name in named if not any(own == name or own.endswith(f"/{name}") for own in ours)}


def test_every_package_is_named() -> None:
    packages = {f"snl_edge/{path.parent.name}" for path in (ROOT / "snl_edge").glob("*/__init__.py")}
    assert not {name for name in packages if f"`{name}`" not in PAGE}


def _folders() -> list[Path]:
    return [ROOT / name for name in ("snl_edge", "export", "calibration", "benchmarks", "studies", "tests")]
