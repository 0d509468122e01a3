"""Every difference between TensorRT 10, TensorRT 11 and TensorRT-RTX; no other module asks for a version.

Sources: NVIDIA's documentation of TensorRT 10 and 11 and of TensorRT-RTX 1 (porting guide, CPU-only AOT
engines, engine compatibility, runtime cache), and the bindings' own docstrings.
"""

from __future__ import annotations

import importlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ..atomic import replacing
from ..errors import EngineError
from ..outside.files import MOST_CACHE, read_bytes
from .engine_record import EngineRecord, FlavourName, Profile
from .gpu import Gpu

FLAVOURS: tuple[FlavourName, ...] = ("tensorrt", "tensorrt_rtx")
TITLES: dict[FlavourName, str] = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}
HOW_TO_INSTALL: dict[FlavourName, str] = {
    "tensorrt": "on a Jetson use JetPack's TensorRT (python3 -m venv --system-site-packages), "
    'elsewhere pip install "snl-edge[tensorrt]"',
    "tensorrt_rtx": 'pip install "snl-edge[rtx]" on x86-64 and on Arm servers and DGX Spark (aarch64), not on a Jetson',
}


UNLISTED_TARGET = "SNL_EDGE_RTX_TARGET"
"""Environment variable: what TensorRT-RTX builds for if it does not list the GPU at hand: ``CURRENT``, ``SM80``, …"""


@dataclass(frozen=True)
class Unfit:
    """Versions that must not be used: ``version`` is a prefix of whole components."""

    flavour: FlavourName
    version: str
    reason: str


UNFIT = (
    Unfit("tensorrt", "8", "strongly typed networks begin with TensorRT 10 (JetPack 6.1)"),
    Unfit("tensorrt", "9", "strongly typed networks begin with TensorRT 10 (JetPack 6.1)"),
    Unfit("tensorrt", "10.0", "10.3 (JetPack 6.1) is the oldest that this runtime was written for"),
    Unfit("tensorrt", "10.1", "10.3 (JetPack 6.1) is the oldest that this runtime was written for"),
    Unfit("tensorrt", "10.2", "this release is known to be defective"),
    Unfit("tensorrt", "11.1", "it has an open accuracy bug (github.com/NVIDIA/TensorRT/issues/4813)"),
)


