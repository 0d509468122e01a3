"""Training speed: images per second of one step of our reverse student and of anomalib's Reverse Distillation.

``python -m studies.speed.training resnet18``

One process runs all of them in turn, round after round, so that whatever else the machine does hits all alike. A
step begins with decoded images in memory and ends after the optimiser; weights are random, speed does not know.
Runs in the peers' environment.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal

import typer

from snl_edge.data.layouts import open_dataset
from snl_edge.data.samples import Sample
from snl_edge.data.synthetic import write_synthetic_line
from snl_edge.errors import ConfigError
from snl_edge.progress import console
from snl_edge.provenance import revision

from ..command import run_command
from ..peers.environment import enter_environment
from ..random_models import MODELS
from ..result_files import FOLDER, save_result

KIND = "training_speed"
BACKBONES = ("resnet18", "wide_resnet50_2")
"""What anomalib's Reverse Distillation knows, too."""
OURS, CACHED, PEER = "snl", "snl_cached", "anomalib_rd"
IMAGES = 48
Step = Callable[[int], object]
"""Makes the training step of that number."""


def training_speed(
    backbone: Annotated[str, typer.Argument(help=", ".join(BACKBONES))] = "resnet18",
    rounds: Annotated[int, typer.Option(min=1)] = 7,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each in a round.")] = 1,
    batch_size: Annotated[int, typer.Option(min=2)] = 16,
    results: Annotated[Path, typer.Option(help="Folder of the result file.")] = FOLDER,
) -> None:
    """Measures and writes a result file."""
    if backbone not in BACKBONES:
        raise ConfigError(f"{backbone!r} cannot be compared", fix=f"choose one of {', '.join(BACKBONES)}")
    revision()
    enter_environment()
    import torch

    with tempfile.TemporaryDirectory() as folder:
        write_synthetic_line(Path(folder) / "line", train=IMAGES, good=0, defective=0, products=["gear"])
        contenders = make_contenders(backbone, open_dataset(Path(folder) / "line").train, batch_size)
        speeds = measure(contenders, rounds, steps, batch_size)
    figures = summarise(speeds)
    path = save_result(
        KIND,
        backbone,
        settings={
            "backbone": backbone,
            "height": 256,
            "width": 256,
            "batch_size": batch_size,
            "rounds": rounds,
            "steps_per_round": steps,
            "threads": torch.get_num_threads(),
            "device": "cpu",
        },
        figures=figures,
        folder=results,
        file=f"training-speed-{backbone}.json",
    )
    for name, own in figures["images_per_second"].items():
        console.print(f"{name}: {own['median']} images/s ({own['lowest']} to {own['highest']})")
    for name, own in figures["speedup"].items():
        console.print(f"{name}: {own['median']} times {PEER} ({own['lowest']} to {own['highest']})")
    console.print(f"wrote {path.name}")


def make_contenders(backbone: str, samples: Sequence[Sample], batch_size: int) -> dict[str, Step]:
    """Our student with and without a cache of the teacher's features, and anomalib's."""
    return {
        OURS: snl_step(MODELS[backbone], samples, batch_size, cache=False),
        CACHED: snl_step(MODELS[backbone], samples, batch_size, cache=True),
        PEER: anomalib_step(backbone, MODELS[backbone], samples, batch_size),
    }


def snl_step(
    config: Any, samples: Sequence[Sample], batch_size: int, *, cache: bool, device: Literal["cpu", "cuda"] = "cpu"
) -> Step:
    """What `snl_edge.training.loop.train` does at a step, without its records; ``cache`` the teacher's features."""
    import torch

    from snl_edge.data.loader import ImageStore
    from snl_edge.model.snl import Snl
    from snl_edge.training.config import TrainingConfig
    from snl_edge.training.feature_cache import FeatureSource
    from snl_edge.training.loop import training_step

    training = TrainingConfig(batch_size=batch_size, device=device)
    model = Snl(config, pretrained=False).to(device).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(
        model.student.parameters(), training.learning_rate, weight_decay=training.weight_decay
    )
    source = FeatureSource(model, ImageStore(samples, config.size, 2**30), training, torch.device(device), 2**30)
    source.caches = cache
    source.prepare(batch_size, lambda done, total: None)

    def step(number: int) -> None:
        pixels, features = source.batch(indices(number, batch_size, len(samples)), lambda images: images)
        training_step(model, optimiser, training, number, pixels, features)

    return step


def anomalib_step(backbone: str, config: Any, samples: Sequence[Sample], batch_size: int) -> Step:
    """anomalib's ``training_step`` between its optimiser's calls, as Lightning makes them.

    In the contiguous layout: its loss takes views that channels-last features do not allow.
    """
    from snl_edge.training.config import TrainingConfig

    from ..peers.anomalib_models import reverse_distillation
    from ..peers.anomalib_training import image_store, pixels_for

    module = reverse_distillation(backbone)
    network, optimiser = module.model.train(), module.configure_optimizers()
    store, pixels = image_store(config, samples, TrainingConfig(batch_size=batch_size)), pixels_for(config)

    def step(number: int) -> None:
        loss = module.loss(*network(pixels(store.batch(indices(number, batch_size, len(samples))))))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def indices(number: int, batch_size: int, count: int) -> list[int]:
    """The images of step ``number``: round and round."""
    return [(number * batch_size + offset) % count for offset in range(batch_size)]


def measure(contenders: Mapping[str, Step], rounds: int, steps: int, batch_size: int) -> dict[str, list[float]]:
    """Images per second of each contender in each round; every round starts with another one."""
    names = list(contenders)
    speeds: dict[str, list[float]] = {name: [] for name in names}
    for step in contenders.values():
        step(0)  # buffers, optimiser state and lazily decoded images
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            started = time.perf_counter()
            for number in range(steps):
                contenders[name](turn * steps + number)
            speeds[name].append(steps * batch_size / (time.perf_counter() - started))
        console.print(f"round {turn + 1}: " + ", ".join(f"{name} {speeds[name][-1]:.2f}" for name in names))
    return speeds


def summarise(speeds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Medians and spread of the speeds, and of ours relative to the peer's in the same round."""
    ratios = {
        name: [own / peer for own, peer in zip(values, speeds[PEER], strict=True)]
        for name, values in speeds.items()
        if name != PEER
    }
    return {
        "images_per_second": {name: spread(values) for name, values in speeds.items()},
        "speedup": {name: spread(values) for name, values in ratios.items()},
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, extremes and all values in the order measured."""
    return {
        "median": round(median(values), 3),
        "lowest": round(min(values), 3),
        "highest": round(max(values), 3),
        "rounds": [round(value, 3) for value in values],
    }


if __name__ == "__main__":
    run_command(training_speed)
