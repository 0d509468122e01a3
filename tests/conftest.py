"""One small real line, one real trained run and one real bundle, shared by the tests that need them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from warm_commands import WarmCommands

if TYPE_CHECKING:
    import onnx

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

SIZE = 64


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic line of two products in MVTec AD layout."""
    from snl_edge.data.synthetic import PRODUCTS, write_synthetic_line

    root = tmp_path_factory.mktemp("data") / "line"
    write_synthetic_line(root, seed=3, train=8, good=3, defective=4, size=SIZE, products=list(PRODUCTS)[:2])
    return root


@pytest.fixture(scope="session")
def run(line: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder: the edge preset trained for a few steps on ``line``."""
    from snl_edge.data.layouts import open_dataset
    from snl_edge.training.loop import train

    folder = tmp_path_factory.mktemp("runs") / "line"
    train(small_model(), short_training(), open_dataset(line), folder)
    return folder


@pytest.fixture(scope="session")
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of ``run`` with FP32 and FP16 graphs, no engine; another test run may have given its own."""
    if given := os.environ.get("SNL_EDGE_TEST_BUNDLE"):
        return Path(given)
    from snl_edge.bundling.build import build

    return build(
        request.getfixturevalue("run"), tmp_path_factory.mktemp("bundles") / "line", "fp16", engine=False, max_batch=4
    )


@pytest.fixture(scope="session")
def warm_commands() -> Iterator[WarmCommands]:
    commands = WarmCommands()
    yield commands
    commands.close()


@pytest.fixture
def snl_edge(tmp_path: Path, warm_commands: WarmCommands) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line in an empty folder, as a user would; with ``env`` in a process that starts with it."""

    def call(*arguments: object, cwd: Path = tmp_path, timeout: float = 300, env: Mapping[str, str] | None = None):
        given = [str(argument) for argument in arguments]
        if env is None:
            return warm_commands.run(given, cwd, timeout)
        command = [sys.executable, "-m", "snl_edge", *given]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=timeout, env=env)

    return call


def small_model():
    from snl_edge.model.config import override
    from snl_edge.model.presets import preset

    return override(
        preset("edge"), [f"height={SIZE}", f"width={SIZE}", "student.embedding=32", "student.cram.centres=8"]
    )


def short_training(**changes: object):
    from snl_edge.training.config import TrainingConfig

    return TrainingConfig(**{"steps": 12, "batch_size": 4, "device": "cpu", **changes})


@pytest.fixture
def journal(tmp_path):
    """An open journal in its first run."""
    from journals import new_journal

    journal = new_journal(tmp_path / "journal")
    yield journal
    journal.close()


@pytest.fixture
def log(journal):
    """A running log of actuators' outcomes."""
    from snl_edge.stream.outputs.actuators import OutcomeLog

    log = OutcomeLog(journal)
    log.start()
    yield log
    log.stop(5)


def search_products(graph: onnx.GraphProto) -> set[str]:
    """Names of the products that lead to the place of a maximum, of each of the memory's descriptors."""
    makers = {name: node for node in graph.node for name in node.output}
    found, names = set(), [node.input[0] for node in graph.node if node.op_type == "TopK"]
    while names:
        node = makers.get(names.pop())
        if node is not None and node.op_type in ("Reshape", "Add", "MatMul", "Transpose"):
            found |= {node.name} if node.op_type == "MatMul" else set()
            names += node.input
    return found
