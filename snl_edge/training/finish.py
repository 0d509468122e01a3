"""After the last step: what is fitted beside the student, thresholds, and the files of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snl_edge import provenance
from snl_edge.counted import counted
from snl_edge.data.loader import ImageStore
from snl_edge.model.snl import Snl
from snl_edge.progress import console, progress_bar

from .camera_changes import features_with_copies, memory_weights, with_copies
from .checkpoint import Checkpoint, ignored_shares, save_weights
from .config import TrainingConfig
from .coreset import fill_memory
from .curves import draw_curves
from .expected import fit_expected
from .feature_cache import FeatureSource
from .ignored import FOLDER as REGIONS
from .ignored import PICTURES, draw_regions
from .image_record import RunImages
from .preparation import Prepared, by_gravity, say
from .recognition import learn_products
from .reference import FOLDER as REFERENCE
from .reference import save_reference
from .resume import RunState
from .review import PLACE, Verdict, write_review
from .second_look import look_again
from .switch import staging, switch
from .threshold_findings import threshold_findings
from .thresholds import ImageSets, fit_map_weights, fit_thresholds
from .tight_regions import tight_region_findings


def finish(
    model: Snl,
    source: FeatureSource,
    store: ImageStore,
    sets: ImageSets,
    prepared: Prepared,
    training: TrainingConfig,
    state: RunState,
    verdicts: Mapping[str, Verdict],
    ignored: Mapping[str, NDArray[np.bool_]],
    folder: Path,
) -> Checkpoint:
    """Makes a run of a ``model`` whose student is trained; until its checkpoint is written an earlier one holds.

    Args:
        model: in evaluation mode.
        source: features of the training images.
        store: the training images.
        sets: what they are used for.
        prepared: what is known of them.
        training: how the student was trained.
        state: its losses and seconds.
        verdicts: what a person said of images, by SHA-256.
        ignored: by product, the pixels that do not count, as the model has them.
        folder: the run's.

    Raises:
        OutputError: it cannot be written.
    """
    learn_normality(model, source, sets, prepared.indices("trained"), training)
    roles = prepared.roles
    prepared, suspicious = look_again(model, store, prepared, training)
    if prepared.roles != roles:
        sets = ImageSets.of(store, prepared.entries)
        fit_memory(model, source, sets, prepared.indices("trained"), training)
    score_scale, reference = fit_thresholds(model, sets, training)
    products = tuple(sorted({sample.product for sample in store.samples}))
    few = threshold_findings(score_scale)
    tight = tight_region_findings(model, (sets.held_out, sets.thresholds), products, training.batch_size)
    say([*suspicious, *few, *tight], before=len(prepared.findings))
    findings = by_gravity([*prepared.findings, *prepared.read, *suspicious, *few, *tight])
    weights, digest = save_weights(model, folder)
    checkpoint = Checkpoint(
        model=model.config,
        training=training,
        products=products,
        training_images=len(sets.trained),
        score_scale=score_scale,
        reference=reference,
        doubts=tuple(finding.text for finding in findings),
        ignored=ignored_shares(model, products),
        weights=weights,
        weights_sha256=digest,
        images=RunImages(weights_sha256=digest, images=prepared.entries).write(folder),
        seconds=round(state.seconds, 1),
        created=provenance.now(),
        revision=provenance.revision(),
        machine=provenance.machine(),
        versions=provenance.versions(),
    )
    with staging(folder) as stage:
        draw_curves(state.history, stage / "losses.png")
        save_reference(sets.held_out.samples, store.size, stage)
        draw_regions(stage, ignored, stage / REFERENCE)
        write_review(folder, stage, checkpoint, model, store, prepared.entries, findings, verdicts)
        switch(checkpoint, stage, folder, (REFERENCE, REGIONS, PICTURES))
    if findings:
        how = ", which says what to do about suspicious images" if suspicious else ""
        console.print(f"{counted(len(findings), 'doubt')}: see {folder / PLACE}{how}")
    return checkpoint


def learn_normality(
    model: Snl, source: FeatureSource, sets: ImageSets, trained: Sequence[int], training: TrainingConfig
) -> None:
    """All that is fitted beside the student: recognition, memory, and the weights of distances.

    Recognition and memory are fitted to changed copies of the images, too (:mod:`.camera_changes`).
    ``trained`` says where the images trained on stand in ``source``.
    """
    copied = with_copies(sets.trained, training)
    # Everything after it asks which product an image shows.
    learn_products(model, copied, _groups_of(copied, sets), training)
    fit_memory(model, source, sets, trained, training)


def fit_memory(
    model: Snl, source: FeatureSource, sets: ImageSets, trained: Sequence[int], training: TrainingConfig
) -> None:
    """Fills the memory, with what it expects, and sets the weights of distances; arguments as `learn_normality`."""
    if model.memory is not None and model.config.memory is not None:
        copied = with_copies(sets.trained, training)
        shown = [sample.product for sample in copied.samples]
        products = sorted(set(shown))
        with progress_bar("filling the memory") as report:
            fill_memory(
                model.memory,
                features_with_copies(source, trained, copied),
                [products.index(product) for product in shown],
                _groups_of(copied, sets),
                model.config.memory.candidates,
                training.batch_size,
                training.seed,
                report,
                memory_weights(len(copied), len(sets.trained), training),
            )
        if model.memory.expected is not None:
            with progress_bar("learning what is expected") as report:
                fit_expected(model, sets.trained, sets.trained_groups, training.batch_size, report)
    fit_map_weights(model, sets.held_out, training)


def _groups_of(copied: ImageStore, sets: ImageSets) -> list[int]:
    return np.tile(sets.trained_groups, len(copied) // len(sets.trained)).tolist()
