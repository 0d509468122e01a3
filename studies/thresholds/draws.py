"""What thresholds keep of their promise when they rest on few images: false rejects on good parts never drawn.

``python -m studies.thresholds.draws DATA --name real10``

Of every product N good images are drawn at random; one model learns them all, and every good image that was not drawn,
of the training pool and of the test set, is judged, and every defective one (``MOST_GOOD`` and ``MOST_DEFECTIVE`` of a
product at most). The raw scores of each draw are kept in ``--work``, so the same command goes on where an earlier one
stopped, and rules for thresholds can be compared without training again (:mod:`.rates`). A product takes part
in a size if at least ``LEAST_REST`` good images of it remain undrawn.

One model more learns all images. Its scores of these, each left out, are drawn from many times, which tells what chance
does to thresholds better than the few trainings can; they tell what few images do to the model.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer

from snl_edge.atomic import write_text
from snl_edge.data.layouts import open_dataset
from snl_edge.data.loader import ImageStore
from snl_edge.data.samples import Dataset, Sample
from snl_edge.errors import DataError
from snl_edge.model.config import SnlConfig, override
from snl_edge.model.presets import preset as named
from snl_edge.model.snl import Snl
from snl_edge.outside.json_text import faults, read_model
from snl_edge.progress import console
from snl_edge.provenance import revision
from snl_edge.training.checkpoint import load_model
from snl_edge.training.config import TrainingConfig
from snl_edge.training.image_record import find_images
from snl_edge.training.loop import train
from snl_edge.training.thresholds import ImageSets, good_images

from ..command import run_command
from ..result_files import FOLDER, save_result
from ..trained_runs import comparable
from .rates import KIND, WHOLE, Draw, Scores, measure_rates

LEAST_REST = 20
MOST_GOOD = 60
"""Undrawn good images that are judged of each product, and below defective ones; drawn at random where it has more."""
MOST_DEFECTIVE = 20


def threshold_draws(
    data: Annotated[Path, typer.Argument(help="Data set in MVTec AD or VisA layout, with a test set.")],
    name: Annotated[str, typer.Option(help="Name of the result file.")],
    sizes: Annotated[
        str, typer.Option(help="Good images of each product, drawn from the scores of one model.")
    ] = "2,3,5,10,20,50,150",
    train_on: Annotated[str, typer.Option(help="Good images of each product that a model is trained on.")] = "20",
    draws: Annotated[int, typer.Option(min=0, help="Of each size.")] = 1,
    work: Annotated[Path, typer.Option(help="Folder for the scores of each draw.")] = Path("runs/threshold_draws"),
    most: Annotated[
        int | None, typer.Option(min=0, help="Train so many of the draws that are missing; all if not given.")
    ] = None,
    preset: Annotated[str, typer.Option()] = "edge",
    size: Annotated[int, typer.Option(help="Of the input, in pixels.")] = 128,
    steps: Annotated[int, typer.Option(help="Of training, 16 images each.")] = 150,
) -> None:
    """Trains on draws from DATA, and writes false rejects and escapes by number of images."""
    revision()  # of the code that starts, whatever is committed meanwhile
    dataset = open_dataset(data)
    config = override(named(preset), [f"height={size}", f"width={size}"])
    resampled, numbers = ([int(images) for images in text.split(",")] for text in (sizes, train_on))
    wanted = [(WHOLE, 0), *((images, number) for number in range(draws) for images in numbers)]
    settings: dict[str, object] = {
        "preset": preset,
        "model": config.model_dump(mode="json"),
        "training": comparable(TrainingConfig(steps=steps)),
        "data": dict(Counter(sample.product for sample in (*dataset.train, *dataset.test))),
    }
    done, trained = [], 0
    for images, number in wanted:
        path = work / f"{images}-{number}.json"
        draw = read_draw(path, settings)
        if draw is None and (most is None or trained < most):
            console.print(f"draw {number} of {images or 'all'} images")
            draw = make_draw(dataset, config, TrainingConfig(steps=steps, seed=number), images, settings)
            work.mkdir(parents=True, exist_ok=True)
            write_text(path, draw.model_dump_json() + "\n")
            trained += 1
        if draw is not None:
            done.append(draw)
    if len(done) < len(wanted):
        typer.echo(f"{len(done)} of {len(wanted)} draws are done; go on with the same command")
        return
    path = save_result(
        KIND,
        name,
        settings={**settings, "draws": draws},
        figures=measure_rates(done, sorted({*resampled, *(numbers if draws else [])})),
        folder=FOLDER,
        file=f"{KIND}-{name}.json",
    )
    typer.echo(f"wrote {path}")


def read_draw(path: Path, settings: dict[str, object]) -> Draw | None:
    """The draw in the file ``path``; None if there is none of these settings.

    Raises:
        DataError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        draw = read_model(Draw, path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no draw", faults(error), "remove it") from error
    return draw if draw.settings == settings else None


def choose_images(dataset: Dataset, images: int, number: int) -> tuple[list[Sample], list[Sample]]:
    """``images`` good images of each product that has enough, and the good ones of these products that remain.

    ``WHOLE`` takes all of the training pool, and leaves none.
    """
    drawn: list[Sample] = []
    rest: list[Sample] = []
    for product in dataset.products:
        pool = sorted((s for s in dataset.train if s.product == product), key=lambda s: s.path)
        unseen = [s for s in dataset.test if s.product == product and s.is_good]
        if images == WHOLE:
            drawn += pool
            continue
        if len(pool) < images or len(pool) - images + len(unseen) < LEAST_REST:
            continue
        random.Random(f"{number} {images} {product}").shuffle(pool)
        drawn += pool[:images]
        rest += _some([*pool[images:], *unseen], MOST_GOOD, number)
    return drawn, rest


def _some(samples: list[Sample], most: int, number: int) -> list[Sample]:
    return random.Random(number).sample(samples, most) if len(samples) > most else samples


def make_draw(
    dataset: Dataset, config: SnlConfig, training: TrainingConfig, images: int, settings: dict[str, object]
) -> Draw:
    """Draws, trains and judges; the seed of ``training`` is the number of the draw.

    Raises:
        DataError: no product has enough images, or one cannot be read.
    """
    drawn, rest = choose_images(dataset, images, training.seed)
    if not drawn:
        raise DataError(f"no product of {dataset.root} has {images} good images and {LEAST_REST} more")
    products = {sample.product for sample in drawn}
    defective = [
        sample
        for product in sorted(products)
        for sample in _some(
            [s for s in dataset.test if s.product == product and not s.is_good], MOST_DEFECTIVE, training.seed
        )
    ]
    data = Dataset(dataset.root, dataset.layout, tuple(drawn), ())
    with tempfile.TemporaryDirectory() as folder:
        train(config, training, data, Path(folder))
        model, _ = load_model(Path(folder))
        sets = ImageSets.found(find_images(Path(folder), data), config.size)
    held_out, left_out, stood_out = good_images(model, sets, training).scores
    return Draw(
        images=images,
        number=training.seed,
        settings=settings,
        revision=revision(),
        held_out=held_out,
        left_out=left_out,
        stood_out=stood_out,
        good=score_images(model, rest, training.batch_size),
        defective=score_images(model, defective, training.batch_size),
    )


@torch.no_grad()
def score_images(model: Snl, samples: Sequence[Sample], batch_size: int) -> Scores:
    """Raw scores of images by product, as the graph gives them: by the memory of the product that it recognises."""
    scores: Scores = {}
    for indices, images in ImageStore(samples, model.config.size, budget=0).batches(batch_size):
        _, judged, _, _ = model(torch.from_numpy(images))
        for index, score in zip(indices, judged.tolist(), strict=True):
            scores.setdefault(samples[index].product, []).append(score)
    return scores


if __name__ == "__main__":
    run_command(threshold_draws)
