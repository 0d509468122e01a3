"""Every example runs, as its first lines say, on drawn parts; and what plug-ins promise and do not keep is refused.

The service is in test_service_python.py, the lines' files in test_packaging.py and test_stream_parts.py.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from contract_graph import contract_images, write_contract_bundle

from snl_edge import plugins
from snl_edge.entry_points import load_plugin
from snl_edge.errors import CameraError, ConfigError
from snl_edge.stream.config.line_config import LineConfig, read_config
from snl_edge.stream.outputs.sinks.plugin import PluginSink, PluginTransport
from snl_edge.stream.sources.plugin import PluginSettings, PluginSource

EXAMPLES = Path(__file__).parents[2] / "examples"
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory):
    """The example's package, installed as anybody's would be, into a folder of its own."""
    source = tmp_path_factory.mktemp("source") / "plugins"
    shutil.copytree(EXAMPLES / "plugins", source)
    target = tmp_path_factory.mktemp("installed")
    quiet = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index")
    subprocess.run([sys.executable, "-m", "pip", "install", *quiet, "--target", target, source], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(target)
        yield target


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_from_parts_to_a_bundle_with_a_teacher_of_a_package(
    line: Path, tmp_path: Path, installed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example's own way, with few steps and small pictures; a plug-in's teacher comes out in the graph."""
    made = example("train_and_build")
    small = ("height=64", "width=64", "student.embedding=32", "student.cram.centres=8")
    teacher = ("teacher.architecture=plugin:acme", "teacher.weights=plugin", "memory.centres=64")
    whole = made.make
    monkeypatch.setattr(made, "make", lambda parts, out: whole(parts, out, steps=3, settings=(*small, *teacher)))
    product = next(path for path in sorted(line.iterdir()) if path.is_dir())
    made.main(str(product), str(tmp_path))
    told = capsys.readouterr().out.splitlines()
    assert "good parts are stopped" in told[0]
    assert (tmp_path / "report" / "index.html").is_file()
    assert (tmp_path / "bundle" / "fp16.onnx").is_file()


