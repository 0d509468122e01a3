"""Memory of a process as the kernel counts it, and what Python and NumPy allocate while frames are judged.

NumPy tells ``tracemalloc`` of its arrays; what OpenVINO, ONNX Runtime or CUDA allocate inside is not seen. With
``out`` given, what remains of a frame is a verdict: a few views, floats and dataclass fields, no pixel. Frames are held
against a threshold that none reaches: a reject's regions are searched for in arrays of their own.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snl_edge.contract.graph import Prediction
from snl_edge.runtime.detector import Detector
from snl_edge.runtime.manifest import HIGHEST


def process_memory(status: Path = Path("/proc/self")) -> dict[str, int]:
    """Bytes of this process: resident (RSS), its share of what is shared (PSS), and the most resident so far.

    A figure that the kernel does not give is left out.
    """
    found = _fields(status / "status", {"VmRSS": "rss_bytes", "VmHWM": "peak_rss_bytes"})
    return found | _fields(status / "smaps_rollup", {"Pss": "pss_bytes"})


def _fields(path: Path, names: dict[str, str]) -> dict[str, int]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    found: dict[str, int] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name in names and value.split()[1:] == ["kB"]:
            found[names[name]] = int(value.split()[0]) * 1024
    return found


def allocated_per_frame(detector: Detector, frames: Sequence[NDArray[np.uint8]], repeats: int = 3) -> dict[str, int]:
    """Bytes per frame while ``frames`` are judged together in steady state: most in use at once, and kept after."""
    out = Prediction.empty(len(frames), detector.bundle.manifest.input.size)
    for _ in range(3):
        detector.detect(frames, threshold=HIGHEST, out=out)  # staging, lazily made objects
    gc.collect()
    tracing = tracemalloc.is_tracing()
    if not tracing:
        tracemalloc.start()
    try:
        detector.detect(frames, threshold=HIGHEST, out=out)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(repeats):
            detector.detect(frames, threshold=HIGHEST, out=out)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        if not tracing:
            tracemalloc.stop()
    return {"peak": (peak - before) // len(frames), "kept": (after - before) // (len(frames) * repeats)}
