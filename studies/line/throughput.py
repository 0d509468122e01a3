"""The whole line against the bare engine, and a long run at full speed, as one result file.

``python -m studies.line.throughput --bundle BUNDLE --name NAME``: throughput with journal, pictures, local sink,
metrics and dashboard on, over that of the backend alone, in turns in one process; then the soak with a small graph.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from snl_edge.dashboard.server import DashboardServer
from snl_edge.progress import console
from snl_edge.provenance import revision
from snl_edge.runtime.detector import Detector
from snl_edge.runtime.frame import drawn_side
from snl_edge.stream.config.line_config import LineConfig
from snl_edge.stream.journal.journal import Journal
from snl_edge.stream.journal.soundness import check_journal
from snl_edge.stream.line import RunningLine
from snl_edge.stream.sources.synthetic import SyntheticSettings, draw_parts

from ..command import run_command
from ..result_files import save_result
from .soak import soak


def measure(
    bundle: Annotated[Path, typer.Option(help="Bundle of the model whose throughput counts.")],
    name: Annotated[str, typer.Option(help="Name of the result file.")],
    rounds: Annotated[int, typer.Option(min=2, help="Turns of line and bare backend.")] = 7,
    frames: Annotated[int, typer.Option(min=50, help="Pictures a turn.")] = 600,
    rate: Annotated[float, typer.Option(help="Share of the bare throughput at which latency is measured.")] = 0.5,
    soak_frames: Annotated[int, typer.Option(help="Pictures of the soak.")] = 200_000,
    backend: Annotated[str, typer.Option()] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of the backend, in line and alone; measured with all cores, too.")
    ] = 1,
) -> None:
    """Measures throughput, latency and endurance of the line on this machine."""
    revision()
    settings = {
        "rounds": rounds,
        "frames": frames,
        "soak_frames": soak_frames,
        "backend": backend,
        "threads": threads,
        "latency_rate": rate,
    }
    engine = {"backend": backend, "threads": threads, "max_batch": 1}
    figures: dict[str, Any] = throughput(bundle, engine, rounds, frames)
    if threads is not None:
        figures["all_cores"] = throughput(bundle, {**engine, "threads": None}, rounds, frames)
    figures |= latency(bundle, engine, rate * figures["bare_per_second"], frames)
    figures |= soak(soak_frames)
    typer.echo(f"wrote {save_result('stream', name, settings=settings, figures=figures)}")


def throughput(bundle: Path, engine: dict[str, Any], rounds: int, frames: int) -> dict[str, Any]:
    """Pictures a second of the bare backend and of the whole line, in turns; the ratio is the median over the pairs."""
    bare: list[float] = []
    whole: list[float] = []
    with Detector.load(bundle, backend=engine["backend"], threads=engine["threads"]) as detector:
        size = drawn_side(detector.bundle.manifest.input)
        products = tuple(name for name in detector.bundle.manifest.products)
        source = {"type": "synthetic", "products": products, "size": size, "pictures": 32, "defective": 0.05}
        pictures = np.stack(draw_parts(SyntheticSettings.model_validate(source)))
        for turn in range(rounds + 1):
            bare.append(bare_backend(detector, pictures, frames))
            whole.append(whole_line(bundle, engine, {**source, "count": frames}))
            console.print(f"turn {turn}: bare {bare[-1]:.1f}, line {whole[-1]:.1f} pictures/s")
        described = detector.backend.description
    bare, whole = bare[1:], whole[1:]  # the first turn warms up
    ratios = [line / alone for line, alone in zip(whole, bare, strict=True)]
    return {
        "backend": described,
        "bare_per_second": statistics.median(bare),
        "line_per_second": statistics.median(whole),
        "throughput_ratio": statistics.median(ratios),
        "throughput_ratios": ratios,
    }


def bare_backend(detector: Detector, pictures: np.ndarray, frames: int) -> float:
    """Pictures a second that the backend alone judges, one by one, ``uint8 [N, H, W, 3]`` in turn."""
    begun = time.perf_counter()
    for index in range(frames):
        position = index % len(pictures)
        detector.backend.infer(pictures[position : position + 1])
    return frames / (time.perf_counter() - begun)


def whole_line(bundle: Path, engine: dict[str, Any], source: dict[str, Any]) -> float:
    """Pictures a second from the first trigger to the last verdict, with everything on."""
    with tempfile.TemporaryDirectory() as folder:
        run_line(line_config(Path(folder), bundle, engine, source))
        return spans(Path(folder) / "journal")["per_second"]


def latency(bundle: Path, engine: dict[str, Any], rate: float, frames: int) -> dict[str, Any]:
    """Latency from trigger to verdict and drops, with parts at a steady ``rate`` a second and the policy ``newest``."""
    with tempfile.TemporaryDirectory() as folder, Detector.load(bundle, backend="onnxruntime") as detector:
        manifest = detector.bundle.manifest
        source = {
            "type": "synthetic",
            "products": manifest.products,
            "size": drawn_side(manifest.input),
            "pictures": 32,
            "defective": 0.05,
            "rate": rate,
            "count": frames,
        }
        config = line_config(Path(folder), bundle, engine, source, policy="newest", deadline_ms=1000)
        line = run_line(config)
        found = spans(Path(folder) / "journal")
        return {
            "parts_per_second": rate,
            "p50_ms": found["p50_ms"],
            "p99_ms": found["p99_ms"],
            "dropped": line.tally.reasons["dropped"],
            "deadline_missed": line.tally.reasons["deadline"],
        }


def line_config(
    folder: Path, bundle: Path, engine: dict[str, Any], source: dict[str, Any], **changes: Any
) -> LineConfig:
    """A line on a synthetic camera with all that is local switched on: journal, pictures, JSON lines, dashboard."""
    policy = changes.pop("policy", "block")
    return LineConfig.model_validate(
        {
            "bundle": bundle,
            "engine": engine,
            "cameras": [{"name": "camera", "source": source}],
            "queue": {"policy": policy},
            "deadline_ms": None,
            "journal": {"folder": folder / "journal"},
            "sinks": [{"type": "jsonlines", "folder": folder / "sink"}],
            "dashboard": {"port": 0},
            **changes,
        }
    )


def run_line(config: LineConfig) -> RunningLine:
    """Runs a line until its pictures end; returns it, stopped."""
    line = RunningLine(config)
    assert config.dashboard is not None
    with DashboardServer(line, line.journal, config.dashboard, line.metrics.registry):
        line.start()
        while not line.ended:
            time.sleep(0.02)
    line.stop()
    report = check_journal(config.journal.folder)
    if not report.consistent:
        raise SystemExit(f"the journal is not consistent: {report}")
    return line


def spans(folder: Path) -> dict[str, float]:
    """What the journal says of a run: parts a second, latency."""
    journal = Journal(folder)
    with journal.reading() as connection:
        rows = connection.execute("SELECT captured, decided, latency_ms FROM verdict").fetchall()
    journal.close()
    captured, decided, latencies = (np.array(column) for column in zip(*rows, strict=True))
    return {
        "per_second": len(rows) / float(decided.max() - captured.min()),
        "p50_ms": float(np.quantile(latencies, 0.5)),
        "p99_ms": float(np.quantile(latencies, 0.99)),
    }


if __name__ == "__main__":
    run_command(measure)
