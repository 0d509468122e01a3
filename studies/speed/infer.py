"""`infer` over a folder of camera pictures, beside what it is made of: decoding alone, the engine alone.

``python -m studies.speed.infer``: pictures of several megapixels are drawn, and in each round decoded, decoded
and fitted to the model's input, judged by the bare engine, and judged by `infer` with and without overlays. On a CPU
decoding and engine share the cores, so that their times add up; what the pipeline itself costs shows where they do not:
with an engine elsewhere, as on a GPU. It is stood in for by one that waits, without computing, exactly as long as
decoding and fitting take: the hardest case.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from snl_edge.benchmarks.results import Result
from snl_edge.benchmarks.system import Watch, describe_system
from snl_edge.benchmarks.tables import origin, table
from snl_edge.contract.graph import Prediction
from snl_edge.data.parts.products import PRODUCTS
from snl_edge.data.synthetic import render_part
from snl_edge.image import load_image, read_image
from snl_edge.infer.command import LARGEST_BATCH
from snl_edge.infer.names import overlay_names
from snl_edge.infer.overlay_file import OverlayStyle
from snl_edge.infer.pipeline import Overlays, Pipeline, Rules
from snl_edge.model.presets import preset
from snl_edge.progress import console
from snl_edge.provenance import revision
from snl_edge.runtime.detector import Detector
from snl_edge.runtime.frame import as_images

from ..command import run_command
from ..random_models import write_random_bundle
from ..result_files import FOLDER, require_result, save_result

KIND = "infer"
DRAWN = 8
"""Pictures that are drawn; the others have the same content under other names, and take as long to decode."""
WAYS = {
    "decode": "decoding alone",
    "prepare": "decoding and fitting to the model's input alone",
    "engine": "the engine alone",
    "infer": "`infer --json`",
    "overlays": "`infer --out`, with overlays",
    "elsewhere": "`infer --json`, the engine elsewhere and as fast as that",
}


def measure(
    name: Annotated[str, typer.Option(help="Name of the result: the machine's kind.")] = "cpu",
    pictures: Annotated[int, typer.Option(min=DRAWN, help="In the folder.")] = 200,
    side: Annotated[int, typer.Option(min=64, help="Of a picture, in pixels.")] = 2448,
    rounds: Annotated[int, typer.Option(min=3, help="Turns of all ways.")] = 5,
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle; the edge preset's with random weights if not given.")
    ] = None,
    backend: Annotated[str, typer.Option()] = "auto",
    results: Annotated[Path, typer.Option(help="Folder of the result file.")] = FOLDER,
) -> None:
    """Measures pictures a second of every way, in turns, and writes a result file."""
    revision()
    watch = Watch()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        paths = write_pictures(folder / "pictures", pictures, side)
        if bundle is None:
            bundle = write_random_bundle(preset("edge"), folder / "bundle").path
        with Detector.load(bundle, backend=backend, max_batch=LARGEST_BATCH) as detector:
            described = detector.backend.description
            rates = measure_rounds(ways(detector, paths, folder / "out"), len(paths), rounds, watch)
        sizes = [path.stat().st_size for path in paths]
    settings = {
        "pictures": pictures,
        "size": [side, side],
        "bytes": round(sum(sizes) / len(sizes)),
        "rounds": rounds,
        "threads": len(os.sched_getaffinity(0)),
        "backend": described,
    }
    figures = {"ways": rates, "shares": shares(rates), "noise": watch.findings()}
    path = save_result(
        KIND,
        name,
        settings=settings,
        figures=figures,
        system=describe_system([]),
        folder=results,
        file=f"infer-{name}.json",
    )
    console.print(f"wrote {path.name}")


def write_pictures(folder: Path, count: int, side: int) -> list[Path]:
    """JPEG files of drawn parts, as a camera stores them."""
    folder.mkdir(parents=True)
    drawn: list[bytes] = []
    for number in range(DRAWN):
        product = sorted(PRODUCTS)[number % len(PRODUCTS)]
        part, _ = render_part(product, "good", np.random.default_rng(number), side)
        drawn.append(cv2.imencode(".jpg", part[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())
    paths = [folder / f"{number:05}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(drawn[number % DRAWN])
    return paths


def ways(detector: Detector, paths: list[Path], out: Path) -> dict[str, Callable[[dict[str, float]], float]]:
    """By name, what takes its time in seconds; told the seconds of the ways before it in this round."""
    overlays = Overlays(out, overlay_names(paths, ".jpg"), OverlayStyle())
    takes = detector.bundle.manifest.input
    batch = detector.backend.max_batch
    fitted = np.random.default_rng(0).integers(0, 256, (batch, *takes.image_size, 3), dtype=np.uint8)

    def on_all_cores(work: Callable[[Path], bool]) -> None:
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            assert all(pool.map(work, paths))

    def engine() -> None:
        for start in range(0, len(paths), batch):
            detector.backend.infer(fitted[: min(batch, len(paths) - start)])

    def infer(judge: Detector, drawing: Overlays | None = None) -> None:
        lines = list(Pipeline(judge, Rules(), drawing).lines(paths))
        assert len(lines) == len(paths)
        assert not any("error" in line for line in lines), lines[0]

    def elsewhere(before: dict[str, float]) -> float:
        waiting = Waiting(detector, before["prepare"] / len(paths))
        return timed(lambda: infer(Detector(detector.bundle, waiting, "waits")))  # pyright: ignore[reportArgumentType]

    return {
        "decode": lambda _: timed(lambda: on_all_cores(lambda path: load_image(path).size > 0)),
        "prepare": lambda _: timed(lambda: on_all_cores(lambda path: as_images(read_image(path), takes).size > 0)),
        "engine": lambda _: timed(engine),
        "infer": lambda _: timed(lambda: infer(detector)),
        "overlays": lambda _: timed(lambda: infer(detector, overlays)),
        "elsewhere": elsewhere,
    }


class Waiting:
    """An engine on another device, seen from this one: it takes its time and no core.

    Attributes:
        max_batch: of the detector it stands in for, as are its other properties.
    """

    lost = ""

    def __init__(self, model: Detector, seconds: float) -> None:
        backend = model.backend
        self.name, self.precision, self.artifact = backend.name, backend.precision, backend.artifact
        self.max_batch, self.description = backend.max_batch, "waits"
        self._seconds = seconds
        self._outputs = Prediction.empty(self.max_batch, model.bundle.manifest.input.size)
        for output in self._outputs:
            output.fill(0)

    def infer(self, images: NDArray[np.uint8]) -> Prediction:
        """Waits for as many images; finds nothing."""
        time.sleep(self._seconds * len(images))
        return self._outputs.part(0, len(images))


def timed(run: Callable[[], None]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def measure_rounds(
    calls: Mapping[str, Callable[[dict[str, float]], float]], count: int, rounds: int, watch: Watch
) -> dict[str, dict[str, Any]]:
    """Pictures a second of every way: all rounds and their median; a round before them warms up."""
    found: dict[str, list[float]] = {way: [] for way in calls}
    for turn in range(rounds + 1):
        watch.probe()
        seconds: dict[str, float] = {}
        for way, call in calls.items():
            seconds[way] = call(seconds)
            found[way].append(count / seconds[way])
        told = ", ".join(f"{way} {rates[-1]:.1f}" for way, rates in found.items())
        console.print(f"turn {turn}, pictures a second: {told}")
    return {
        way: {"median": round(median(rates[1:]), 2), "rounds": [round(rate, 2) for rate in rates[1:]]}
        for way, rates in found.items()
    }


def shares(rates: Mapping[str, Mapping[str, Any]]) -> dict[str, list[float]]:
    """What `infer` reaches of what it could, of every round.

    ``elsewhere``: of preparing, which is as slow as that engine. ``same_cores``: of what preparing and engine leave
    each other of the same cores, 1 / (1 / prepare + 1 / engine). ``slower``: of the slower of decoding and
    engine, which on the same cores nothing could reach.
    """
    rounds = {way: own["rounds"] for way, own in rates.items()}
    both = list(zip(rounds["prepare"], rounds["engine"], strict=True))
    slower = [min(pair) for pair in zip(rounds["decode"], rounds["engine"], strict=True)]
    return {
        "elsewhere": _ratios(rounds["elsewhere"], rounds["prepare"]),
        "same_cores": _ratios(rounds["infer"], [1 / (1 / one + 1 / other) for one, other in both]),
        "slower": _ratios(rounds["infer"], slower),
        "overlays_same_cores": _ratios(rounds["overlays"], [1 / (1 / one + 1 / other) for one, other in both]),
    }


def _ratios(rates: list[float], most: list[float]) -> list[float]:
    return [round(one / other, 3) for one, other in zip(rates, most, strict=True)]


def infer_table(results: Mapping[str, Result], name: str) -> str:
    """Pictures a second of every way, and what `infer` reaches of what it could.

    Raises:
        DataError: it has not been measured.
    """
    result = require_result(results, KIND, name)
    figures, settings = result.figures, result.settings
    body = [[WAYS[way], _spread(own["rounds"], 1), "–"] for way, own in figures["ways"].items()]
    cells = {"infer": "same_cores", "overlays": "overlays_same_cores", "elsewhere": "elsewhere"}
    for row, way in zip(body, figures["ways"], strict=True):
        if way in cells:
            row[2] = _spread(figures["shares"][cells[way]], 2)
    noise = "".join(f"; {warning}" for warning in figures["noise"]["warnings"])
    width, height = settings["size"]
    note = (
        f"<sub>{settings['pictures']} JPEG pictures of {width}x{height} and {settings['bytes'] / 1e6:.1f} MB, medians "
        f"and (lowest to highest) of {settings['rounds']} rounds in turn, {settings['backend']}, {settings['threads']} "
        f"cores, {result.machine['processor']}, {origin(result)}{noise}</sub>\n"
    )
    return table(["", "pictures a second", "share of what is possible"], body) + "\n" + note


def _spread(values: list[float], decimals: int) -> str:
    return f"{median(values):.{decimals}f} ({min(values):.{decimals}f} to {max(values):.{decimals}f})"


if __name__ == "__main__":
    run_command(measure)
