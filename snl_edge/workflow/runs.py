"""`train`, `ignore` and `load_run`: a run folder made, changed and opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snl_edge.arguments import (
    optional_path,
    require_kind,
    require_path,
    require_switch,
    require_text,
    require_texts,
)
from snl_edge.atomic import require_writable
from snl_edge.errors import BundleError, ConfigError
from snl_edge.extras import TRAINING, require
from snl_edge.loggers import logger_names, logging_to

from .datasets import opened
from .needs import require_for_run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from snl_edge.data.samples import Dataset
    from snl_edge.loggers import LoggerName
    from snl_edge.model.config import SnlConfig
    from snl_edge.training.config import TrainingConfig
    from snl_edge.training.run import Run


def train(
    data: Path | str | Dataset,
    out: Path | str,
    *,
    model: SnlConfig | str | None = None,
    settings: Sequence[str] = (),
    training: TrainingConfig | None = None,
    cluster: str | None = None,
    ignore: Path | str | None = None,
    resume: bool = False,
    replace: bool = False,
    start_from: Path | str | None = None,
    review: Path | str | None = None,
    log: Sequence[LoggerName] | LoggerName = (),
) -> Run:
    """Learns what good parts look like, and writes a run folder.

    The same seed, images and machine give the same model. No defect and no test image is ever looked at. Needs the
    ``train`` extra.

    Example:
        ```python
        from snl_edge import TrainingConfig, train

        run = train("parts/", "runs/line3", training=TrainingConfig(steps=600))
        print(run.products, run.checkpoint.doubts)
        ```

    Args:
        data: a data set, or the folder or table that :func:`open_dataset` understands.
        out: the run folder.
        model: a preset's name (``edge``, ``balanced``, ``accurate``) or a whole configuration. If not given: that of
            ``start_from``, else ``edge``.
        settings: changes of it, as ``height=512`` or ``student.cram.centres=32``.
        training: steps, batch size, seed and the rest; the defaults of :class:`TrainingConfig` if not given.
        cluster: nobody sorted ``data``: how many products to find in it, or ``auto``.
        ignore: folder of regions that do not count, ``PRODUCT.png`` (not black) or ``PRODUCT.json`` (polygons).
        resume: go on with the interrupted run in ``out``.
        replace: train again where ``out`` holds a run, which stays valid until the new one is finished.
        start_from: a finished run whose student is trained on; ``data`` needs its images, too, or they are forgotten.
        review: the run's ``review/suspicious.csv`` with verdicts of a person.
        log: where losses go, too: ``tensorboard`` (``out/tensorboard``), ``mlflow``, or both.

    Raises:
        ConfigError: a setting cannot work, or packages are missing: the message names the extra.
        DataError: an image, the review or too small a product cannot be used; nothing has been written then.
        CheckpointError: the teacher's weights, or the run in ``start_from``, is not available.
        OutputError: ``out`` cannot be written, or holds a run that may not be replaced.
    """
    cluster = None if cluster is None else require_text(cluster, "cluster")
    require("training", *TRAINING, *(["sklearn"] if cluster else []), extra="train")
    from snl_edge.training.config import TrainingConfig
    from snl_edge.training.loop import train as run_training
    from snl_edge.training.run import Run

    folder, started = require_path(out, "out"), optional_path(start_from, "start_from")
    regions, table = optional_path(ignore, "ignore"), optional_path(review, "review")
    resume, replace = require_switch(resume, "resume"), require_switch(replace, "replace")
    places = logger_names(log)
    if training is None:
        training = TrainingConfig()
    training = require_kind(training, "training", TrainingConfig, "give a TrainingConfig(...)")
    config = configured(model, settings, started)
    require_writable(folder)
    dataset = opened(data).with_bits(training.bits)
    if cluster is not None:
        from snl_edge.training.cluster import cluster_products

        dataset = cluster_products(dataset, config, cluster, training.batch_size)
    ignored = None
    if regions is not None:
        from snl_edge.data.regions import read_regions

        ignored = read_regions(regions, dataset, config.size)
    said = {"model": config.model_dump(), "training": training.model_dump(), "products": list(dataset.products)}
    with logging_to(places, folder, f"train {folder.name}", said) as loggers:
        checkpoint = run_training(
            config,
            training,
            dataset,
            folder,
            resume=resume,
            ignored=ignored,
            replace=replace,
            start_from=started,
            review=table,
            log=loggers.write,
        )
    return Run(folder, checkpoint)


def configured(model: SnlConfig | str | None, settings: Sequence[str], start_from: Path | None) -> SnlConfig:
    """What to train; arguments as `train`, which has it looked at before the data.

    Raises:
        ConfigError: a setting does not exist or cannot work.
        CheckpointError: ``start_from`` holds no run.
    """
    from snl_edge.model.config import SnlConfig, override
    from snl_edge.model.presets import preset
    from snl_edge.training.checkpoint import read_checkpoint

    changes = require_texts(settings, "settings")
    if model is None and start_from is not None and not changes:
        return read_checkpoint(start_from).model
    return override(model if isinstance(model, SnlConfig) else preset("edge" if model is None else model), changes)


def load_run(path: Path | str) -> Run:
    """A finished run, its weights checked against their hash. Needs the ``train`` extra.

    Example:
        ```python
        from snl_edge import load_run

        run = load_run("runs/line3")
        snl = run.model(device="cuda")  # a torch module
        ```

    Raises:
        ConfigError: packages are missing.
        CheckpointError: there is no run, or it is damaged or from another version.
    """
    require("a run", *TRAINING, extra="train")
    from snl_edge.training.checkpoint import verify_checkpoint
    from snl_edge.training.run import Run

    folder = require_path(path, "path")
    return Run(folder, verify_checkpoint(folder))


@dataclass(frozen=True)
class Ignored:
    """What :func:`ignore` changed."""

    run: Run
    """As it is now."""
    product: str
    share: float
    """Of the product's picture that does not count, 0 to 1."""
    threshold_before: float
    threshold: float
    """On the score scale: it was set again."""
    doubts: tuple[str, ...]
    """That the run did not have before, a line each."""
    refused: tuple[Path, ...]
    """Bundles in the run's folder, of the regions before, that are refused from now on."""
    picture: Path | None
    """Shows what is ignored; None where nothing is."""


