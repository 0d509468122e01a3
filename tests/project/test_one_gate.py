"""Every reader of a file from outside goes through `snl_edge.outside`: whoever reads past it is found here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from snl_edge.outside.files import real_path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("snl_edge", "export", "calibration", "benchmarks")
READERS = {
    *("read_text", "read_bytes", "fromfile", "imread", "imdecode", "model_validate_json", "load_file", "safe_open"),
    *("VideoCapture", "read_model", "InferenceSession", "ZipFile", "DictReader", "fdopen", "deserialize_cuda_engine"),
}
"""Calls of these, whatever they are attributes of."""
QUALIFIED = {
    *("json.load", "json.loads", "yaml.load", "yaml.safe_load", "yaml.compose", "csv.reader", "torch.load"),
    *(
        "onnx.load",
        "gzip.open",
        "gzip.decompress",
        "zlib.decompress",
        "np.load",
        "np.loadtxt",
        "pickle.load",
        "pickle.loads",
    ),
    *("os.open", "io.open", "tarfile.open", "Image.open", "tomllib.load", "tomllib.loads", "sqlite3.connect"),
}
OWN = {
    # System files, which the kernel writes.
    "snl_edge/provenance.py": "/proc/cpuinfo",
    "snl_edge/runtime/processor.py": "/proc/cpuinfo",
    "snl_edge/jetson/board.py": "/proc and /etc of a Jetson",
    "snl_edge/runtime/gpu.py": "/proc/device-tree and PCI devices in /sys",
    "snl_edge/jetson/power_mode.py": "/etc/nvpmodel.conf",
    "snl_edge/jetson/rails.py": "sensors in /sys",
    "snl_edge/machine/thermal.py": "sensors in /sys",
    "benchmarks/sensors.py": "sensors in /sys",
    "benchmarks/memory.py": "/proc",
    "benchmarks/system.py": "files of the system in /proc, /sys and /etc",
    # What it wrote itself, in memory or in its own folder.
    "snl_edge/answer.py": "/dev/null",
    "benchmarks/cold_start.py": "what a process that it started says",
    "benchmarks/contender.py": "what a worker that it started says",
    "benchmarks/worker.py": "what the process that started it asks",
    "snl_edge/atomic.py": "the file that was just written",
    "snl_edge/runtime/bundle_writer.py": "the graph that was just copied",
    "snl_edge/training/repeats.py": "JPEG encoded in memory",
    "snl_edge/data/camera_changes.py": "JPEG encoded in memory",
    "snl_edge/dashboard/assets.py": "files of the package",
    "snl_edge/dashboard/auth.py": "a cookie whose signature holds",
    "snl_edge/stream/journal/schema.py": "the journal: SQLite's own checks, after the file was found to be regular",
    "snl_edge/stream/journal/journal.py": "columns of the journal that it wrote as JSON",
    "snl_edge/stream/steering/choices.py": "columns of the journal that it wrote as JSON",
    "snl_edge/stream/report/rejudge.py": "columns of the journal that it wrote as JSON",
    "snl_edge/stream/report/shift_report.py": "columns of the journal that it wrote as JSON",
    "snl_edge/stream/report/standstill.py": "columns of the journal that it wrote as JSON",
    "snl_edge/stream/journal/lock.py": "the journal's lock",
    "snl_edge/stream/outputs/sinks/jsonlines.py": "the file that the sink itself appends to",
    "snl_edge/stream/outputs/sinks/picture_files.py": "a picture that the journal keeps",
    "snl_edge/stream/pipeline/recorder.py": "space on disk that it holds in reserve",
    "snl_edge/stream/report/export.py": "the file that it writes",
    "export/engine_layers.py": "TensorRT's own description of an engine",
    "export/engine.py": "the engine that was just built",
    "export/rounding.py": "a graph in memory",
    "snl_edge/runtime/file_lock.py": "a regular file, opened without waiting, to lock it",
    "snl_edge/runtime/threshold_history.py": "the history that it appends to, after file_lock; its lines by parse_json",
    "snl_edge/runtime/signing_keys.py": "the key that it writes",
    "snl_edge/infer/verdict_file.py": "the file of verdicts that it writes; its lines by parse_json",
    # Looked at by the gate first, then opened by a library.
    "snl_edge/decode.py": "the one decoder of pictures: their headers were read",
    "snl_edge/training/resume.py": "safetensors, after check_safetensors",
    "snl_edge/training/ignored.py": "safetensors, after verify_checkpoint",
    "snl_edge/runtime/openvino_backend.py": "OpenVINO, after read_graph_bytes",
    "snl_edge/runtime/onnxruntime_backend.py": "bytes of read_graph_bytes",
    "snl_edge/runtime/loaded_engine.py": "bytes of read_engine; TensorRT takes no other",
    # Cameras and videos, which are devices and streams by their nature.
    "snl_edge/stream/sources/gstreamer.py": "a camera",
    "snl_edge/stream/sources/v4l2.py": "a camera",
    "snl_edge/stream/sources/video.py": "a video, after require_regular; FFmpeg reads it",
}
"""Files that may, and why."""


def test_nothing_reads_past_the_gate() -> None:
    found: dict[str, set[str]] = {}
    for path in _sources():
        for call in _calls(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(path.relative_to(ROOT).as_posix(), set()).add(call)
    past = {file: sorted(calls) for file, calls in found.items() if file not in OWN}
    assert not past, "read files from outside through snl_edge/outside, or say in OWN why this file need not"
    assert not set(OWN) - set(found), "these read nothing by themselves any more: take them out of OWN"


def _sources() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (path for path in (ROOT / folder).rglob("*.py") if path.parent.name != "outside")


def _calls(tree: ast.AST) -> Iterator[str]:
    ours = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and "outside" in (node.module or "")
        for alias in node.names
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        last = called.rpartition(".")[2]
        reads = called in QUALIFIED or called == "open" or (last in READERS and called not in ours)
        if reads or (last == "open" and _reads(node)):
            yield called


def _reads(node: ast.Call) -> bool:
    """Whether this ``.open(...)`` may be a file's: it has a mode, or a path that is one in name."""
    texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    named = {keyword.arg for keyword in node.keywords}
    return bool(named & {"encoding", "newline", "mode"}) or any(set(text) <= set("rwabtx+") for text in texts)


def test_nothing_stumbles_over_links_that_lead_in_a_circle(tmp_path: Path) -> None:
    """`Path.resolve` raises a RuntimeError at one, of which nobody makes a line."""
    for path in (ROOT / "snl_edge").rglob("*.py"):
        calls = set(_resolutions(ast.parse(path.read_text(encoding="utf-8"))))
        assert not {call for call in calls if "__file__" not in call and call != "Path(entry or '.')"}, path
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert real_path(loop / "below").is_absolute()
    (tmp_path / "link").symlink_to(ROOT)
    assert real_path(tmp_path / "link") == ROOT


def _resolutions(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "resolve":
            yield ast.unparse(node.func.value)
