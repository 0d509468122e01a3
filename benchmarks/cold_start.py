"""Cold start: a new process from its start to its first verdict, as after a power cut.

``python -m snl_edge.benchmarks.cold_start BUNDLE BACKEND PRECISION THREADS`` is that process. Files may still be in
the kernel's cache; a machine just switched on also reads them from its disk.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from snl_edge.errors import SnlEdgeError

PARTS = ("python", "imports", "load", "first_verdict", "total")


def measure_cold_start(bundle: Path, backend: str, precision: str, threads: int) -> dict[str, float]:
    """Seconds of each part of one cold start, and in all as seen from outside.

    Raises:
        SnlEdgeError: the process failed.
    """
    arguments = [str(bundle), backend, precision, str(threads)]
    started = time.time()
    process = subprocess.run(
        [sys.executable, "-m", "snl_edge.benchmarks.cold_start", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        last = process.stderr.strip().splitlines()[-1:]
        raise SnlEdgeError(f"a cold start of {backend} in {precision} failed", " ".join(last))
    began, imported, loaded, judged = json.loads(process.stdout.splitlines()[-1])
    return {
        "python": began - started,
        "imports": imported - began,
        "load": loaded - imported,
        "first_verdict": judged - loaded,
        "total": judged - started,
    }


def summarise_cold_starts(runs: list[dict[str, float]]) -> dict[str, Any]:
    """Medians of the parts in seconds, and every total."""
    return {
        **{part: round(median(run[part] for run in runs), 3) for part in PARTS},
        "runs": [round(run["total"], 3) for run in runs],
    }


def _start() -> None:
    times = [time.time()]
    import numpy as np

    from snl_edge.runtime.detector import Detector

    bundle, backend, precision, threads = sys.argv[1:]
    times.append(time.time())
    with Detector.load(Path(bundle), backend=backend, precision=precision, threads=int(threads)) as detector:
        times.append(time.time())
        size = detector.bundle.manifest.input.image_size
        detector.detect([np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)])
        times.append(time.time())
    print(json.dumps(times))


if __name__ == "__main__":
    _start()