def ignore(
    run: Path | str,
    data: Path | str | Dataset,
    product: str,
    *,
    mask: Path | str | None = None,
    polygons: Sequence[str] | str = (),
    clear: bool = False,
) -> Ignored:
    """Sets the regions of a product that do not count, in place of those before, and its thresholds again.

    Bundles have to be built again. Needs the ``train`` extra.

    Example:
        ```python
        from snl_edge import ignore

        changed = ignore("runs/line3", "parts/", "gear", polygons="10,10 90,10 90,40 10,40")
        print(changed.share, changed.threshold_before, changed.threshold)
        ```

    Args:
        run: the finished run.
        data: the data set that it was trained on, or its folder or table: good images are judged again.
        product: one of its products.
        mask: image in which all that is not black is ignored, or ``.json`` with polygons.
        polygons: corners as ``"x,y x,y x,y"``, in pixels of the product's images; one alone, or several.
        clear: ignore nothing of the product any more; without ``mask`` and ``polygons``.

    Raises:
        ConfigError: it is not clear what to ignore, the run has no such product, or packages are missing.
        CheckpointError: the run cannot be read, or does not say which images it was trained on.
        DataError: mask or polygons mark nothing, nearly everything or another picture, or the run's images are missing.
        BundleError: ``run`` is a bundle: what it ignores is part of its graphs.
        OutputError: the run cannot be written.
    """
    from snl_edge.runtime.manifest import FILE as MANIFEST

    folder, drawn = require_path(run, "run"), optional_path(mask, "mask")
    name, corners = require_text(product, "product"), require_texts(polygons, "polygons")
    if (folder / MANIFEST).is_file():
        raise BundleError(
            f"{folder} is a bundle: what it ignores is part of its graphs",
            fix="change it in the run folder, and build the bundle again",
        )
    if require_switch(clear, "clear") == (drawn is not None or bool(corners)):
        raise ConfigError("it is not clear what to ignore", fix="give a mask or polygons, or clear alone")
    require_for_run(folder)
    from snl_edge.data.layouts import open_dataset
    from snl_edge.data.samples import Dataset
    from snl_edge.training.checkpoint import read_checkpoint
    from snl_edge.training.ignored import PICTURES, change_regions
    from snl_edge.training.image_record import as_learned
    from snl_edge.training.run import Run

    before = read_checkpoint(folder)
    images = data if isinstance(data, Dataset) else open_dataset(require_path(data, "data"), trains=False)
    images = as_learned(folder, images)
    region = None if clear else _region(images, name, drawn, corners, before.model.size)
    after, refused = change_regions(folder, images, name, region)
    share = after.ignored.get(name, 0.0)
    return Ignored(
        Run(folder, after),
        name,
        share,
        before.score_scale.product_thresholds[name],
        after.score_scale.product_thresholds[name],
        tuple(sorted(set(after.doubts) - set(before.doubts))),
        tuple(refused),
        folder / PICTURES / f"{name}.png" if share else None,
    )


def _region(
    dataset: Dataset, product: str, mask: Path | None, polygons: Sequence[str], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """The union of all that is given, at the model's size."""
    import numpy as np

    from snl_edge.data.masks import read_mask
    from snl_edge.data.regions import draw_polygons, fit_region, frame_sizes, parse_polygon, read_polygon_file
    from snl_edge.errors import DataError

    frames = frame_sizes(dataset, product)
    parts: list[NDArray[np.bool_]] = []
    if mask is not None:
        drawn = read_polygon_file(mask) if mask.suffix.lower() == ".json" else read_mask(mask)
        parts.append(fit_region(drawn, product, frames, size, str(mask)))
    if polygons:
        if len(frames) > 1:
            raise DataError(
                f"images of product {product} have {len(frames)} sizes",
                "corners in pixels are not the same place in all of them",
                "give a mask, or a .json with its picture's size",
            )
        drawn = draw_polygons([parse_polygon(text) for text in polygons], frames[0], "what was given")
        parts.append(fit_region(drawn, product, frames, size, "the polygons"))
    return fit_region(np.any(parts, axis=0), product, [size], size, "all of it together")
