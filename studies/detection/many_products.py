"""A hundred products in one model: are they told apart, and what does the graph cost?

``python -m studies.detection.many_products --name drawn-96``; every product is drawn, no data is needed.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from snl_edge.bundling.build import build
from snl_edge.data.layouts import open_dataset
from snl_edge.data.samples import GOOD, Sample
from snl_edge.data.synthetic import DEFECTS, PRODUCTS, render_part
from snl_edge.errors import ConfigError
from snl_edge.export.onnx_graph import read_graph
from snl_edge.export.parity import run_graph
from snl_edge.image import fit_to_input, read_image
from snl_edge.model.config import override
from snl_edge.model.presets import preset as named
from snl_edge.progress import progress_bar
from snl_edge.provenance import revision
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.detector import Detector
from snl_edge.runtime.verdict import Judge
from snl_edge.training.config import TrainingConfig
from snl_edge.training.loop import train

from ..command import run_command
from ..result_files import save_result

TIMED = 50
"""Images that the latency is the median of."""


class Variant:
    """One drawn product: a part of the synthetic line in a hue, a size and a pattern of its own.

    Args:
        number: which; the same number is the same product.
    """

    def __init__(self, number: int) -> None:
        rng = np.random.default_rng((2024, number))
        self.name = f"product-{number:03}"
        self.part = list(PRODUCTS)[number % len(PRODUCTS)]
        self.hue = int(rng.integers(0, 180))
        self.scale = float(rng.uniform(0.6, 1.0))
        self.period = float(rng.uniform(4, 24))
        self.angle = float(rng.uniform(0, np.pi))
        self.contrast = float(rng.uniform(0, 20))

    def draw(self, defect: str, seed: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """A part ``uint8 [size, size, 3]`` RGB and its mask ``uint8 [size, size]``, 0 or 255."""
        image, mask = render_part(self.part, defect, np.random.default_rng((seed, 7)), size)
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + self.hue) % 180
        turned = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
        move = np.array([[self.scale, 0, (1 - self.scale) * size / 2], [0, self.scale, (1 - self.scale) * size / 2]])
        placed = cv2.warpAffine(turned, move, (size, size), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
        where = cv2.warpAffine(mask.astype(np.uint8) * 255, move, (size, size), flags=cv2.INTER_NEAREST)
        y, x = np.mgrid[:size, :size]
        wave = np.sin(2 * np.pi * (x * np.cos(self.angle) + y * np.sin(self.angle)) / self.period)
        patterned = placed + (self.contrast * wave)[..., None]
        return np.clip(np.rint(patterned), 0, 255).astype(np.uint8), np.asarray(where, np.uint8)


def write_products(root: Path, count: int, *, size: int, train: int, good: int, defective: int) -> None:
    """Writes ``count`` drawn products in MVTec AD layout; numbers of images are of each product.

    A product and its images do not depend on how many others there are.
    """
    for number in range(count):
        variant = Variant(number)
        defects = DEFECTS[variant.part]
        plan = [("train", GOOD)] * train + [("test", GOOD)] * good
        plan += [("test", defects[turn % len(defects)]) for turn in range(defective)]
        for index, (split, defect) in enumerate(plan):
            image, mask = variant.draw(defect, number * len(plan) + index, size)
            folder = root / variant.name
            _write(folder / split / defect / f"{index:03}.png", image[..., ::-1])
            if defect != GOOD:
                _write(folder / "ground_truth" / defect / f"{index:03}_mask.png", mask)


def many_products(
    name: Annotated[str, typer.Option(help="Name of the result file.")],
    counts: Annotated[str, typer.Option(help="Numbers of products, a model each.")] = "10,100",
    size: Annotated[int, typer.Option(help="Pixels of pictures and model, a multiple of 32.")] = 96,
    images: Annotated[int, typer.Option(help="To train on, of each product.")] = 10,
    steps: Annotated[int, typer.Option()] = 100,
    centres: Annotated[int, typer.Option(help="Patches that the memory keeps of each product.")] = 512,
) -> None:
    """Trains a model of each number of products, builds its FP16 graph, and judges parts that it has not seen."""
    revision()  # of the code that starts, whatever is committed meanwhile
    try:
        numbers = [int(count) for count in counts.split(",")]
    except ValueError as error:
        raise ConfigError(f"--counts {counts} are no numbers", fix="give numbers such as 10,100") from error
    config = override(named("edge"), [f"height={size}", f"width={size}", f"memory.centres={centres}"])
    training = TrainingConfig(steps=steps, batch_size=16, device="cpu")
    figures: dict[str, Any] = {}
    for count in numbers:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            write_products(folder / "data", count, size=size, train=images, good=4, defective=2)
            dataset = open_dataset(folder / "data")
            started = time.perf_counter()
            train(config, training, dataset, folder / "run")
            trained = time.perf_counter()
            bundle = build(folder / "run", folder / "bundle", "fp16", engine=False, max_batch=1)
            built = time.perf_counter()
            figures[str(count)] = {
                **recognised(bundle, dataset.test),
                "training_seconds": round(trained - started, 1),
                "build_seconds": round(built - trained, 1),
                "graph_bytes": {p: Bundle.open(bundle).graph(p).stat().st_size for p in ("fp32", "fp16")},
                "milliseconds": latency(bundle, dataset.test),
            }
        typer.echo(f"{count} products: {figures[str(count)]}")
    path = save_result(
        "many_products",
        name,
        settings={
            "counts": numbers,
            "model": config.model_dump(mode="json"),
            "training": training.model_dump(mode="json"),
            "training_images": images,
        },
        figures=figures,
    )
    typer.echo(f"wrote {path}")


def recognised(bundle: Path, samples: Sequence[Sample]) -> dict[str, Any]:
    """What the FP16 graph, its roundings shown, makes of test parts; shares as fractions."""
    manifest = Bundle.open(bundle).manifest
    pictures = np.stack([fit_to_input(read_image(sample.path), manifest.input.size) for sample in samples])
    with progress_bar("judging") as report:
        prediction = run_graph(read_graph(Bundle.open(bundle).graph("fp16")), pictures)
        report(len(samples), len(samples))
    judge = Judge(manifest, "fp16")
    verdicts = [judge.verdict(prediction, index, manifest.input.size) for index in range(len(samples))]
    nearest = [manifest.products[number] for number in prediction.product]
    good = np.array([sample.is_good for sample in samples])
    own = np.array([name == sample.product for name, sample in zip(nearest, samples, strict=True)])
    kinds = np.array([verdict.kind for verdict in verdicts])
    return {
        "good_test_images": int(good.sum()),
        "defective_test_images": int((~good).sum()),
        "accuracy": float(own[good].mean()),
        "defective_accuracy": float(own[~good].mean()),
        **{f"good_{kind}": float((kinds[good] == kind).mean()) for kind in ("good", "reject", "unknown")},
        **{f"defective_{kind}": float((kinds[~good] == kind).mean()) for kind in ("good", "reject", "unknown")},
    }


def latency(bundle: Path, samples: Sequence[Sample]) -> float:
    """Median milliseconds of one image through the FP32 graph in ONNX Runtime, one thread."""
    with Detector.load(bundle, backend="onnxruntime", precision="fp32", threads=1) as detector:
        frames = [read_image(sample.path) for sample in samples[:TIMED]]
        detector.detect(frames[:3])
        times: list[float] = []
        for frame in frames:
            started = time.perf_counter()
            detector.detect([frame])
            times.append(1e3 * (time.perf_counter() - started))
    return round(statistics.median(times), 2)


def _write(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


if __name__ == "__main__":
    run_command(many_products)
