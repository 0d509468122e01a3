"""Every argument of the public functions, given what it cannot be: one line of the family, before any work."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest
from contract_graph import write_contract_bundle

import snl_edge
from snl_edge import errors
from snl_edge.errors import ConfigError, SnlEdgeError

NO_PATH: tuple[object, ...] = (b"parts", 3, ["parts"], "", "a\0b", "n" * 300, "/n" * 3000, "\ud800")
NO_TEXT: tuple[object, ...] = (b"x", 3, ["x"])
NO_SWITCH: tuple[object, ...] = ("no", 1, None)
NO_COUNT: tuple[object, ...] = ("x", 1.5, True, 0, 10**20)
OF = {
    "path": (None, *NO_PATH),
    "optional path": NO_PATH,
    "text": (None, *NO_TEXT),
    "optional text": NO_TEXT,
    "texts": (b"x", 3, [3], None, np.array("x")),
    "switch": NO_SWITCH,
    "count": NO_COUNT,
    "data": (b"parts", 3, None, "n" * 300),
}
FUNCTIONS: dict[str, dict[str, str | tuple[object, ...]]] = {
    "train": {
        "data": "data",
        "out": "path",
        "model": (b"edge", 3, {"height": 64}, "none such"),
        "settings": (b"x", 3, [3], None, "no=such=thing"),
        "training": ({"steps": 3}, "steps=3", 3, False),
        "cluster": NO_TEXT,
        "ignore": "optional path",
        "resume": "switch",
        "replace": "switch",
        "start_from": "optional path",
        "review": "optional path",
        "log": (b"mlflow", 3, None, "wandb", ["wandb"], [3]),
    },
    "load_run": {"path": "path"},
    "evaluate": {
        "model": "path",
        "data": "data",
        "report": "optional path",
        "backend": (3, None, b"auto", "", "nonsense"),
        "threshold": ("x", True, 0, float("nan"), [0.5]),
        "robustness": "switch",
        "log": (b"mlflow", 3, None, "wandb"),
    },
    "build": {
        "source": "path",
        "out": "optional path",
        "precision": ("fp8", 16, None, ["fp16"]),
        "data": (b"parts", 3, "n" * 300),
        "calibration": "optional path",
        "force": "switch",
        "engine": "switch",
        "frame": ((3, 4), "640x480", 3),
        "max_batch": "count",
        "opt_batch": "count",
        "flavour": ("cuda", 3, ["tensorrt"]),
        "compute_capabilities": (8.6, [8.6], b"8.6"),
        "workspace_bytes": "count",
    },
    "calibrate": {
        "run": "path",
        "data": "data",
        "out": "optional path",
        "images": "count",
        "seed": ("x", -1, 2**32, 0.5, None),
        "sensitivity": "switch",
    },
    "check": {"data": "data", "page": "optional path", "bits": "count"},
    "ignore": {
        "run": "path",
        "data": "data",
        "product": "text",
        "mask": "optional path",
        "polygons": (b"x", 3, [3], None),
        "clear": "switch",
    },
    "open_dataset": {"root": "path", "layout": ("none", 3, ["mvtec"]), "products": (b"x", 3, [3]), "trains": "switch"},
    "preset": {"name": ("none", 3, None, ["edge"], {})},
    "read_image": {"path": "path", "bits": ("x", 7, 17, 8.0, True)},
    "decode_image": {"encoded": ("x", None, 3, bytearray(b"x"), [1])},
}


def cases() -> list[Any]:
    found = []
    for function, arguments in FUNCTIONS.items():
        for name, wrong in arguments.items():
            for value in OF[wrong] if isinstance(wrong, str) else wrong:
                shown = repr(value)
                found.append(pytest.param(function, name, value, id=f"{function}-{name}-{shown[:20]}"))
    return found


@pytest.fixture(scope="module")
def right(line: Path, run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each function takes where nothing is wrong but the one argument that is tried."""
    folder = tmp_path_factory.mktemp("right")
    return {
        "train": {"data": line, "out": folder / "run"},
        "load_run": {},
        "evaluate": {"model": run, "data": line},
        "build": {"source": run, "out": folder / "bundle", "engine": False},
        "calibrate": {"run": run, "data": line, "out": folder / "table.json"},
        "check": {"data": line},
        "ignore": {"run": run, "data": line, "product": snl_edge.load_run(run).products[0], "clear": True},
        "open_dataset": {"root": line},
        "preset": {},
        "read_image": {"path": next(line.rglob("*.png"))},
        "decode_image": {"name": "the picture"},
    }


