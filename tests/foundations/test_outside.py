"""The gate: what is refused there, in one line, before it costs memory or time."""

from __future__ import annotations

import gzip
import json
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from snl_edge.benchmarks.compare import compare_files
from snl_edge.data.check import survey
from snl_edge.data.csv_table import open_table
from snl_edge.data.labelme import LabelmeFile
from snl_edge.data.layouts import open_dataset
from snl_edge.data.masks import read_mask, require_few_marks
from snl_edge.data.samples import GOOD, Dataset, Sample
from snl_edge.decode import decode
from snl_edge.errors import BundleError, CheckpointError, ConfigError, DataError, EngineError, ExportError, SnlEdgeError
from snl_edge.export.onnx_graph import read_graph
from snl_edge.image import read_image
from snl_edge.model.config import override
from snl_edge.model.presets import preset
from snl_edge.model.weights import load_pretrained
from snl_edge.outside import decoding_memory as memory
from snl_edge.outside.csv_rows import csv_rows
from snl_edge.outside.decoding_memory import DecodingMemory
from snl_edge.outside.files import read_bytes
from snl_edge.outside.image_size import size_of_bytes
from snl_edge.outside.json_text import parse_json
from snl_edge.outside.shown import shown
from snl_edge.outside.yaml_text import parse_yaml
from snl_edge.runtime.engine_record import EngineRecord, read_engine
from snl_edge.runtime.manifest_file import read_manifest
from snl_edge.stream.config.line_config import read_config
from snl_edge.training import loop
from snl_edge.training.checkpoint import read_checkpoint
from snl_edge.training.config import TrainingConfig
from snl_edge.training.review import read_review
from studies.hostile import bombs, seeds
from studies.hostile.bombs import zeros
from studies.hostile.mutations import changed_bytes
from studies.result_files import ROOT

PLACES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": lambda path: path.mkdir(),
    "a device": lambda path: path.symlink_to("/dev/zero"),
}
READERS: dict[str, tuple[Callable[[Path], object], type[SnlEdgeError]]] = {
    "a.png": (read_image, DataError),
    "mask.png": (read_mask, DataError),
    "a.json": (lambda path: LabelmeFile(path).read(), DataError),
    "table.csv": (open_table, DataError),
    "suspicious.csv": (read_review, DataError),
    "manifest.json": (read_manifest, BundleError),
    "checkpoint.json": (lambda path: read_checkpoint(path.parent), CheckpointError),
    "line.yaml": (read_config, ConfigError),
    "a.onnx": (read_graph, ExportError),
    "bench.json": (lambda path: compare_files(path, path), DataError),
    "weights.pth": (lambda path: load_pretrained(torch.nn.Linear(3, 2), "a test", str(path)), CheckpointError),
    "weights.safetensors": (lambda path: load_pretrained(torch.nn.Linear(3, 2), "a test", str(path)), CheckpointError),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("name", READERS)
def test_only_regular_files_are_read(tmp_path: Path, name: str, kind: str) -> None:
    PLACES[kind](tmp_path / name)
    read, error = READERS[name]
    with pytest.raises(error, match=f"it is no regular file but {kind}"):
        read(tmp_path / name)


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a.png")
        with pytest.raises(DataError):
            read_image(tmp_path / "a.png")


def test_what_proc_shows_is_read_and_what_is_too_large_is_not(tmp_path: Path) -> None:
    assert read_bytes(Path("/proc/self/cmdline"), 4096)
    with pytest.raises(OSError, match="such a file may have 16 bytes"):
        read_bytes(Path("/proc/self/maps"), 16)
    (tmp_path / "hole").touch()
    os.truncate(tmp_path / "hole", 20 * 2**30)
    with pytest.raises(DataError, match=r"it has 20\.0 GiB, and such a file may have 2\.0 GiB"):
        read_image(tmp_path / "hole")


@pytest.mark.parametrize("content", [pytest.param(own, id=str(n)) for n, own in enumerate(seeds.images())])
def test_every_format_tells_its_size_before_it_is_decoded(content: bytes) -> None:
    size = size_of_bytes(content)
    assert (size.width, size.height) == (seeds.SIDE, seeds.SIDE)


def test_pictures_of_line_cameras_fit_and_larger_ones_are_refused_before_they_are_decoded() -> None:
    assert size_of_bytes(seeds.png(16_384, 16_384, b"")).pixels == 2**28
    assert size_of_bytes(seeds.png(14_192, 10_640, b"")).pixels > 150e6
    for name, content in {
        "a.png": seeds.png(30_000, 30_000, zeros(1)),
        "b.png": seeds.png(16_385, 16_384, b""),
    }.items():
        with pytest.raises(
            DataError, match=rf"{name}.*promises \d+x\d+ pixels, and 268 megapixels are the most.*Divide"
        ):
            decode(content, name)


IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from studies.hostile import bombs
from studies.hostile.parsers import PARSERS
from snl_edge.errors import SnlEdgeError
for name in sys.argv[1:]:
    made = bombs.bombs(name)
    for number, label in enumerate(made):
        path = Path(str(number)) / PARSERS[name].file
        path.parent.mkdir(parents=True)
        if label in %r:
            made[label](path)
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 700 * 2**20,) * 2)
for name in sys.argv[1:]:
    for path in sorted(Path().rglob(PARSERS[name].file)):
        try:
            PARSERS[name].read(path)
        except SnlEdgeError as error:
            print(name, "refused")
        else:
            print(name, "accepted")
