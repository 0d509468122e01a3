"""The training loop: good images in, a checkpoint with thresholds out."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snl_edge.counted import counted
from snl_edge.data.check import inspect_samples
from snl_edge.data.loader import ImageStore
from snl_edge.data.samples import Dataset, Sample
from snl_edge.errors import ConfigError, SnlEdgeError
from snl_edge.model.config import SnlConfig
from snl_edge.model.losses import snl_loss
from snl_edge.model.snl import Snl
from snl_edge.model.teacher import STRIDES
from snl_edge.progress import console, progress_bar

from . import resume as resume_state
from .checkpoint import Checkpoint
from .config import TrainingConfig
from .corruption import corrupt
from .feature_cache import FeatureSource
from .finish import finish
from .ignored import stack_regions, warn_of_forgotten_regions
from .interruption import held_back_interrupt
from .preparation import prepare_images, say
from .resume import RunState, load_state, run_identity, save_state
from .review import read_review
from .run_folder import remove_outdated, require_free, require_no_bundle
from .start import take_student
from .thresholds import ImageSets

SAVE_SECONDS = 60.0
"""Most work that a power cut can cost."""


class TrainingInterruptedError(SnlEdgeError):
    """Training was stopped by the user; its state is on disk."""

    exit_code = 130  # what a shell expects after Ctrl-C


def train(
    config: SnlConfig,
    training: TrainingConfig,
    dataset: Dataset,
    folder: Path,
    *,
    resume: bool = False,
    replace: bool = False,
    start_from: Path | None = None,
    review: Path | None = None,
    ignored: Mapping[str, NDArray[np.bool_]] | None = None,
    log: Callable[[int, Mapping[str, float]], None] = lambda step, values: None,
) -> Checkpoint:
    """Trains SNL on the good images of ``dataset`` and writes a checkpoint into ``folder``.

    The same seed, images and machine give the same model; an interrupted and resumed run gives the same
    model as one that ran through. No defect and no test image is ever looked at.

    Args:
        config: the model.
        training: how it is trained.
        dataset: its training images are used; its findings are taken as said.
        folder: the run's.
        resume: go on with the interrupted run in ``folder``.
        replace: train again where a run lies already; it stays valid until the new one is finished.
        start_from: a finished run whose student is trained on, with these settings and images; memory, recognition and
            thresholds are made again, and no image that it learned is held out.
        review: table in which a person said which suspicious images are good and which defective.
        ignored: by product, the pixels ``bool [H, W]`` of the model's input that do not count
            (:mod:`snl_edge.data.regions`).
        log: gets every tenth step's losses and learning rate, after the step of that number.

    Raises:
        DataError: an image, the review or too small a product cannot be used; nothing has been written then.
        ConfigError, CheckpointError: the settings cannot work or the teacher's weights are not available.
        OutputError: ``folder`` cannot be written, or holds a run that may not be replaced; known before the first step.
        TrainingInterruptedError: Ctrl-C; ``resume=True`` goes on from there.
    """
    if not (resume or replace):
        require_free(folder)
    require_no_bundle(folder)
    if training.augment == "dihedral" and config.height != config.width:
        raise ConfigError(
            f"quarter turns need a square input, not {config.height}x{config.width}",
            fix="use --augment flips",
        )
    device = choose_device(training.device)
    dataset = dataset.with_bits(training.bits)
    # Files that are named come first: whoever mistyped one is not to wait for all images.
    verdicts = read_review(review) if review is not None else {}

    torch.manual_seed(training.seed)
    # Channels last: half again as fast on a CPU, and what tensor cores want.
    products = dataset.products
    model = (
        Snl(config, products=len(products), pretrained=True).to(device).to(memory_format=torch.channels_last).train()
    )
    regions = stack_regions(ignored or {}, products, config.size)
    model.anomaly_map.ignore(regions)
    warn_of_forgotten_regions((folder, start_from), products, ignored or {})
    if start_from is not None:
        training = training.model_copy(update={"start_weights": take_student(model, start_from)})
    with progress_bar("checking images") as report:
        checked = inspect_samples(dataset.train, (), report)
    optimiser = torch.optim.AdamW(
        model.student.parameters(), training.learning_rate, weight_decay=training.weight_decay
    )
    budget = int(training.cache_gib * 2**30)
    store = ImageStore(dataset.train, config.size, budget)
    source = FeatureSource(model, store, training, device, budget - store.cached_bytes)
    with progress_bar("teacher features") as report:
        source.prepare(training.batch_size, report)
    prepared = prepare_images(dataset, store, source, training, verdicts, checked, start_from)
    say(prepared.findings)
    sets, trained = ImageSets.of(store, prepared.entries), prepared.indices("trained")
    samples = sets.trained.samples
    source.measure_statistics(trained, training.batch_size)

    identity = run_identity(config, training, samples, [prepared.entries[i].sha256 for i in trained], regions)
    state = load_state(folder, identity, model, optimiser) if resume else RunState(0, [], 0.0)
    save_state(folder, identity, state, model, optimiser)  # a place that cannot be written fails now, not at the end
    draw = batch_sampler(samples, training, sets.trained_groups.tolist())
    excluded = prepared.roles.count("excluded")
    console.print(
        f"training on {len(samples)} images of {counted(len(products), 'product')} "
        f"({device}, batch {training.batch_size}); "
        f"{len(prepared.roles) - len(samples) - excluded} more judge what it learns"
        + (f", {excluded} left out" if excluded else "")
    )
    if prepared.merged:
        console.print(prepared.merged)
    saved = time.monotonic()
    started = saved - state.seconds
    with progress_bar("training") as report, ThreadPoolExecutor(1) as prefetch, held_back_interrupt() as interrupted:
        fetch = lambda step: source.batch([trained[i] for i in draw(step)], augmentation(training, step))  # noqa: E731
        upcoming = prefetch.submit(fetch, state.step)
        for step in range(state.step, training.steps):
            pixels, features = upcoming.result()
            if step + 1 < training.steps:
                upcoming = prefetch.submit(fetch, step + 1)
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, training)
            terms = training_step(model, optimiser, training, step, pixels, features)

            state.step, state.seconds = step + 1, time.monotonic() - started
            if step % 10 == 0 or state.step == training.steps:
                losses = {name: value.item() for name, value in terms.items()}
                if not math.isfinite(losses["total"]):
                    raise ConfigError(f"the loss became {losses['total']} at step {step}", fix="lower --learning-rate")
                state.history.append({"step": step, **losses, "learning_rate": learning_rate(step, training)})
                log(state.step, {f"loss/{name}": value for name, value in losses.items()})
                log(state.step, {"learning_rate": learning_rate(step, training)})
                report(state.step, training.steps, f"loss {losses['total']:.3f}")
            if interrupted.is_set() or time.monotonic() - saved > SAVE_SECONDS:
                save_state(folder, identity, state, model, optimiser)
                saved = time.monotonic()
            if interrupted.is_set():
                raise TrainingInterruptedError(
                    f"training interrupted after {state.step} of {training.steps} steps",
                    fix="go on with the same command and --resume",
                )

    model.eval()
    finished = finish(model, source, store, sets, prepared, training, state, verdicts, ignored or {}, folder)
    leftovers = remove_outdated(folder)
    (folder / resume_state.FILE).unlink(missing_ok=True)  # last: --resume repeats whatever a kill left out
    for outdated in leftovers:
        console.print(f"{outdated} is of an earlier model and refused from now on: build it again")
    return finished


def training_step(
    model: Snl,
    optimiser: torch.optim.Optimizer,
    training: TrainingConfig,
    step: int,
    pixels: Tensor | None,
    features: list[Tensor],
) -> dict[str, Tensor]:
    """One step of the student on a batch of `FeatureSource`; gives the loss terms, ``total`` among them.

    Args:
        model: its student is trained.
        optimiser: of the student's parameters.
        training: seed and gradient clipping.
        step: its number, which with the seed decides corruption and dropout: both repeat after ``--resume``.
        pixels: normalised, ``[B, 3, H, W]``; None where the student is fed with features.
        features: the teacher's, at strides 4, 8 and 16.
    """
    torch.manual_seed(training.seed + step)
    device = features[0].device
    with torch.autocast(device.type, torch.bfloat16, enabled=mixed_precision(device)):
        student = model.run_student(*_seen_by_student(model, pixels, features, training, step))
    terms = snl_loss(features, student, model.config.loss)
    optimiser.zero_grad(set_to_none=True)
    terms["total"].backward()
    torch.nn.utils.clip_grad_norm_(model.student.parameters(), training.clip)
    optimiser.step()
    return terms


def batch_sampler(
    samples: Sequence[Sample], training: TrainingConfig, groups: Sequence[int]
) -> Callable[[int], list[int]]:
    """Gives the indices of step n's batch as a pure function of seed and n, so that a resumed run repeats none.

    Every product is drawn equally often, however few images it has, and every part of it, however many shots:
    ``groups`` numbers the part that each image shows.
    """
    shots = Counter(groups)
    parts = Counter(product for product, _ in {(s.product, part) for s, part in zip(samples, groups, strict=True)})
    weights = np.array([1 / (parts[s.product] * shots[part]) for s, part in zip(samples, groups, strict=True)])
    weights /= weights.sum()
    batch = min(training.batch_size, len(samples))

    def draw(step: int) -> list[int]:
        return (
            np.random.default_rng((training.seed, step)).choice(len(samples), batch, replace=False, p=weights).tolist()
        )

    return draw


def augmentation(training: TrainingConfig, step: int) -> Callable[[Tensor], Tensor]:
    """A seeded augmentation of ``[B, 3, H, W]``, the same for the whole batch of a step."""
    rng = np.random.default_rng((training.seed, step, 1))
    mirror_x, mirror_y, turns = rng.random() < 0.5, rng.random() < 0.5, int(rng.integers(4))

    def apply(pixels: Tensor) -> Tensor:
        if training.augment == "none":
            return pixels
        axes = [axis for axis, mirrored in ((3, mirror_x), (2, mirror_y)) if mirrored]
        pixels = pixels.flip(axes) if axes else pixels
        return pixels.rot90(turns, (2, 3)) if training.augment == "dihedral" else pixels

    return apply


def _seen_by_student(
    model: Snl, pixels: Tensor | None, features: list[Tensor], training: TrainingConfig, step: int
) -> tuple[Tensor | None, list[Tensor]]:
    """Pixels and features with the one that the student is fed corrupted; the same at every repetition of a step."""
    rng = np.random.default_rng((training.seed, step, 2))
    if model.config.student.direction == "forward":
        assert pixels is not None
        return corrupt([pixels], [1], model.config.corruption, rng)[0], features
    return pixels, corrupt(features, STRIDES, model.config.corruption, rng)


def learning_rate(step: int, training: TrainingConfig) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the peak."""
    warmup = training.warmup * training.steps
    if step < warmup:
        return training.learning_rate * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1.0, training.steps - warmup)
    return training.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def choose_device(name: str) -> torch.device:
    """``auto`` takes a CUDA GPU if there is one.

    Raises:
        ConfigError: CUDA is asked for and absent.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError("no CUDA GPU is available", fix="use --device cpu, or run `snl-edge doctor`")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def mixed_precision(device: torch.device) -> bool:
    """BF16 where a GPU computes it natively (Ampere and later); needs no loss scaling."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