class Flavour:
    """One installed TensorRT: its module, its one logger, and what this kind does its own way."""

    def __init__(self, name: FlavourName, module: ModuleType) -> None:
        self.name: FlavourName = name
        # Any: the RTX bindings carry no types, and the stubs describe one version of several.
        self.trt: Any = module
        self.version: str = module.__version__
        # TensorRT keeps the first logger of a process and ignores every later one.
        self.log: deque[str] = deque(maxlen=50)
        self.logger: Any = _logger(self.trt, self.log)

    def __str__(self) -> str:
        return f"{TITLES[self.name]} {self.version}"

    @property
    def said(self) -> str:
        """What it logged lately."""
        return " | ".join(self.log)

    @property
    def is_rtx(self) -> bool:
        """Whether engines are compiled for their GPU when they are loaded."""
        return self.name == "tensorrt_rtx"

    @contextmanager
    def recording(self) -> Iterator[list[str]]:
        """Yields a list that on leaving holds the warnings and errors logged meanwhile."""
        self.log.clear()
        messages: list[str] = []
        try:
            yield messages
        finally:
            messages.extend(self.log)

    def builder(self) -> Any:
        """A builder.

        Raises:
            EngineError: TensorRT cannot start, as with a driver older than its CUDA.
        """
        return self._start("Builder")

    def runtime(self) -> Any:
        """A runtime, which reads engines.

        Raises:
            EngineError: TensorRT cannot start.
        """
        return self._start("Runtime")

    def _start(self, kind: str) -> Any:
        self.log.clear()
        try:
            return getattr(self.trt, kind)(self.logger)
        except TypeError as error:  # the bindings' word for a constructor that returned null
            raise EngineError(
                f"{self} cannot start a {kind.lower()}",
                " | ".join(self.log) or str(error),
                "check the driver: nvidia-smi",
            ) from error

    def create_network(self, builder: Any) -> Any:
        """An empty strongly typed network; TensorRT 11 knows no other kind, and may drop the flag."""
        flag = getattr(self.trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        # The flags' numbers changed between majors: never a literal.
        return builder.create_network(0 if flag is None else 1 << int(flag))

    def capabilities(self, wanted: Sequence[str] | None, gpu: Gpu | None) -> tuple[str, ...]:
        """Compute capabilities, such as ``8.7``, that an engine built here will run on.

        TensorRT builds for the GPU at hand. TensorRT-RTX builds for those wanted, else for the GPU at hand, else
        for all it lists from Ampere on: Turing in the same engine would cost the others speed (NVIDIA,
        support matrix).

        Raises:
            EngineError: there is no GPU to build on, or a compute capability cannot be built for.
        """
        present = () if gpu is None else (gpu.compute_capability,)
        chosen = tuple(dict.fromkeys(wanted)) if wanted else present
        if not self.is_rtx:
            if gpu is None:
                raise EngineError(
                    "TensorRT needs a GPU to build an engine",
                    "it times kernels on it",
                    "build on the device, or with TensorRT-RTX, which builds without a GPU",
                )
            if chosen != present:
                raise EngineError(
                    f"TensorRT cannot build for compute capability {', '.join(chosen)}",
                    f"it builds for the GPU at hand, {gpu.compute_capability}",
                    "leave the compute capabilities out, or build with TensorRT-RTX",
                )
            return chosen
        listed = self.listed_capabilities()
        unknown = [cc for cc in chosen if cc not in listed]
        if unknown and chosen != present:
            raise EngineError(
                f"{self} cannot build for compute capability {', '.join(unknown)}",
                f"it lists {', '.join(listed)}",
                "choose among these",
            )
        return chosen or tuple(cc for cc in listed if _as_pair(cc) >= (8, 0))

    def target(self, config: Any, capabilities: Sequence[str]) -> None:
        """Sets what `capabilities` chose. For a GPU that TensorRT-RTX does not list (Hopper) its own default
        stays, documented for 8.0, 8.6, 8.9, 12.0 and later, or what the environment names in `UNLISTED_TARGET`
        is taken; the finished engine tells whether it fits.

        Raises:
            EngineError: the environment names no target.
        """
        listed = self.listed_capabilities() if self.is_rtx else {}
        if not all(cc in listed for cc in capabilities):
            if self.is_rtx and (name := os.environ.get(UNLISTED_TARGET)):
                targets = self.trt.ComputeCapability.__members__
                if name not in targets:
                    raise EngineError(
                        f"{UNLISTED_TARGET}={name} is no target", fix=f"choose one of {', '.join(targets)}"
                    )
                config.num_compute_capabilities = 1
                config.set_compute_capability(targets[name], 0)
            return
        config.num_compute_capabilities = len(capabilities)
        for index, cc in enumerate(capabilities):
            config.set_compute_capability(listed[cc], index)

    def listed_capabilities(self) -> dict[str, Any]:
        """TensorRT-RTX's targets by compute capability."""
        numbers = {
            m.removeprefix("SM"): v for m, v in self.trt.ComputeCapability.__members__.items() if m.startswith("SM")
        }
        return {f"{number[:-1]}.{number[-1]}": value for number, value in numbers.items()}

    def load_timing_cache(self, config: Any, file: Path) -> None:
        """Starts from the kernel timings of earlier builds; one that does not fit is begun again.

        Raises:
            EngineError: this kind has none.
        """
        if self.is_rtx:
            raise EngineError(
                "TensorRT-RTX has no use for a timing cache",
                "it times nothing while building, and the cache would make it ask for a GPU",
                "leave the timing cache out",
            )
        blob = read_bytes(file, MOST_CACHE) if file.exists() else b""
        for content in (blob, b""):
            timings = config.create_timing_cache(content)
            if timings is not None and config.set_timing_cache(timings, ignore_mismatch=False):
                return

    def save_timing_cache(self, config: Any, file: Path) -> None:
        """Keeps the kernel timings for the next build."""
        with replacing(file) as temporary:
            temporary.write_bytes(bytes(config.get_timing_cache().serialize()))

    def misfit(self, record: EngineRecord, gpu: Gpu) -> str | None:
        """Why an engine cannot run with this TensorRT on this GPU, or None. Engines are bound to the exact version."""
        if record.flavour != self.name:
            return f"it was built with {TITLES[record.flavour]}, and this is {self}"
        if record.version != self.version:
            return f"it was built with {TITLES[self.name]} {record.version}, and {self.version} is installed"
        if gpu.compute_capability not in record.compute_capabilities:
            built_for = ", ".join(record.compute_capabilities)
            return f"it was built for compute capability {built_for}, and {gpu.name} has {gpu.compute_capability}"
        return None

    def invalidity(self, runtime: Any, engine: bytes) -> str | None:
        """What TensorRT-RTX itself says against an engine on the GPU at hand, or None; TensorRT has no such check."""
        if not self.is_rtx:
            return None
        validity, flags = runtime.get_engine_validity(engine)
        if validity != self.trt.EngineValidity.INVALID:
            return None
        causes = self.trt.EngineInvalidityDiagnostics.__members__
        named = [name.lower().replace("_", " ") for name, cause in causes.items() if int(flags) & int(cause)]
        return f"{self} calls it invalid here ({', '.join(named) or 'no cause given'})"

    def profiles(self, opt_batch: int | None, max_batch: int) -> tuple[Profile, ...]:
        """The optimisation profiles of an engine for batches of 1 to ``max_batch``.

        TensorRT tunes each profile's kernels for one batch size, so that a single image gets a profile of its own and
        larger batches another, tuned for ``opt_batch`` (the largest if not given); with an ``opt_batch`` of 1 one
        profile serves all. TensorRT-RTX compiles for every size by itself: one profile.

        Raises:
            EngineError: the sizes make no profile.
        """
        if max_batch < 1 or not 1 <= (opt_batch or 1) <= max_batch:
            raise EngineError(
                f"batch sizes 1, {opt_batch or max_batch}, {max_batch} make no profile",
                fix="choose 1 <= opt-batch <= max-batch",
            )
        if self.is_rtx or opt_batch == 1 or max_batch == 1:
            return (Profile(min=1, opt=opt_batch or 1, max=max_batch),)
        return Profile(min=1, opt=1, max=1), Profile(min=2, opt=opt_batch or max_batch, max=max_batch)

    def runtime_settings(self, engine: Any, kernels: bytes) -> tuple[Any, Any, bool]:
        """How an engine runs, the kernels compiled for it, and whether those of an earlier start fit; RTX only.

        TensorRT-RTX compiles its kernels when a context is made and at the first run of each batch size: eagerly, as
        with its default (a fallback kernel until a better one is compiled) results and times would change between
        calls. It captures each size as a CUDA graph.

        Args:
            engine: deserialised; its device must be current.
            kernels: those of an earlier start, refused after a change of driver or GPU; or none.
        """
        if not self.is_rtx:
            return None, None, False
        settings = engine.create_runtime_config()
        settings.dynamic_shapes_kernel_specialization_strategy = (
            self.trt.DynamicShapesKernelSpecializationStrategy.EAGER
        )
        settings.cuda_graph_strategy = self.trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        cache = settings.create_runtime_cache()
        fits = bool(kernels) and bool(cache.deserialize(kernels))
        settings.set_runtime_cache(cache)
        return settings, cache, fits

    def create_context(self, engine: Any, settings: Any) -> Any:
        """An execution context, None if TensorRT refuses. The engine's device must be current.

        With TensorRT it must be given scratch memory (``set_device_memory``); TensorRT-RTX's has its own.

        Args:
            engine: deserialised.
            settings: of `runtime_settings`.
        """
        if settings is not None:
            return engine.create_execution_context(runtime_config=settings)
        return engine.create_execution_context(self.trt.ExecutionContextAllocationStrategy.USER_MANAGED)


def load_flavour(name: FlavourName | None = None) -> Flavour:
    """The installed TensorRT of this kind; without a name TensorRT before TensorRT-RTX.

    Raises:
        EngineError: it is not installed, is a stub without the library, or is a version known to be wrong.
    """
    wanted = FLAVOURS if name is None else (name,)
    refusals: list[str] = []
    for flavour in wanted:
        found = _import(flavour)
        if isinstance(found, Flavour):
            return found
        refusals.append(found)
    raise EngineError(
        f"{' or '.join(TITLES[flavour] for flavour in wanted)} cannot be used",
        "; ".join(refusals),
        "; or ".join(HOW_TO_INSTALL[flavour] for flavour in wanted),
    )


def installed_flavours() -> tuple[Flavour, ...]:
    """Every TensorRT that can be used here, TensorRT first."""
    return tuple(found for found in map(_import, FLAVOURS) if isinstance(found, Flavour))


@cache
def _import(name: FlavourName) -> Flavour | str:
    """The flavour, or why it cannot be used."""
    try:
        module = importlib.import_module(name)
    except Exception as error:  # a half-installed package raises errors of many kinds
        return f"import {name} failed ({error})"
    # Type stubs alone, or the placeholder package without NVIDIA's library, import as an empty module.
    if not hasattr(module, "Builder"):
        return f"import {name} found a package without the library"
    version = str(module.__version__)
    for unfit in UNFIT:
        if unfit.flavour == name and f"{version}.".startswith(f"{unfit.version}."):
            return f"{TITLES[name]} {version} is installed, but {unfit.reason}"
    return Flavour(name, module)


def _logger(trt: Any, log: deque[str]) -> Any:
    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if int(severity) <= int(trt.ILogger.Severity.WARNING):
                log.append(msg)

    return Logger()


def _as_pair(compute_capability: str) -> tuple[int, int]:
    major, minor = compute_capability.split(".")
    return int(major), int(minor)