"""
BOMBS = {
    "images": ("PNG of 30000x30000", "BMP of 30000x30000", "TIFF strip of 4 GiB", "TIFF whose tags overlap"),
    "Labelme": ("a picture of 60000x60000", "a PNG of 30000x30000 inside", "objects 100000 deep"),
    "line.yaml": ("a thousand million laughs", "a thousand million merges", "brackets 100000 deep"),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("parser", BOMBS)
def test_bombs_are_refused_in_little_memory(tmp_path: Path, parser: str) -> None:
    code = IN_LITTLE_MEMORY % (BOMBS[parser],)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, parser],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split("\n")[:-1] == [f"{parser} refused"] * len(BOMBS[parser]), done.stderr[-2000:]


def test_a_png_with_more_data_than_its_picture_is_refused() -> None:
    with pytest.raises(DataError, match="its compressed data stands for more than"):
        decode(seeds.png(10, 10, zeros(17)), "a.png")


def test_a_bigtiff_that_points_beyond_any_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II+\0\x08\0\0\0" + b"\xff" * 8)
    with pytest.raises(DataError, match="its header is cut short"):
        read_image(tmp_path / "a.tif")


def test_a_graph_whose_names_are_no_text_is_refused(tmp_path: Path) -> None:
    rng = random.Random("0 ONNX graphs 1107")  # as the fuzz command found it
    (tmp_path / "a.onnx").write_bytes(changed_bytes(rng.choice(seeds.graphs()), rng, seeds.graphs()))
    with pytest.raises(ExportError):
        read_graph(tmp_path / "a.onnx")


def test_noise_is_no_mask() -> None:
    noise = np.zeros((600, 600), bool)
    noise[::2, ::2] = True
    with pytest.raises(DataError, match=r"m\.png has 90000 separate marks"):
        require_few_marks(noise, "m.png")


def test_pictures_share_the_memory_for_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8))
    most = 3 * size_of_bytes((tmp_path / "a.png").read_bytes()).decoding_bytes
    shared = _Watched(most)
    monkeypatch.setattr("snl_edge.decode.decoding_memory", shared)
    monkeypatch.setattr("snl_edge.image.decoding_memory", shared)
    monkeypatch.setattr("snl_edge.data.check.decoding_memory", shared)
    monkeypatch.setattr("snl_edge.data.check.ThreadPoolExecutor", lambda: ThreadPoolExecutor(8))
    found = survey([Sample(tmp_path / "a.png", "gear", GOOD)] * 40, ())
    assert not found.unusable
    assert 0 < shared.highest <= most
    assert shared._used == 0


class _Watched(DecodingMemory):
    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.highest = 0

    @contextmanager
    def taken(self, wanted: int) -> Iterator[None]:
        with super().taken(wanted):
            self.highest = max(self.highest, self._used)
            yield


def test_a_picture_larger_than_all_memory_goes_alone() -> None:
    shared = DecodingMemory(100)
    begun = threading.Event()

    def small() -> None:
        begun.set()
        with shared.taken(1):
            pass

    with shared.taken(1000):
        thread = threading.Thread(target=small)
        thread.start()
        begun.wait()
        thread.join(0.05)
        assert thread.is_alive()
    thread.join(5)
    assert not thread.is_alive()
    assert memory.MOST == 2 * 2**30


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "nested deeper than 64"),
        ('{"a": ' * 100 + "1" + "}" * 100, "nested deeper than 64"),
        ('"' + "[" * 100 + '"', None),
        ('{"a": 1, "a": 2}', "the key 'a' stands there twice"),
        ('{"a": "\\ud800"}', "half a character"),
        ('"\\ud83d\\ude00"', None),
        ("NaN", "NaN is no number"),
        ("[-Infinity]", "Infinity is no number"),
        ("1e999", "beyond what a number"),
        ("9" * 5000, "an integer of 5000 digits"),
        ("9223372036854775807", None),
        ("[" + "1," * 3_000_000 + "1]", "2,000,000 are the most"),
        ("{", "it is no JSON"),
    ],
)
def test_json_is_held_to_what_all_readers_agree_on(text: str, why: str | None) -> None:
    if why is None:
        assert parse_json(text) == json.loads(text)
    else:
        with pytest.raises(ValueError, match=why):
            parse_json(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 2001-99-99", "month must be in"),
        ("a: &a [*a]", "stands for what holds"),
        (
            "\n".join(
                [
                    "a: &a0 [x, x, x, x, x, x, x, x]",
                    *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)),
                ]
            ),
            "values",
        ),
        ("[" * 1000, "nested deeper than 32"),
        ("- " * 3000 + "x", "nested deeper than 32"),
        ("a: " + "9" * 5000, "5000 digits"),
        ('a: "\\ud800"', "half a character|no YAML"),
        ("a: !!python/object/apply:os.system [true]", "no YAML"),
        ("{a: 1, a: 2}", "sets a twice"),
        ("[[1]: 2", "no YAML"),
        ("{[1]: 2}", "no YAML|cannot be read"),
    ],
)
def test_yaml_is_refused_in_one_line(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_yaml(text)


def test_yaml_may_still_override_what_a_merge_brings() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}"
    assert parse_yaml(text) == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}}


def test_rows_of_a_table_are_bounded() -> None:
    assert list(csv_rows('a,b\n"x\ny",2\n')) == [(1, ["a", "b"]), (3, ["x\ny", "2"])]
    for text, why in (
        ("x" * 70_000, "more than 65,536"),
        ('a\n"' + "b\n" * 200, "is a quote open"),
    ):
        with pytest.raises(ValueError, match=why):
            list(csv_rows(text))


def _engine(tmp_path: Path, stored: bytes, size: int | None) -> tuple[Path, EngineRecord]:
    (tmp_path / "engines").mkdir()
    path = tmp_path / "engines" / "fp16.engine"
    path.write_bytes(stored)
    record = {
        **seeds.engine_record(stored, 1),
        "engine_bytes": size,
    }
    return path, EngineRecord.model_validate(record)


@pytest.mark.parametrize(("size", "why"), [(1000, "more than 1000 bytes"), (None, "more than 512.0 KiB")])
def test_an_engine_unpacks_to_what_its_record_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None, why: str
) -> None:
    monkeypatch.setattr("snl_edge.runtime.engine_record.MOST_UNRECORDED", 2**19)
    path, record = _engine(tmp_path, zeros(1, 31), size)
    with pytest.raises(EngineError, match=f"cannot be unpacked: it stands for {why}"):
        read_engine(path, record)


def test_an_engine_of_another_size_is_refused_and_its_own_is_read(tmp_path: Path) -> None:
    path, record = _engine(tmp_path, gzip.compress(b"engine"), 6)
    assert read_engine(path, record) == b"engine"
    with pytest.raises(EngineError, match="unpacks to 6 bytes, and its side file says 7"):
        read_engine(path, record.model_copy(update={"engine_bytes": 7}))


@pytest.mark.parametrize(
    "label", ["a list", "a number", "a dictionary of texts", "a program", "a tensor of 10^12 values"]
)
def test_weights_that_are_none_are_refused(tmp_path: Path, label: str) -> None:
    bombs.bombs("weights (.pth)")[label](tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a\.pth"):
        load_pretrained(torch.nn.Linear(3, 2), "a test", str(tmp_path / "a.pth"))


@pytest.mark.parametrize("label", ["a header of 2^63 bytes", "a tensor of 10^18 values", "tensors that overlap"])
def test_safetensors_that_promise_too_much_are_refused(tmp_path: Path, label: str) -> None:
    bombs.bombs("weights (safetensors)")[label](tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"a\.safetensors"):
        load_pretrained(torch.nn.Linear(3, 2), "a test", str(tmp_path / "a.safetensors"))


def test_a_graph_that_names_another_file_is_refused(tmp_path: Path) -> None:
    bombs.bombs("ONNX graphs")["a tensor in another file"](tmp_path / "a.onnx")
    with pytest.raises(ExportError, match="a tensor of it lies in another file"):
        read_graph(tmp_path / "a.onnx")


def test_a_damaged_result_is_refused_when_it_is_compared(tmp_path: Path) -> None:
    result = json.loads(seeds.results()[0])
    (tmp_path / "whole.json").write_text(json.dumps(result))
    result["figures"]["subjects"]["openvino fp32"]["latency"] = {"detector": {"1": {"rounds": ["x"]}}}
    (tmp_path / "odd.json").write_text(json.dumps(result))
    with pytest.raises(DataError, match="one of them is damaged"):
        compare_files(tmp_path / "whole.json", tmp_path / "odd.json")


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("[/red].png", "[/red].png"),
        ("a\x1b[31m", r"a\x1b[31m"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("caf\u00e9 \u90e8\u54c1\u3000\u00b5m", "caf\u00e9 \u90e8\u54c1\u3000\u00b5m"),
        (os.fsdecode(b"\xff.png"), r"\xff.png"),
        ("\x9b2J\u2028\ufeff", r"\x9b2J\u2028\ufeff"),
    ],
)
def test_a_name_is_shown_and_obeyed_by_no_terminal(name: str, seen: str) -> None:
    assert shown(name) == shown(seen) == seen
    said = str(DataError(f"cannot read {name}"))
    assert shown(said) == said


def test_names_that_no_file_of_ours_can_hold_are_refused(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    content = cv2.imencode(".png", seeds.picture())[1].tobytes()
    (tmp_path / "good" / "a.png").write_bytes(content)
    (tmp_path / "good" / os.fsdecode(b"\xff.png")).write_bytes(content)
    with pytest.raises(DataError, match=r"1 image in .* cannot be named: .*\\xff\.png: no UTF-8"):
        open_dataset(tmp_path)
    (tmp_path / "line").mkdir()
    (tmp_path / "line" / "\x1b[2J").mkdir()
    (tmp_path / "line" / "\x1b[2J" / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"has a product named '\\x1b\[2J'"):
        open_dataset(tmp_path / "line", "folder")


def test_what_torch_refuses_to_unpickle_is_not_told_to_be_unpickled(tmp_path: Path) -> None:
    """Torch's own words are how to run whatever code the file holds."""
    picture = tmp_path / "teacher.pth"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    with pytest.raises(CheckpointError, match="it is no file of tensors that torch.save wrote") as told:
        load_pretrained(torch.nn.Linear(3, 2), "a test", str(picture))
    assert "weights_only" not in str(told.value)


def test_a_file_that_training_is_given_is_looked_at_before_the_images(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "inspect_samples", lambda *_: pytest.fail("images were checked first"))
    samples = tuple(Sample(tmp_path / f"{index}.png", "gear", "good") for index in range(4))
    config = override(preset("edge"), [f"teacher.weights={tmp_path / 'none.safetensors'}"])
    with pytest.raises(CheckpointError, match="weights file .* does not exist"):
        loop.train(config, TrainingConfig(), Dataset(tmp_path, "folder", samples, ()), tmp_path / "run")
    with pytest.raises(DataError, match="cannot read the review"):
        loop.train(
            preset("edge"),
            TrainingConfig(),
            Dataset(tmp_path, "folder", samples, ()),
            tmp_path / "run",
            review=tmp_path / "none.csv",
        )
