"""The TensorRT path without a GPU: driver and TensorRT stood in for (tests/standin), the rest real, pycuda included.

The stand-in driver must be on the loader's path before Python starts, hence processes of their own. A real GPU runs
``test_tensorrt_gpu.py`` itself. What the stand-ins cannot tell: TensorRT's own results, its speed, the GPU's timing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from standin.build import CannotBuildError, build

HERE = Path(__file__).parent
STOOD_IN = "driver and TensorRT stood in for"
SKIPPED = (
    "only TensorRT-RTX compiles kernels when loading",
    "no cuBLAS here",  # the ceilings are a GPU's own
)
LEFT_OVER = ("device_allocations", "page_locked", "streams", "events", "graphs", "graph_execs", "contexts")
FAULTS = ("violations", "threads_ended_with_context")


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """For a Python that finds the stand-ins. What is done on a stream waits until the stream is waited for."""
    try:
        found = build()
    except CannotBuildError as error:
        pytest.skip(f"the stand-ins cannot be built: {error}")
    return {**os.environ, **found, "STANDIN_DELAYED": "1", "OMP_NUM_THREADS": "1"}


def reports(path: Path) -> list[dict[str, int]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_nothing_left_over(told: list[dict[str, int]]) -> None:
    assert any(line.get("at_exit") for line in told), "the driver did not report: the process did not end well"
    for line in told:
        assert "violation" not in line, line
        if line.get("at_exit") and not line["forked"]:
            assert not any(line[name] for name in (*LEFT_OVER, *FAULTS)), line


def test_gpu_tests_pass_on_the_standins(environment: dict[str, str], bundle: Path, tmp_path: Path) -> None:
    report, results = tmp_path / "report", tmp_path / "results.xml"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", HERE / "test_tensorrt_gpu.py", HERE / "standin" / "checks.py"),
            *(
                "-q",
                "-p",
                "no:cacheprovider",
                f"--rootdir={HERE.parent}",
                f"--junitxml={results}",
                f"--basetemp={tmp_path / 'inner'}",
            ),
        ],
        env={**environment, "STANDIN_REPORT": str(report), "SNL_EDGE_TEST_BUNDLE": str(bundle)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(f"{STOOD_IN}:\n{done.stdout}{done.stderr}")
    assert done.returncode == 0
    cases = list(ET.parse(results).iter("testcase"))
    skipped = [case.find("skipped") for case in cases]
    unexplained = [s.get("message") for s in skipped if s is not None and not s.get("message", "").startswith(SKIPPED)]
    assert not unexplained
    for flavour in ("tensorrt", "tensorrt_rtx"):
        passed = [c for c, s in zip(cases, skipped, strict=True) if s is None and f"[{flavour}" in c.get("name", "")]
        assert len(passed) > 20, f"only {len(passed)} tests of {flavour} ran"
    assert_nothing_left_over(reports(report))


@pytest.fixture(scope="module")
def scenarios(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what became of each scenario."""
    folder = tmp_path_factory.mktemp("scenarios")
    done = subprocess.run(
        [sys.executable, HERE / "standin" / "scenarios.py", folder],
        env={**environment, "XDG_CACHE_HOME": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def later(name: str, reason: str) -> object:
    return pytest.param(name, marks=pytest.mark.xfail(strict=True, reason=reason))


LATE = "weakref's own exit hook runs first, if no finalizer was made before the first context: nothing is freed"


@pytest.mark.parametrize(
    "name",
    [
        "build",
        "several_detectors_and_threads",
        later("exit_without_close", LATE),
        later("exit_by_an_exception", LATE),
        later("thread_that_loaded_it_ends", LATE),
        "thread_dies_in_a_call",
        "daemon_thread_runs_at_exit",
        "forked_child_refuses",
        "forked_child_only_ends",
        "fork_before_the_gpu_is_used",
        "each_call_fails_once",
        "each_call_fails_once_rtx",
        "context_dies_at_each_call",
        "tensorrt_refuses",
        later("tensorrt_raises", "an exception of TensorRT's bindings is passed on as it is"),
        "too_little_memory",
    ],
)
def test_scenario(scenarios: Path, name: str) -> None:
    found = json.loads((scenarios / f"{name}.json").read_text())
    print(f"{STOOD_IN}:\n{found['said']}")
    assert found["status"] == (7 if name == "exit_by_an_exception" else 0)
    assert "Traceback" not in found["said"]
    assert_nothing_left_over(found["reports"])


def test_every_scenario_is_judged(scenarios: Path) -> None:
    marks = next(mark for mark in test_scenario.pytestmark if mark.name == "parametrize")
    judged = {getattr(one, "values", (one,))[0] for one in marks.args[1]}
    assert judged == {path.stem for path in scenarios.glob("*.json")}
