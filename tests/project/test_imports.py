"""Ways to import that import-linter does not see: by the lazy names of the package, and by text.

What runs without torch is held by ``[tool.importlinter]`` in ``pyproject.toml`` and by ``test_edge_install.py``.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.everywhere

ROOT = Path(__file__).parents[2]
FOLDERS = {"snl_edge": "snl_edge", **{name: f"snl_edge.{name}" for name in ("export", "calibration", "benchmarks")}}
BY_TEXT = {
    "snl_edge/lazy.py": "the public names, whose modules stand in the tables of snl_edge and snl_edge.plugins",
    "snl_edge/runtime/backend.py": "packages of others: which version is installed",
    "snl_edge/runtime/tensorrt_flavour.py": "one of two packages of others",
    "benchmarks/worker.py": "the subject of a measurement, in a process of its own; studies bring more",
}
"""Files that import modules by their names as text, and which."""


def sources() -> Iterator[tuple[str, str, ast.Module]]:
    """File, package it belongs to, and content."""
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            inner = path.relative_to(ROOT / folder).parent.parts
            tree = ast.parse(path.read_text(encoding="utf-8"))
            yield path.relative_to(ROOT).as_posix(), ".".join((package, *inner)), tree


def is_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def lazily_imported(package: str, tree: ast.Module) -> Iterator[str]:
    """What comes from the root of the package, and is no module of it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == "snl_edge")
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            if module == "snl_edge.plugins":
                yield from (alias.name for alias in node.names)
            elif module == "snl_edge":
                yield from (alias.name for alias in node.names if not is_module(f"{module}.{alias.name}"))


def test_nothing_inside_the_package_imports_its_lazy_names() -> None:
    """They would hide from the layers what a module depends on."""
    found = {file: names for file, package, tree in sources() if (names := sorted(lazily_imported(package, tree)))}
    assert found == {}


def test_the_search_finds_what_it_looks_for() -> None:
    for package, text in (
        ("snl_edge.runtime", "from snl_edge import Detector"),
        ("snl_edge.runtime", "from .. import Detector"),
        ("snl_edge", "from . import Detector"),
        ("snl_edge", "from .plugins import Source"),
        ("snl_edge", "def f():\n    import snl_edge"),
    ):
        assert list(lazily_imported(package, ast.parse(text))), text
    assert not list(lazily_imported("snl_edge.runtime", ast.parse("from .. import provenance")))


def test_modules_are_imported_by_text_where_it_is_known() -> None:
    found: set[str] = set()
    for file, _, tree in sources():
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        called = {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}
        if called & {"import_module", "__import__"}:
            found.add(file)
    assert found == set(BY_TEXT)
