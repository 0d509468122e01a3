"""The soak: a long run at full speed with a small graph, after which memory and descriptors are as at the start."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from snl_edge.benchmarks.memory import process_memory
from snl_edge.dashboard.server import DashboardServer
from snl_edge.progress import progress_bar
from snl_edge.stream.config.line_config import LineConfig
from snl_edge.stream.journal.soundness import check_journal
from snl_edge.stream.line import RunningLine

from ..small_bundle import write_small_bundle

SIDE = 64
SETTLED_SHARE = 0.1
"""Of the run, after which memory must not grow any more."""
_LOOK_S = 0.5


def soak(frames: int) -> dict[str, Any]:
    """Streams ``frames`` drawn pictures as fast as they go through a whole line; returns what was seen.

    ``rss_growth_percent`` compares the median resident memory of the run's last tenth with that of its second
    tenth; ``verdicts_lost`` counts triggers without a record in the journal.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        line = RunningLine(_config(folder, frames))
        samples: list[tuple[int, int, int]] = []
        begun = time.monotonic()
        assert line.config.dashboard is not None
        with (
            DashboardServer(line, line.journal, line.config.dashboard, line.metrics.registry),
            progress_bar("soak") as report,
        ):
            line.start()
            while not line.ended:
                time.sleep(_LOOK_S)
                samples.append((line.recorder.committed, process_memory()["rss_bytes"], descriptors()))
                report(line.recorder.committed, frames)
            seconds = time.monotonic() - begun
        triggers = line.parts.opened
        line.stop()
        journal = check_journal(folder / "journal")
        recorded = sum(camera.parts for camera in journal.cameras)
    return {
        "frames_soaked": recorded,
        "soak_per_second": recorded / seconds,
        "verdicts_lost": triggers - recorded,
        "journal_consistent": journal.consistent,
        "failsafe": line.tally.verdicts["failsafe"],
        **growth(samples, frames),
    }


def growth(samples: list[tuple[int, int, int]], frames: int) -> dict[str, Any]:
    """Memory and descriptors early and late in a run, from (frames done, resident bytes, descriptors)."""
    early = [s for s in samples if SETTLED_SHARE * frames <= s[0] < 2 * SETTLED_SHARE * frames]
    late = [s for s in samples if s[0] >= (1 - SETTLED_SHARE) * frames]
    (rss_early, open_early), (rss_late, open_late) = (
        (float(np.median([s[1] for s in some])), float(np.median([s[2] for s in some]))) for some in (early, late)
    )
    return {
        "rss_early_mib": round(rss_early / 2**20, 2),
        "rss_late_mib": round(rss_late / 2**20, 2),
        "rss_growth_percent": round(100 * (rss_late / rss_early - 1), 2),
        "descriptors_early": open_early,
        "descriptors_late": open_late,
    }


def descriptors() -> int:
    """Open file descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def _config(folder: Path, frames: int) -> LineConfig:
    write_small_bundle(folder / "bundle", SIDE)
    return LineConfig.model_validate(
        {
            "bundle": folder / "bundle",
            "engine": {"backend": "onnxruntime", "threads": 1},
            "cameras": [
                {
                    "name": "camera",
                    "source": {"type": "synthetic", "size": SIDE, "count": frames, "pictures": 256},
                }
            ],
            "queue": {"policy": "block"},
            "deadline_ms": None,
            "journal": {"folder": folder / "journal", "pictures": {"keep_gib": 0.05}},
            "sinks": [{"type": "jsonlines", "folder": folder / "sink"}],
            "dashboard": {"port": 0},
        }
    )
