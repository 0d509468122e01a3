"""`train` and `evaluate`: on the workstation, with images."""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from snl_edge.answer import say_json
from snl_edge.errors import ConfigError
from snl_edge.extras import TRAINING, require

from .app import app
from .numbers import MOST_SEED, number
from .options import RUN, Backend, Bits, Data, Json, Layout, LayoutOption, Log, Products, open_data


class Augment(str, Enum):
    """Random changes of training images."""

    none = "none"
    flips = "flips"
    dihedral = "dihedral"


class Device(str, Enum):
    """Where training runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="Run folder: checkpoint, loss curves, reference images.")] = RUN,
    preset: Annotated[
        str | None,
        typer.Option(
            help="edge (the default, EfficientNet-Lite0), balanced (with a larger memory), accurate (WRN-50-2)."
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Teacher's weights: timm, packaged, plugin, or a .safetensors or .pth file.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="Input size, as 256 or HEIGHTxWIDTH; multiples of 32.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any model setting, as student.cram.centres=32.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, max=10_000_000, help="Training steps.")] = 1200,
    batch_size: Annotated[int, typer.Option(min=2, max=4096, help="Images per step.")] = 16,
    learning_rate: Annotated[float, typer.Option(parser=number(0, 1, above=True), help="Peak learning rate.")] = 2e-3,
    augment: Annotated[
        Augment, typer.Option(help="none; flips; dihedral, for parts that lie any way round.")
    ] = Augment.none,
    camera_changes: Annotated[
        bool,
        typer.Option(help="Learn from changed copies, too: other light, focus, noise, JPEG, a small turn or shift."),
    ] = True,
    false_reject_budget: Annotated[
        float,
        typer.Option(
            parser=number(0, 0.5, above=True, below=True), help="Share of good parts the threshold may reject."
        ),
    ] = 0.01,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Same seed, images and machine: same model.")] = 0,
    cache_gib: Annotated[
        float, typer.Option(parser=number(0, 65536), help="Memory for decoded images and teacher features, in GiB.")
    ] = 4.0,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.auto,
    cluster: Annotated[
        str | None, typer.Option(help="DATA is not sorted by product: find its products, a number of them or auto.")
    ] = None,
    ignore: Annotated[
        Path | None,
        typer.Option(help="Folder of regions that do not count: PRODUCT.png (not black) or PRODUCT.json (polygons)."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    bits: Bits = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Train again where --out holds a run; it stays until the new one is done.")
    ] = False,
    start_from: Annotated[
        Path | None,
        typer.Option(help="Finished run to train on from: DATA needs its images, too, or they are forgotten."),
    ] = None,
    review: Annotated[
        Path | None,
        typer.Option(help="RUN/review/suspicious.csv with your verdicts: good (learn it) or defect (leave it out)."),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Learn suspicious images as good ones, without a review; they are named all the same."
        ),
    ] = False,
    layout: LayoutOption = Layout.auto,
    products: Products = None,
    log: Log = None,
) -> None:
    """Learn what good parts look like, from images of good parts only.

    Example: snl-edge train mvtec/ --out runs/line3

    Later, with new images beside the old ones: snl-edge train mvtec/ --start-from runs/line3 --out runs/more
    """
    require("training", *TRAINING, *(["sklearn"] if cluster else []), extra="train")
    from snl_edge.counted import counted
    from snl_edge.progress import console
    from snl_edge.runtime.remedies import build_command
    from snl_edge.training.config import CameraConfig, TrainingConfig
    from snl_edge.training.ignored import PICTURES
    from snl_edge.training.threshold_findings import threshold_lines
    from snl_edge.workflow import runs

    changes = [*([f"teacher.weights={weights}"] if weights else []), *_size_settings(size), *(settings or [])]
    config = runs.configured(preset, changes, start_from)
    dataset = open_data(data, layout, products)
    began = time.monotonic()
    checkpoint = runs.train(
        dataset,
        out,
        model=config,
        training=TrainingConfig(
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            augment=augment.value,
            camera=CameraConfig() if camera_changes else None,
            false_reject_budget=false_reject_budget,
            trust=trust,
            seed=seed,
            cache_gib=cache_gib,
            device=device.value,
            bits=bits,
        ),
        cluster=cluster,
        ignore=ignore,
        resume=resume,
        replace=replace,
        start_from=start_from,
        review=review,
        log=[one.value for one in log or ()],
    ).checkpoint
    console.print(
        f"trained on {checkpoint.training_images} good images of {counted(len(checkpoint.products), 'product')} "
        f"in {time.monotonic() - began:.0f} s, {checkpoint.seconds:.0f} s of them in steps"
    )
    for product, share in checkpoint.ignored.items():
        console.print(f"{share:.1%} of the picture of {product} does not count: look at {out / PICTURES}")
    for text in threshold_lines(checkpoint.score_scale):
        console.print(text)
    measure = f"snl-edge evaluate {data} --model {out}   or: " if dataset.test else ""
    console.print(f"next: {measure}{build_command(out)} --precision fp16")


@app.command()
def evaluate(
    data: Data,
    model: Annotated[Path, typer.Option(help="Run folder, or bundle.")] = RUN,
    out: Annotated[Path | None, typer.Option(help="Report folder; MODEL/report if not given.")] = None,
    backend: Backend = "auto",
    threshold: Annotated[
        float | None,
        typer.Option(
            parser=number(0, 100, above=True), help="Another threshold than the model's own, for all products."
        ),
    ] = None,
    robustness: Annotated[
        bool,
        typer.Option(
            "--robustness", help="Also under other light, focus, noise, JPEG, turn and shift: 14 times as long."
        ),
    ] = False,
    layout: LayoutOption = Layout.auto,
    products: Products = None,
    as_json: Json = False,
    log: Log = None,
) -> None:
    """Measure detection on a labelled test set and write an HTML report.

    What is caught, what escapes and what is falsely stopped comes first. Only pixel metrics need masks of the defects.

    Example: snl-edge evaluate mvtec/ --model runs/line3
    """
    from snl_edge.progress import console
    from snl_edge.workflow import evaluating
    from snl_edge.workflow.needs import require_for_run

    from .evaluated import print_evaluation

    require_for_run(model)
    found = evaluating.evaluate(
        model,
        open_data(data, layout, products, trains=False),
        report=out or model / "report",
        backend=backend,
        threshold=threshold,
        robustness=robustness,
        log=[one.value for one in log or ()],
    )
    if as_json:
        moved = found.robustness
        say_json(found.evaluation.figures() | ({} if moved is None else {"robustness": moved.figures()}))
    else:
        print_evaluation(found.evaluation, None if found.robustness is None else found.robustness.for_report())
    console.print(f"report: {found.page}, figures: {found.metrics}")


def _size_settings(size: str | None) -> list[str]:
    if size is None:
        return []
    height, _, width = size.lower().partition("x")
    if not all(side.isascii() and side.isdecimal() and len(side) < 6 for side in (height, width or height)):
        raise ConfigError(f"--size {size} is not understood", fix="write one number, or HEIGHTxWIDTH, as in 256x384")
    return [f"height={int(height)}", f"width={int(width or height)}"]
