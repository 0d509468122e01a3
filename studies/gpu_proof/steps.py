"""The steps of a proof, most valuable first, each with its limit in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .settings import ProofSettings

_PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")


@dataclass(frozen=True)
class Step:
    """What one process does."""

    name: str
    seconds: float
    """It is stopped after so long."""
    arguments: tuple[str, ...]
    """Of Python, if the first one is an option; else a name of `step.STEPS` and a preset."""
    keep: str | None = None
    """File that all it printed comes back in."""

    def command(self, settings: ProofSettings) -> tuple[str, ...]:
        """Python's arguments."""
        if self.arguments[0].startswith("-"):
            return self.arguments
        return ("-m", "studies.gpu_proof.step", *self.arguments)


def first_call(settings: ProofSettings) -> Iterator[Step]:
    """Without TensorRT: the runtime's driver part, PyTorch, training; bundles for the second call."""
    yield Step("doctor", 20, ("-m", "snl_edge", "doctor"))
    yield Step("driver", 40, ("driver",))
    for preset in settings.presets:
        yield Step(f"bundle {preset}", 60, ("bundle", preset))
    # The smallest and the largest before those between, which time may not be left for.
    for some in (settings.presets[:2], settings.presets[2:]):
        for preset in some:
            yield Step(f"pytorch {preset}", 60, ("pytorch", preset))
        for preset in some:
            yield Step(f"training {preset}", 40, ("training", preset))


def gpu_tests(settings: ProofSettings) -> Step:
    """The GPU tests of this flavour."""
    others = "" if settings.flavour == "tensorrt_rtx" else "not tensorrt_rtx"
    chosen = ("-k", others) if others else ()
    # It trains a model first, which is the demo's business.
    skipped = ("--deselect", "tests/runtime/test_tensorrt_gpu.py::test_a_trained_model_scores_the_same_on_the_gpu")
    return Step("tests", 110, (*_PYTEST, "tests/runtime/test_tensorrt_gpu.py", *chosen, *skipped), keep="tests-gpu.txt")


def second_call(settings: ProofSettings) -> Iterator[Step]:
    """With TensorRT: engines, parity, speed of every preset; then the whole way of a user."""
    for preset in settings.presets:
        if not (settings.bundle(preset) / "manifest.json").exists():
            yield Step(f"bundle {preset}", 60, ("bundle", preset))
        yield Step(f"engines {preset}", 90, ("engines", preset))
        yield Step(f"parity {preset}", 40, ("parity", preset))
        yield Step(f"speed {preset}", 90, ("speed", preset))
    if not settings.quick:
        demo = ("-m", "snl_edge", "demo", "--quick", "--out", str(settings.work / "demo"))
        yield Step("demo", 90, demo, keep="demo.txt")
