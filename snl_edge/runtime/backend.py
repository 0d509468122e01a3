"""What a backend is, and which ones there are, as data: `auto`, `doctor` and error messages read the same table."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from ..contract.graph import Prediction, Scores
from ..errors import BackendError, ConfigError, EngineError
from ..outside.shown import brief
from .engine_record import FlavourName
from .gpu import gpu
from .manifest import Precision
from .tensorrt_flavour import HOW_TO_INSTALL, TITLES, load_flavour

BackendName = Literal["tensorrt", "tensorrt_rtx", "openvino", "onnxruntime"]


class Backend(Protocol):
    """Runs one fused graph. Not safe for several threads at once: the `Detector` takes care of that."""

    @property
    def name(self) -> BackendName:
        """Its name in the table."""
        ...

    @property
    def description(self) -> str:
        """For people: program and version, precision, device."""
        ...

    @property
    def artifact(self) -> Path:
        """The file that it runs: engine or graph."""
        ...

    @property
    def precision(self) -> Precision:
        """Of the graph or engine; decides which thresholds apply."""
        ...

    @property
    def max_batch(self) -> int:
        """The largest batch that `infer` takes."""
        ...

    @property
    def lost(self) -> str:
        """Why it can never run again in this process, as a GPU that takes no more work; empty while it can."""
        ...

    def infer(self, images: NDArray[np.uint8]) -> Prediction:
        """Runs ``uint8 [B, H, W, 3]``; returns the graph's four outputs.

        The arrays may be views of buffers that the next call overwrites: copy what should last.

        Raises:
            EngineError: the program that runs the graph failed.
        """
        ...

    def run(self, images: NDArray[np.uint8]) -> Scores:
        """Runs ``uint8 [B, H, W, 3]`` and leaves the maps where they are; `maps` brings those that are wanted.

        Arrays and errors as for `infer`.
        """
        ...

    def maps(self, rows: Sequence[int]) -> list[NDArray[np.float32]]:
        """The anomaly maps ``float32 [H, W]`` of these images of the last `run`; overwritten by the next call."""
        ...

    def another(self) -> Backend:
        """A second one that runs at the same time and shares the weights.

        Raises:
            EngineError: there is no room for its buffers.
        """
        ...

    def inputs(self, count: int) -> NDArray[np.uint8]:
        """Memory for prepared pictures, ``uint8 [count, H, W, 3]``, zeros, that `run` takes batches from fastest.

        It may be written to even after `close`.
        """
        ...

    def close(self) -> None:
        """Gives back what the backend holds; a second call does nothing. Never raises.

        Whatever runs afterwards, `another` included, raises the error of `closed`.
        """
        ...


def closed() -> EngineError:
    """What to raise where a closed backend or detector is asked for anything."""
    return EngineError("this detector is closed", fix="load it again")


@dataclass(frozen=True)
class Availability:
    """Whether a backend can run here, and the version or the reason why not."""

    available: bool
    reason: str


@dataclass(frozen=True)
class BackendKind:
    """One row of the table: what a backend needs and how to get it."""

    name: BackendName
    title: str
    modules: tuple[str, ...]
    install: str
    precisions: tuple[Precision, ...]
    flavour: FlavourName | None = None
    """The TensorRT it runs engines with; None for backends that run the ONNX graph on the CPU."""

    def probe(self, device: int = 0) -> Availability:
        """Tries what the backend needs on this machine, GPU ``device`` included; loads no graph."""
        versions: list[str] = []
        name = self.name
        try:
            if self.flavour is not None:
                versions += [gpu(device).name, load_flavour(self.flavour).version]
            for name in self.modules:
                module = importlib.import_module(name)
                versions += [str(getattr(module, "__version__", ""))]
        except EngineError as error:
            return Availability(False, f"{error.what} ({error.why})")
        except Exception as error:  # a half-installed package raises errors of many kinds
            return Availability(False, f"import {name} failed ({error})")
        return Availability(True, ", ".join(version for version in versions if version))


_GPU_PRECISIONS: tuple[Precision, ...] = ("int8", "fp16", "fp32")

BACKENDS: tuple[BackendKind, ...] = (
    BackendKind(
        "tensorrt",
        TITLES["tensorrt"],
        ("pycuda.driver",),
        HOW_TO_INSTALL["tensorrt"],
        _GPU_PRECISIONS,
        flavour="tensorrt",
    ),
    BackendKind(
        "tensorrt_rtx",
        TITLES["tensorrt_rtx"],
        ("pycuda.driver",),
        HOW_TO_INSTALL["tensorrt_rtx"],
        _GPU_PRECISIONS,
        flavour="tensorrt_rtx",
    ),
    BackendKind(
        "openvino", "OpenVINO", ("openvino",), 'pip install "snl-edge[openvino]"', ("int8", "bf16", "fp32", "fp16")
    ),
    BackendKind("onnxruntime", "ONNX Runtime", ("onnxruntime",), "pip install onnxruntime", ("fp32", "fp16", "int8")),
)
"""In the order in which `auto` tries them, fastest first; precisions in the order in which it prefers them."""


def backend_kind(name: str) -> BackendKind:
    """The row of this name.

    Raises:
        ConfigError: there is none.
    """
    for kind in BACKENDS:
        if kind.name == name:
            return kind
    raise ConfigError(f"unknown backend {brief(name)}", fix=f"choose auto, {', '.join(get_args(BackendName))}")


def require(kind: BackendKind, device: int = 0) -> None:
    """Refuses a backend that cannot run here.

    Raises:
        BackendError: with the reason and how to get it.
    """
    found = kind.probe(device)
    if not found.available:
        raise BackendError(f"backend {kind.name} is not available", found.reason, f"get it: {kind.install}")