@pytest.mark.parametrize(("function", "name", "value"), cases())
def test_a_wrong_argument_is_one_line(
    function: str,
    name: str,
    value: object,
    right: dict[str, dict[str, Any]],
    line: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def worked(*_: object, **__: object) -> None:
        raise AssertionError("it began to work")

    for work in (
        "snl_edge.training.loop.train",
        "snl_edge.evaluation.run.evaluate_model",
        "snl_edge.bundling.build.build",
        "snl_edge.calibration.measure.calibrate_run",
        "snl_edge.training.ignored.change_regions",
        "snl_edge.data.check.survey",
    ):
        monkeypatch.setattr(work, worked)
    call: Callable[..., object] = getattr(snl_edge, function)
    with pytest.raises(SnlEdgeError) as raised:
        call(**{**right[function], name: value})
    assert "\n" not in str(raised.value)


def test_every_argument_is_tried() -> None:
    public = {name: getattr(snl_edge, name) for name in snl_edge.__all__}
    functions = {name for name, value in public.items() if inspect.isfunction(value)}
    assert functions == set(FUNCTIONS)
    for name in functions:
        untried = set(inspect.signature(public[name]).parameters) - set(FUNCTIONS[name])
        assert untried <= {"name"}, name  # of an encoded picture: shown as it is, whatever it is


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("bundle", value) for value in (None, *NO_PATH)],
        *[("max_batch", value) for value in NO_COUNT],
        *[("threads", value) for value in NO_COUNT],
        *[("device", value) for value in ("x", -1, None, 0.5)],
        *[("backend", value) for value in ("x", None, 3, ["auto"])],
        *[("precision", value) for value in ("x", None, 3, ["auto"])],
        *[("trust", value) for value in ("x", 3, "keys")],
    ],
)
def test_a_detector_is_not_loaded_with_what_cannot_be(name: str, value: object, tmp_path: Path) -> None:
    given: dict[str, Any] = {"bundle": write_contract_bundle(tmp_path / "bundle").path}
    with pytest.raises(SnlEdgeError) as raised:
        snl_edge.Detector.load(**{**given, name: value})
    assert "\n" not in str(raised.value)


def test_one_logger_is_one_not_its_letters(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="TensorBoard's files have no place"):
        snl_edge.evaluate(tmp_path, tmp_path, log="tensorboard")


def test_a_report_that_cannot_be_written_is_told_before_anything_is_measured(
    run: Path, line: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*_: object, **__: object) -> None:
        raise AssertionError("it was measured first")

    monkeypatch.setattr("snl_edge.evaluation.run.evaluate_model", measure)
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "metrics.json").mkdir(parents=True)
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "taken"):
        with pytest.raises(errors.OutputError, match="cannot write"):
            snl_edge.evaluate(run, line, report=place)
    assert not (tmp_path / "new").exists()
    with pytest.raises(AssertionError, match="measured first"):
        snl_edge.evaluate(run, line, report=tmp_path / "new" / "below")
    assert not (tmp_path / "new").exists()  # looking makes nothing


def test_a_configuration_that_cannot_be_is_a_value_error_of_pydantic() -> None:
    """As docs/api.md says: constructors of configurations are pydantic's, functions raise errors of ours."""
    with pytest.raises(pydantic.ValidationError, match="steps"):
        snl_edge.TrainingConfig(steps=0)
    with pytest.raises(ConfigError, match="height"):
        snl_edge.train("parts", "run", settings="height=65")


def test_a_run_is_not_said_to_have_run_on_a_backend(run: Path, line: Path) -> None:
    with pytest.raises(ConfigError, match="backend openvino cannot run"):
        snl_edge.evaluate(run, line, backend="openvino")


@pytest.mark.parametrize("device", ["", 5, [1], "cuda:99", "meta device"])
def test_a_device_that_is_not_there_is_one_line(run: Path, device: Any) -> None:
    with pytest.raises(ConfigError, match="device cannot be") as told:
        snl_edge.load_run(run).model(device)
    assert "\n" not in str(told.value)


def test_a_run_is_not_put_into_a_bundle(bundle: Path, line: Path) -> None:
    before = sorted(path.name for path in bundle.iterdir())
    for replace in (False, True):
        with pytest.raises(errors.OutputError, match="is a bundle"):
            snl_edge.train(line, bundle, replace=replace)
    assert sorted(path.name for path in bundle.iterdir()) == before
