"""``from snl_edge import …``: the names, what asking for them costs, and that the command line goes the same way."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import snl_edge
from snl_edge import errors, plugins, progress
from snl_edge.errors import CheckpointError, SnlEdgeError

PUBLIC = [name for name in snl_edge.__all__ if name != "__version__"]

WITHOUT_TORCH = """
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "timm", "safetensors", "onnx", "onnxsim", "matplotlib", "scipy"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

before = set(sys.modules)
import snl_edge
loaded = {name.split(".")[0] for name in set(sys.modules) - before}
assert loaded <= {"snl_edge", "typing", "__future__"}, loaded
sys.meta_path.insert(0, Refuse())
for name in snl_edge.__all__:
    getattr(snl_edge, name)
for call in (lambda: snl_edge.train("parts", "run"), lambda: snl_edge.load_run("run")):
    try:
        call()
    except snl_edge.SnlEdgeError as error:
        print(error)
"""


def test_importing_loads_nothing_and_no_name_needs_torch_but_a_call_says_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 2
    assert all("needs torch, timm" in line and 'pip install "snl-edge[train]"' in line for line in said)


@pytest.mark.parametrize("name", PUBLIC)
def test_no_module_hides_a_public_name(name: str) -> None:
    """``import snl_edge.build`` would put the module in the function's place."""
    assert importlib.util.find_spec(f"snl_edge.{name}") is None
    assert inspect.getdoc(getattr(snl_edge, name))


def test_checkers_completion_and_the_package_know_the_same_names() -> None:
    tree = ast.parse(Path(snl_edge.__file__).read_text(encoding="utf-8"))
    (checked,) = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [alias for node in ast.walk(checked) if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(alias.asname or alias.name for alias in imports) == sorted(snl_edge.__all__)
    assert set(snl_edge.__all__) <= set(dir(snl_edge))
    with pytest.raises(AttributeError, match="no attribute 'bulid'"):
        snl_edge.bulid  # noqa: B018


def test_pages_and_examples_import_what_is_public() -> None:
    """From the package itself and from ``snl_edge.plugins``; other modules than the errors' are not what is shown."""
    root = Path(__file__).parents[2]
    pages = [root / "README.md", root / "docs/api.md", root / "docs/infer.md", *(root / "examples").rglob("*.py")]
    found = [
        (page.name, module, name.strip())
        for page in pages
        for module, names in re.findall(r"from (snl_edge[\w.]*) import ([\w, ]+)", page.read_text(encoding="utf-8"))
        for name in names.split(",")
    ]
    assert len(found) > 20
    homes = {
        "snl_edge": snl_edge,
        "snl_edge.plugins": plugins,
        "snl_edge.errors": errors,
        "snl_edge.progress": progress,
    }
    for page, module, name in found:
        public = getattr(homes[module], "__all__", dir(homes[module]))
        assert name in public, f"{page}: from {module} import {name}"


def test_from_a_folder_to_a_bundle_to_verdicts(line: Path, run: Path, tmp_path: Path) -> None:
    loaded = snl_edge.load_run(run)
    assert loaded.products == snl_edge.open_dataset(line).products
    assert next(loaded.model().parameters()).device.type == "cpu"

    found = snl_edge.evaluate(str(run), line, report=tmp_path / "report")
    assert set(found.evaluation.products) == set(loaded.products)
    assert found.page is not None
    assert found.page.is_file()
    assert found.robustness is None

    seen = snl_edge.check(line, page=tmp_path / "page.html")
    assert (seen.faults, seen.page) == ((), tmp_path / "page.html")
    assert seen.summary.endswith(f"0 faults, {len(seen.doubts)} doubt{'' if len(seen.doubts) == 1 else 's'}")

    bundle = snl_edge.build(run, tmp_path / "bundle", "fp32", engine=False)
    with snl_edge.Detector.load(bundle.path) as detector:
        picture = snl_edge.read_image(next((line / loaded.products[0] / "test" / "good").iterdir()))
        (verdict,) = detector.detect(picture)
    assert isinstance(verdict, snl_edge.Verdict)


def test_what_cannot_be_used_is_an_error_of_the_family(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        snl_edge.load_run(tmp_path)
    for call in (snl_edge.open_dataset, lambda path: snl_edge.evaluate(path, path), snl_edge.build):
        with pytest.raises(SnlEdgeError):
            call(tmp_path)


def test_the_command_line_goes_the_same_way(monkeypatch: pytest.MonkeyPatch, line: Path, tmp_path: Path) -> None:
    """Its commands call the functions that are public here, with what was written in the shell."""
    from typer.testing import CliRunner

    from snl_edge.cli import app

    class Called(Exception):  # noqa: N818
        pass

    def note(name: str):
        def call(*arguments: object, **options: object) -> None:
            raise Called(name, arguments, options)

        return call

    for name in ("train", "evaluate", "build", "check", "calibrate", "ignore"):
        public = getattr(snl_edge, name)
        home = sys.modules[public.__module__]
        assert getattr(home, name) is public
        monkeypatch.setattr(home, name, note(name))

    def called(*words: object) -> tuple:
        ended = CliRunner().invoke(app, [str(word) for word in words]).exception
        assert isinstance(ended, Called), ended
        return ended.args

    name, (data, out), options = called("train", line, "--out", tmp_path, "--size", "64", "--steps", "3")
    assert (name, data.root, out) == ("train", line, tmp_path)
    assert options["model"].size == (64, 64)
    assert options["training"].steps == 3
    name, (model, data), options = called("evaluate", line, "--model", tmp_path, "--threshold", "0.4")
    assert (name, model, data.root, options["threshold"]) == ("evaluate", tmp_path, line, 0.4)
    name, (source, out, precision), options = called("build", tmp_path, "--precision", "auto", "--onnx-only")
    assert (name, source, out, precision, options["engine"]) == ("build", tmp_path, None, "auto", False)
    name, (data,), options = called("check", line, "--out", tmp_path)
    assert (name, data.root, options["page"]) == ("check", line, tmp_path / "index.html")
    name, (source, data), options = called("calibrate", line, "--model", tmp_path, "--images", "4")
    assert (name, source, data.root, options["images"]) == ("calibrate", tmp_path, line, 4)
    name, (source, data, product), options = called("ignore", tmp_path, "--product", "gear", "--clear", "--data", line)
    assert (name, source, data.root, product, options["clear"]) == ("ignore", tmp_path, line, "gear", True)
