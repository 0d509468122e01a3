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
import yaml
from lines import write_parts
from standin.build import CannotBuildError, build

from snl_edge.stream.journal.soundness import check_journal
from studies.small_bundle import write_small_bundle

HERE = Path(__file__).parents[1]
STOOD_IN = "driver and TensorRT stood in for"
SKIPPED = (
    "only TensorRT-RTX compiles kernels when loading",
    "only TensorRT is captured from outside",
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


def assert_nothing_left_over(told: list[dict[str, int]], but: tuple[str, ...] = ()) -> None:
    assert any(line.get("at_exit") for line in told), "the driver did not report: the process did not end well"
    for line in told:
        assert "violation" not in line, line
        if line.get("at_exit") and not line["forked"]:
            assert not any(line[name] for name in (*LEFT_OVER, *FAULTS) if name not in but), line


def passes(environment: dict[str, str], folder: Path, *arguments: object, **changes: str) -> None:
    """Runs pytest with the stand-ins, all results in ``folder``; nothing may be left over at its end."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={HERE.parent}"]
    done = subprocess.run(
        [*command, f"--basetemp={folder / 'inner'}", *arguments],
        env={**environment, "STANDIN_REPORT": str(folder / "report"), **changes},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(f"{STOOD_IN}:\n{done.stdout}{done.stderr}")
    assert done.returncode == 0
    assert_nothing_left_over(reports(folder / "report"))


def test_gpu_tests_pass_on_the_standins(environment: dict[str, str], bundle: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.xml"
    files = HERE / "runtime" / "test_tensorrt_gpu.py", HERE / "standin" / "checks.py"
    passes(environment, tmp_path, *files, f"--junitxml={results}", SNL_EDGE_TEST_BUNDLE=str(bundle))
    cases = list(ET.parse(results).iter("testcase"))
    skipped = [case.find("skipped") for case in cases]
    unexplained = [s.get("message") for s in skipped if s is not None and not s.get("message", "").startswith(SKIPPED)]
    assert not unexplained
    for flavour in ("tensorrt", "tensorrt_rtx"):
        passed = [c for c, s in zip(cases, skipped, strict=True) if s is None and f"[{flavour}" in c.get("name", "")]
        assert len(passed) > 20, f"only {len(passed)} tests of {flavour} ran"


def test_an_integrated_gpu_shares_the_hosts_memory(environment: dict[str, str], tmp_path: Path) -> None:
    chosen = "agrees or alternate or wanted or another_shares or larger_batches"
    passes(environment, tmp_path, HERE / "runtime" / "test_tensorrt_gpu.py", "-k", chosen, STANDIN_INTEGRATED="1")


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


@pytest.mark.parametrize(
    "name",
    [
        "build",
        "several_detectors_and_threads",
        "exit_without_close",
        "exit_by_an_exception",
        "thread_that_loaded_it_ends",
        "thread_dies_in_a_call",
        "daemon_thread_runs_at_exit",
        "forked_child_refuses",
        "forked_child_only_ends",
        "fork_before_the_gpu_is_used",
        "each_call_fails_once",
        "each_call_fails_once_rtx",
        "context_dies_at_each_call",
        "tensorrt_refuses",
        "tensorrt_raises",
        "too_little_memory",
    ],
)
def test_scenario(scenarios: Path, name: str) -> None:
    found = json.loads((scenarios / f"{name}.json").read_text())
    print(f"{STOOD_IN}:\n{found['said']}")
    assert found["status"] == (7 if name == "exit_by_an_exception" else 0)
    assert "Traceback" not in found["said"]
    if name == "context_dies_at_each_call":
        return  # nothing can be freed in a dead context
    # What a daemon thread has just been given, and still reads, is not pulled from under it.
    still_read = ("page_locked",) if name == "daemon_thread_runs_at_exit" else ()
    assert_nothing_left_over(found["reports"], but=still_read)


def test_every_scenario_is_judged(scenarios: Path) -> None:
    marks = next(mark for mark in test_scenario.pytestmark if mark.name == "parametrize")
    judged = {getattr(one, "values", (one,))[0] for one in marks.args[1]}
    assert judged == {path.stem for path in scenarios.glob("*.json")}


def test_a_lost_gpu_fails_every_part_safe_and_ends_the_line_at_once(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """An illegal address leaves a context in which nothing works; the service's next start gets a fresh one."""
    parts, lost_at = 40, 25
    small = write_small_bundle(tmp_path / "small", 64).path
    write_parts(tmp_path / "parts", parts)
    config = {
        "bundle": str(small),
        "engine": {"backend": "tensorrt", "in_flight": 2, "max_batch": 1},
        "cameras": [{"name": "camera", "source": {"type": "folder", "path": str(tmp_path / "parts")}}],
        "queue": {"policy": "block"},
        "journal": {"folder": str(tmp_path / "journal"), "pictures": {"min_free_gib": 0}},
        "dashboard": None,
    }
    (tmp_path / "line.yaml").write_text(yaml.safe_dump(config))

    def call(*arguments: object, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "snl_edge", *map(str, arguments)],
            env={**environment, "XDG_CACHE_HOME": str(tmp_path / "cache"), **changes},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    built = call("build", small, "--precision", "fp32", "--flavour", "tensorrt")
    assert built.returncode == 0, built.stderr
    # Four of these calls make two lanes ready; then each part takes one, and one more for a map that is wanted.
    ran = call("stream", "run", tmp_path / "line.yaml", STANDIN_FAIL=f"cuStreamSynchronize:{lost_at}:700:1")
    print(f"{STOOD_IN}:\n{ran.stdout}{ran.stderr}")
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert "snl-edge: GPU 0 takes no more work in this process: " in ran.stderr
    assert "Start the process again" in ran.stderr
    report = check_journal(tmp_path / "journal")
    assert report.consistent
    (camera,) = report.cameras
    # How many pictures were taken before the line ended depends on the machine; each of them has its record.
    assert (camera.parts <= parts, camera.missing) == (True, 0)
    assert camera.verdicts["good"] > 0
    assert camera.verdicts["failsafe"] > 0
    assert camera.verdicts["good"] + camera.verdicts["failsafe"] == camera.parts
    again = call("stream", "run", tmp_path / "line.yaml")
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize("integrated", ["0", "1"])
def test_a_gpu_that_shares_the_processors_memory_is_known_by_its_driver(
    environment: dict[str, str], integrated: str
) -> None:
    program = (
        "from snl_edge.export.workspace import memory_limits; from snl_edge.runtime.gpu import gpu; "
        "found = gpu(0); print(found.integrated, memory_limits(found).tactic_dram == found.memory_bytes // 2)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "STANDIN_INTEGRATED": integrated},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == (["True"] * 2 if integrated == "1" else ["False"] * 2), done.stderr
