"""`Detector` as a service uses it: what it takes, closed detectors, threads, the example of the documentation."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from contract_graph import HEIGHT, WIDTH, contract_images, framed, write_contract_bundle

from snl_edge import Detector, Verdict
from snl_edge.contract.graph import Scores
from snl_edge.errors import ConfigError, DataError, EngineError
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.manifest import FrameSpec, InputSpec

CPU_BACKENDS = ("onnxruntime", "openvino")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_contract_bundle(tmp_path_factory.mktemp("service") / "line", max_batch=3)


@pytest.fixture(scope="module")
def detector(made: Bundle) -> Iterator[Detector]:
    with Detector.load(made.path, backend="onnxruntime", threads=1) as loaded:
        yield loaded


def scores(verdicts: list[Verdict]) -> list[float]:
    return [verdict.score for verdict in verdicts]


def test_the_package_gives_them_and_loads_nothing_before() -> None:
    program = (
        "import sys, snl_edge\n"
        "assert not {'numpy', 'cv2', 'torch', 'pydantic', 'onnxruntime'} & set(sys.modules)\n"
        "from snl_edge import Detector, Verdict\n"
        "assert 'torch' not in sys.modules\n"
        "print(Detector.__module__, Verdict.__module__)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["snl_edge.runtime.detector", "snl_edge.runtime.verdict"], done.stderr
    with pytest.raises(ImportError):
        from snl_edge import Detektor  # noqa: F401  # pyright: ignore[reportAttributeAccessIssue]


def test_one_frame_a_sequence_and_an_array_are_taken(detector: Detector) -> None:
    images = contract_images(4)
    expected = scores(detector.detect(list(images)))
    assert scores(detector.detect(images)) == expected
    assert scores(detector.detect(tuple(images))) == expected
    np.testing.assert_allclose(scores(detector.detect(images[2])), expected[2:3], rtol=1e-6)


def test_colours_are_as_they_are_declared(detector: Detector, made: Bundle, tmp_path: Path) -> None:
    images = contract_images(2)
    expected = scores(detector.detect(images, colours="rgb"))
    assert scores(detector.detect(images)) == expected
    bgr = images[..., ::-1]
    assert scores(detector.detect(bgr, colours="bgr")) == expected
    assert scores(detector.detect(bgr)) != expected
    grey = contract_images(2)[..., 0]
    equal = [cv2.cvtColor(one, cv2.COLOR_GRAY2RGB) for one in grey]
    assert scores(detector.detect(grey, colours="grey")) == scores(detector.detect(equal))
    assert len(detector.detect(grey[0], colours="grey")) == 1
    # A graph that was built for BGR frames gets what it was built for, whatever the caller has.
    resizing = framed(made, tmp_path / "bgr", FrameSpec(height=HEIGHT, width=WIDTH, colours="bgr"))
    with Detector.load(resizing.path, backend="onnxruntime", threads=1) as other:
        np.testing.assert_allclose(scores(other.detect(images, colours="rgb")), expected, rtol=1e-4)
        np.testing.assert_allclose(scores(other.detect(bgr)), expected, rtol=1e-4)


def test_16_bits_need_a_depth(detector: Detector, tmp_path: Path) -> None:
    images = contract_images(2)
    wide = np.round(images * (4095 / 255)).astype(np.uint16)
    assert scores(detector.detect(wide, bits=12)) == scores(detector.detect(images))
    with pytest.raises(DataError, match="uint16, and nothing says how many bits.*bits="):
        detector.detect(wide)
    with pytest.raises(DataError, match="frame 0 holds the value .* 10 bits"):
        detector.detect(wide, bits=10)
    with pytest.raises(DataError, match="uint8, and said to have 12 bits"):
        detector.detect(images, bits=12)
    write_contract_bundle(tmp_path / "narrow", input=InputSpec(height=HEIGHT, width=WIDTH, max_batch=2, bits=12))
    with Detector.load(tmp_path / "narrow", backend="onnxruntime", threads=1) as trained:
        assert scores(trained.detect(wide)) == scores(detector.detect(images))


@pytest.mark.parametrize(
    ("images", "declared", "says"),
    [
        (np.zeros((8, 8), np.uint8), {}, r"images are uint8 \[8, 8\].*grey"),
        (np.zeros((8, 8, 3), np.uint8), {"colours": "grey"}, r"frame 0 is uint8 \[8, 3\]|images are"),
        (np.zeros((8, 8, 1), np.uint8), {}, r"frame 0 is uint8 \[8, 8, 1\]"),
        (np.zeros((8, 8, 3), np.float32), {}, r"frame 0 is float32 \[8, 8, 3\]"),
        ("part.png", {}, "images are a str"),
        (iter([]), {}, "images are a list_iterator"),
        (None, {}, "images are a NoneType"),
    ],
)
def test_what_is_not_as_declared_is_refused(detector: Detector, images: Any, declared: dict, says: str) -> None:
    if declared:
        images = images[None]
    with pytest.raises(DataError, match=says) as refused:
        detector.detect(images, **declared)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("declared", [{"colours": "RGB"}, {"bits": 7}, {"bits": 12.0}])
def test_declarations_that_cannot_be_are_refused(detector: Detector, declared: dict) -> None:
    with pytest.raises(ConfigError, match="unknown colours|bits of a 16-bit"):
        detector.detect(contract_images(1), **declared)


def test_verdicts_say_where_and_how_far_above(detector: Detector) -> None:
    frame = np.full((10 * HEIGHT, 10 * WIDTH, 3), 20, np.uint8)
    frame[100:120, 300:330] = 255
    (verdict,) = detector.detect(frame, threshold=1e-3)
    assert verdict.reject
    assert verdict.relation == pytest.approx(verdict.score / 1e-3)
    first = verdict.regions[0]
    assert first.peak == pytest.approx(verdict.score)
    (whole,) = [one.box for one in verdict.regions if one.box.x <= 300 and one.box.x + one.box.width >= 330]
    assert (whole.y <= 100, whole.y + whole.height >= 120, whole.x + whole.width <= 10 * WIDTH) == (True,) * 3
    assert any("times training's threshold" in doubt for doubt in verdict.doubts)
    said = verdict.to_dict()
    assert json.loads(json.dumps(said)) == said
    assert said["regions"][0]["box"] == list(first.box)
    (good,) = detector.detect(frame, threshold=99.0)
    assert (good.kind, good.regions) == ("good", ())


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_a_closed_detector_answers_nothing(made: Bundle, backend: str) -> None:
    pytest.importorskip(backend)
    images = contract_images(2)
    detector = Detector.load(made.path, backend=backend, threads=1)
    other = detector.another()
    expected = scores(other.detect(images))
    detector.close()
    detector.close()

    def nobody(_: Scores) -> list[int]:
        return []

    calls = (
        lambda: detector.detect(images),
        lambda: detector.detect([]),
        lambda: detector.predict(images),
        lambda: detector.inspect(images, nobody),
        detector.another,
        lambda: detector.backend.infer(images),
        lambda: detector.backend.run(images),
        lambda: detector.backend.maps([0]),
        detector.backend.another,
    )
    for call in calls:
        with pytest.raises(EngineError, match=r"^this detector is closed\. Load it again\.$"):
            call()
    assert scores(other.detect(images)) == expected  # what is shared stays with the other
    other.close()


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_threads_and_a_close_in_between(made: Bundle, backend: str) -> None:
    """Calls at once give what they give alone; once closed, every further one is refused and none crashes."""
    pytest.importorskip(backend)
    detector = Detector.load(made.path, backend=backend, threads=1)
    batches = [contract_images(5, seed) for seed in range(6)]
    expected = [scores(detector.detect(batch)) for batch in batches]
    begun = threading.Barrier(5)
    outcomes: list[str] = []

    def work(number: int) -> None:
        begun.wait()
        for turn in range(10_000):
            index = (number + turn) % len(batches)
            try:
                found = scores(detector.detect(batches[index]))
            except EngineError as error:
                outcomes.append(str(error))
                return
            np.testing.assert_allclose(found, expected[index], rtol=1e-6)

    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(work, number) for number in range(4)]
        begun.wait()
        threading.Event().wait(0.05)
        detector.close()
        for call in calls:
            call.result(30)
    assert outcomes == ["this detector is closed. Load it again."] * 4


def test_the_service_of_the_documentation_answers(made: Bundle, detector: Detector) -> None:
    path = Path(__file__).parents[2] / "examples" / "service.py"
    spec = importlib.util.spec_from_file_location("service", path)
    assert spec is not None
    assert spec.loader is not None
    service = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(service)
    server = service.serve(detector, 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        picture = contract_images(1)[0]
        encoded = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()

        def ask(body: bytes) -> tuple[int, dict]:
            request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}/", body)
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return answer.status, json.load(answer)
            except urllib.error.HTTPError as error:
                return error.code, json.load(error)

        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(ask, [encoded] * 6))
        expected = detector.detect(picture)[0].to_dict()
        assert answers == [(200, expected)] * 6
        status, said = ask(b"no picture")
        assert (status, "not a readable image" in said["error"]) == (400, True)
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()
