"""Whether calibrating takes more memory with more images, as one result file.

``python -m studies.precision.calibration_memory --run runs/real10 --name edge-256``
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from snl_edge.calibration.measure import input_size
from snl_edge.calibration.observe import observe
from snl_edge.export.graphs import make_graphs
from snl_edge.export.qdq import find_layers, place

from ..command import run_command
from ..result_files import save_result


def measure(
    name: Annotated[str, typer.Option(help="Name of the result file.")],
    run: Annotated[Path, typer.Option(help="Run folder.")],
    images: Annotated[int, typer.Option(help="Images to measure ranges on.")] = 2000,
) -> None:
    """Measures ranges on many images (the run's reference images, cut and lit at random) and watches the memory."""
    from snl_edge.training.reference import load_reference

    graph = make_graphs(run, "fp32")[1]["fp32"]
    tensors = list(place(graph, find_layers(graph)).readers)
    shown = variations(load_reference(run), images)
    peaks: dict[int, float] = {}
    marks = {round(images * share) for share in (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)}

    def watch(done: int, total: int) -> None:
        if done in marks:
            peaks[done] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
            typer.echo(f"{done} images: peak {peaks[done]} MiB")

    observe(graph, tensors, shown, images, watch)
    first = peaks[min(peaks)]
    path = save_result(
        "calibration_memory",
        name,
        settings={"images": images, "size": input_size(graph), "tensors": len(tensors)},
        figures={
            "peak_mib": {str(done): peak for done, peak in peaks.items()},
            "growth_mib": round(peaks[max(peaks)] - first, 1),
        },
    )
    typer.echo(f"wrote {path}")


def variations(images: NDArray[np.uint8], count: int) -> Iterator[NDArray[np.uint8]]:
    """``count`` images, each one of ``images`` shifted at random and in other light; made one at a time."""
    rng = np.random.default_rng(0)
    for index in range(count):
        image = np.roll(images[index % len(images)], rng.integers(0, 64, 2), axis=(0, 1))
        yield np.clip(image * rng.uniform(0.6, 1.4), 0, 255).astype(np.uint8)


if __name__ == "__main__":
    run_command(measure)