def test_a_loop_over_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_contract_bundle(tmp_path / "bundle")
    for number, picture in enumerate(contract_images(3)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    assert example("folder_loop").main(str(tmp_path / "bundle"), str(tmp_path)) in (0, 4)
    assert "3 judged, " in capsys.readouterr().out


@pytest.mark.parametrize("name", ["folder_loop", "service", "train_and_build"])
def test_an_example_says_how_it_is_called(name: str, tmp_path: Path) -> None:
    def ran(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False)

    bare = ran()
    assert (bare.returncode, bare.stdout) == (2, "")
    assert bare.stderr.startswith("usage: ")
    assert len(bare.stderr.splitlines()) == 2  # and what is missing
    absent = ran(tmp_path / "absent", *(() if name == "service" else (tmp_path / "out",)))
    assert absent.returncode == 1
    assert "Traceback" not in absent.stderr
    assert len(absent.stderr.splitlines()) == 1


def line_of(bundle: Path) -> str:
    """The example's line, with this bundle, and without what would leave the test's folder."""
    text = (EXAMPLES / "plugins" / "line.yaml").read_text(encoding="utf-8")
    more = "dashboard: null\ndeadline_ms: null\njournal: {folder: journal, pictures: {min_free_gib: 0}}\n"
    return text.replace("demo/run/bundle", str(bundle)) + more


def test_a_line_with_a_camera_and_a_sink_of_a_package(tmp_path: Path, installed: Path, snl_edge: Command) -> None:
    write_contract_bundle(tmp_path / "bundle")
    (tmp_path / "line.yaml").write_text(line_of(tmp_path / "bundle"), encoding="utf-8")
    done = snl_edge("stream", "run", "line.yaml", env={**os.environ, "PYTHONPATH": str(installed)})
    assert done.returncode == 0, done.stderr
    delivered = [row.split("\t") for row in (tmp_path / "verdicts.tsv").read_text(encoding="utf-8").splitlines()]
    assert [(camera, int(sequence)) for _, camera, sequence, _, _ in delivered] == [("acme", n) for n in range(20)]
    assert {verdict for *_, verdict, _ in delivered} <= {"good", "reject", "unknown", "failsafe"}


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("acme            #", "no installed package offers 'acme2' in snl_edge.sources: offered are acme"),
        ("serial: 4711", "cameras.0.source.plugin: Value error, settings: serial: Input should be a valid integer"),
        ("rate: 20", "Extra inputs are not permitted"),
    ],
)
def test_a_line_that_asks_for_what_a_package_has_not_is_refused(
    tmp_path: Path, installed: Path, said: str, answer: str
) -> None:
    other = {"acme            #": "acme2 #", "serial: 4711": "serial: none", "rate: 20": "tempo: 20"}[said]
    (tmp_path / "line.yaml").write_text(line_of(tmp_path / "bundle").replace(said, other), encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        read_config(tmp_path / "line.yaml")
    assert answer.removeprefix("cameras.0.source.plugin: Value error, ") in str(refused.value)
    assert "at least 1 item" not in str(refused.value)  # there is a camera, and its fault is told


def test_a_list_that_is_empty_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "line.yaml").write_text("bundle: bundle\ncameras: []\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="cameras: Tuple should have at least 1 item"):
        read_config(tmp_path / "line.yaml")


def test_what_a_package_offers_is_what_it_must_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken, wrong and twice offered plug-ins are told by their entry point."""
    for number in (1, 2):
        folder = tmp_path / f"rival{number}-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: rival{number}\nVersion: 1\n")
        points = "twice = json:loads\n" + ("gone = no_such_module:plugin\nwrong = json:loads\n" if number == 1 else "")
        (folder / "entry_points.txt").write_text(f"[snl_edge.sinks]\n{points}")
    monkeypatch.syspath_prepend(tmp_path)
    for name, answer in (
        ("twice", "rival1, rival2 all offer 'twice'"),
        ("gone", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("wrong", "is no SinkPlugin: it is function"),
    ):
        with pytest.raises(ConfigError, match="snl_edge.sinks") as refused:
            load_plugin("snl_edge.sinks", name, plugins.SinkPlugin)
        assert answer in str(refused.value)
        with pytest.raises(ValueError, match="snl_edge.sinks"):
            PluginSink(type="plugin", plugin=name)


@pytest.mark.parametrize("written", ["odd =", "odd = a b", "odd = json:", "odd = :loads", "odd = .json:loads", "odd"])
def test_an_entry_point_that_is_none_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    folder = tmp_path / "odd-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1\n")
    (folder / "entry_points.txt").write_text(f"[snl_edge.sinks]\n{written}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"cannot be imported: |cannot be read: ") as refused:
        load_plugin("snl_edge.sinks", "odd", plugins.SinkPlugin)
    assert "NoneType" not in str(refused.value)
    assert "\n" not in str(refused.value)


class Odd:
    """A source and a transport in one that keeps no promise."""

    live, video, colour, received = True, False, "rgb", None

    def __init__(self, *_: object) -> None:
        self.gives: object = None

    def read(self) -> object:
        return self.gives

    def deliver(self, entries: object) -> object:
        return self.gives


def test_what_a_plug_in_gives_is_looked_at(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from acme_line import camera, sink

    odd = Odd()
    monkeypatch.setattr(camera, "plugin", plugins.SourcePlugin(camera.AcmeSettings, lambda _: odd))
    monkeypatch.setattr(sink, "plugin", plugins.SinkPlugin(sink.AcmeSinkSettings, lambda *_: odd))
    source = PluginSource(PluginSettings(type="plugin", plugin="acme", settings={"serial": 1}))
    assert source.read() is None
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), "picture"):
        odd.gives = wrong
        with pytest.raises(CameraError, match="acme gave a picture of"):
            source.read()
    odd.gives = np.zeros((4, 4, 3), np.uint16)
    assert source.read() is odd.gives
    transport = PluginTransport(PluginSink(type="plugin", plugin="acme", settings={"file": "x"}))
    for wrong in (0, 3, None, True):
        odd.gives = wrong
        with pytest.raises(plugins.DeliveryError, match=f"says that {wrong!r} of 2 messages"):
            transport.deliver([object(), object()])  # type: ignore[list-item]
    odd.gives = 2
    assert transport.deliver([object(), object()]) == 2  # type: ignore[list-item]


def test_a_teacher_is_held_to_its_maps_and_to_its_own_weights(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from acme_line import teacher

    from snl_edge.model.config import TeacherConfig
    from snl_edge.model.teacher import build_backbone

    with pytest.raises(ConfigError, match="the weights 'timm' are not those of the plug-in acme"):
        build_backbone(TeacherConfig(architecture="plugin:acme"), pretrained=True)
    wrong = plugins.Backbone(teacher.Filters(), (24, 40, 80), (0.5,) * 3, (0.5,) * 3)
    monkeypatch.setattr(teacher, "plugin", plugins.TeacherPlugin(lambda *_: wrong))
    with pytest.raises(ConfigError, match=r"gives maps of .*112, 4, 4.*\[24, 40, 80\] channels"):
        build_backbone(TeacherConfig(architecture="plugin:acme", weights="plugin"), pretrained=True)


def test_the_configuration_names_what_is_installed_alone() -> None:
    """No import path stands in a file: a configuration from elsewhere brings no code."""
    schema = str(LineConfig.model_json_schema())
    assert "plugin" in schema
    with pytest.raises(ValueError, match="no installed package offers 'os:system'"):
        PluginSettings(type="plugin", plugin="os:system")
