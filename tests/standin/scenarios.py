"""What may happen to a process that has engines on a GPU, each in a process of its own.

They are forked from one that has done the imports, but not ONNX Runtime's: a process forked after that one never ends
(1.32 waits for a thread that it does not have).

``python scenarios.py FOLDER [NAME ...]`` runs every scenario, or those named, with the stand-ins, and writes
``FOLDER/NAME.json``: exit status, what it printed, and the driver's reports. The first one makes the bundle.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from children import in_child, run
from pycuda import driver as _pycuda  # noqa: F401 # pyright: ignore[reportMissingImports]
from standin_trt import driver, faults

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.append(str(Path(__file__).parents[2]))
from contract_graph import contract_images, write_contract_bundle

from snl_edge.errors import SnlEdgeError
from snl_edge.export.engine import build_bundle_engine
from snl_edge.runtime.detector import Detector

FLAVOURS = ("tensorrt", "tensorrt_rtx")
IMAGES = contract_images(3)
LIVE = ("device_allocations", "page_locked", "streams", "events", "graphs", "graph_execs")
ONE_SHOT, STICKY = 0, 1
KEPT: list[Detector] = []
"""Detectors that nobody closes."""
OUT_OF_MEMORY, ILLEGAL_ADDRESS, UNKNOWN = 2, 700, 999


def live() -> dict[str, int]:
    """What is on the device now."""
    gc.collect()
    return {name: driver.count_of(name) for name in LIVE}


def load(folder: Path, flavour: str = "tensorrt", **options: object) -> Detector:
    return Detector.load(folder / "line", backend=flavour, precision="fp16", **options)


def expected(folder: Path) -> np.ndarray:
    return np.load(folder / "scores.npy")


def check(folder: Path, detector: Detector) -> None:
    np.testing.assert_allclose(detector.predict(IMAGES).score, expected(folder), atol=2e-2)


# --- scenarios ----------------------------------------------------------------------------------------------------
def build(folder: Path) -> None:
    bundle = write_contract_bundle(folder / "line", max_batch=2)
    for flavour in FLAVOURS:
        build_bundle_engine(bundle, precision="fp16", flavour=flavour)
    with Detector.load(folder / "line", backend="onnxruntime", precision="fp32") as reference:
        np.save(folder / "scores.npy", reference.predict(IMAGES).score)


def several_detectors_and_threads(folder: Path) -> None:
    faults_seen: list[BaseException] = []

    def work(flavour: str) -> None:
        try:
            with load(folder, flavour) as own:
                for _ in range(10):
                    check(folder, own)
                    check(folder, shared)
        except BaseException as error:
            faults_seen.append(error)

    with load(folder) as shared:
        threads = [threading.Thread(target=work, args=(flavour,)) for flavour in (*FLAVOURS, *FLAVOURS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    if faults_seen:
        raise faults_seen[0]


def exit_without_close(folder: Path) -> None:
    for flavour in FLAVOURS:
        KEPT.append(load(folder, flavour))
        check(folder, KEPT[-1])


def exit_by_an_exception(folder: Path) -> None:
    exit_without_close(folder)
    sys.exit(7)


def thread_that_loaded_it_ends(folder: Path) -> None:
    thread = threading.Thread(target=exit_without_close, args=(folder,))
    thread.start()
    thread.join(60)


def thread_dies_in_a_call(folder: Path) -> None:
    def work() -> None:
        driver.arm("cuStreamSynchronize", 1, OUT_OF_MEMORY, ONE_SHOT)
        with suppress(SnlEdgeError):
            detector.predict(IMAGES)
            raise AssertionError("the call that had to fail did not")

    detector = load(folder)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    check(folder, detector)


def daemon_thread_runs_at_exit(folder: Path) -> None:
    KEPT.append(load(folder))
    begun = threading.Event()

    def work() -> None:
        while True:
            KEPT[0].predict(IMAGES)
            begun.set()

    threading.Thread(target=work, daemon=True).start()
    begun.wait(60)


def forked_child_refuses(folder: Path) -> None:
    def use() -> None:
        try:
            detector.predict(IMAGES)
        except SnlEdgeError as error:
            print("refused:", error)
            detector.close()
            return
        raise AssertionError("a forked child must not use the GPU that its parent opened")

    detector = load(folder)
    check(folder, detector)
    status, said = in_child(folder, use, whole=False)
    assert status == 0, said
    assert said.startswith("refused:"), said
    assert said.count("\n") == 1, said
    check(folder, detector)  # the parent's is none the worse


def forked_child_only_ends(folder: Path) -> None:
    detector = load(folder)
    status, said = in_child(folder, gc.collect, whole=False)
    assert (status, said) == (0, "")
    check(folder, detector)


def fork_before_the_gpu_is_used(folder: Path) -> None:
    def work() -> None:
        with load(folder) as detector:
            check(folder, detector)

    for _ in range(2):
        status, said = in_child(folder, work)
        assert (status, said) == (0, "")


def _course(folder: Path, flavour: str) -> str:
    """Load, infer, close: what it came to. A result that is given must be right, also after a call that failed."""
    try:
        detector = load(folder, flavour)
    except SnlEdgeError:
        return "refused to load"
    outcome = "passed" + " without CUDA graphs" * ("without CUDA graphs (" in detector.backend_reason)
    for _ in range(2):
        try:
            check(folder, detector)
        except SnlEdgeError:
            outcome = "refused to infer"
    try:
        detector.close()
    except SnlEdgeError:
        outcome = "refused to close"
    return outcome


def _calls_of_a_course(folder: Path, flavour: str) -> int:
    before = driver.count_of("calls")
    assert _course(folder, flavour) == "passed"
    return driver.count_of("calls") - before


def _each_call_fails_once(folder: Path, flavour: str, code: int) -> None:
    calls = _calls_of_a_course(folder, flavour)
    before, outcomes, wrong = live(), {}, []
    for nth in range(1, calls + 1):
        driver.arm("*", nth, code, ONE_SHOT)
        try:
            outcome = _course(folder, flavour)
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
            wrong.append(f"call {nth} of {calls}: {outcome}")
        driver.disarm()
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        if live() != before:
            wrong.append(f"call {nth} of {calls}: left over {live()} instead of {before}")
            before = live()
    print(outcomes)
    assert set(outcomes) >= {"refused to load", "refused to infer"}, outcomes
    assert not wrong, "\n".join(wrong)


def each_call_fails_once(folder: Path) -> None:
    _each_call_fails_once(folder, "tensorrt", UNKNOWN)


def each_call_fails_once_rtx(folder: Path) -> None:
    _each_call_fails_once(folder, "tensorrt_rtx", OUT_OF_MEMORY)


def context_dies_at_each_call(folder: Path) -> None:
    """A sticky error at every call in turn, each in a child: errors of ours alone, and a clean exit."""
    import onnxruntime  # noqa: F401 - once for all children, which therefore run finalisers and no more

    counted = folder / "calls"
    in_child(folder, lambda: counted.write_text(str(_calls_of_a_course(folder, "tensorrt"))), whole=False)
    calls, wrong = int(counted.read_text()), []
    for nth in range(1, calls + 1):
        said = folder / "died"

        def die(nth: int = nth, said: Path = said) -> None:
            driver.arm("*", nth, ILLEGAL_ADDRESS, STICKY)
            said.write_text(_course(folder, "tensorrt"))

        status, text = in_child(folder, die, whole=False)
        # A fault while closing concerns no part: it is only said.
        told = said.read_text().startswith("refused") or "GPU 0 takes no more work" in text
        if status or "Traceback" in text or not told:
            wrong.append(f"call {nth} of {calls}: exit {status}, {said.read_text()}, {text[-300:]}")
    assert not wrong, f"{len(wrong)} of {calls}\n" + "\n".join(wrong[:5])


def tensorrt_refuses(folder: Path) -> None:
    for flavour in FLAVOURS:
        _tensorrt_fails(folder, flavour, "refuse")


def tensorrt_raises(folder: Path) -> None:
    for flavour in FLAVOURS:
        _tensorrt_fails(folder, flavour, "raise")


def _tensorrt_fails(folder: Path, flavour: str, how: str) -> None:
    assert _course(folder, flavour) == "passed"
    before, wrong = live(), []
    at_load = ("deserialize_cuda_engine", "create_execution_context", "set_tensor_address", "set_input_shape")
    orders = [(call, 1) for call in at_load] + [("execute_async_v3", nth) for nth in range(1, 5)]
    for call, nth in orders:
        faults.arm(call, nth, how)
        try:
            outcome = _course(folder, flavour)
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        faults.disarm()
        # A graph that cannot be captured is said, and each launch is then made by itself.
        if not outcome.startswith("refused") and outcome != "passed without CUDA graphs":
            wrong.append(f"{call} {nth}: {outcome}")
        if live() != before:
            wrong.append(f"{call} {nth}: left over {live()} instead of {before}")
            before = live()
    assert not wrong, "\n".join(wrong)


def too_little_memory(folder: Path) -> None:
    for kibibytes in (0, 100, 400):
        os.environ["STANDIN_MEMORY_KIB"] = str(kibibytes)
        with suppress(SnlEdgeError):
            load(folder)
            raise AssertionError(f"loaded into {kibibytes} KiB")
    os.environ["STANDIN_MEMORY_KIB"] = "65536"
    with load(folder) as detector:
        check(folder, detector)
    assert not any(live().values()), live()


SCENARIOS: tuple[Callable[[Path], None], ...] = (
    several_detectors_and_threads,
    exit_without_close,
    exit_by_an_exception,
    thread_that_loaded_it_ends,
    thread_dies_in_a_call,
    daemon_thread_runs_at_exit,
    forked_child_refuses,
    forked_child_only_ends,
    fork_before_the_gpu_is_used,
    each_call_fails_once,
    each_call_fails_once_rtx,
    context_dies_at_each_call,
    tensorrt_refuses,
    tensorrt_raises,
    too_little_memory,
)


def main(folder: Path, only: Sequence[str]) -> None:
    gc.freeze()  # what was imported is no garbage: collections are many, and quick
    for scenario in (build, *(one for one in SCENARIOS if not only or one.__name__ in only)):
        report = folder / f"{scenario.__name__}.report"
        os.environ["STANDIN_REPORT"] = str(report)
        begun = time.monotonic()
        status, said = in_child(folder, lambda scenario=scenario: scenario(folder))
        reports = [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []
        result = {"status": status, "said": said, "reports": reports, "seconds": round(time.monotonic() - begun, 2)}
        (folder / f"{scenario.__name__}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    run(lambda: main(Path(sys.argv[1]), sys.argv[2:]))
