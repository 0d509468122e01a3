"""Which backend runs a bundle on this machine, and why not another."""

from __future__ import annotations

from typing import Literal, get_args

from ..arguments import require_text, require_whole
from ..errors import BackendError, ConfigError
from ..outside.shown import brief
from .arguments import MOST_BATCH, MOST_THREADS
from .backend import BACKENDS, Backend, BackendKind, backend_kind, require
from .bundle import Bundle
from .engine_record import EngineRecord
from .gpu import gpu, nvidia_hardware
from .manifest import OPENVINO_GATES, Precision
from .tensorrt_flavour import load_flavour


def select_backend(
    bundle: Bundle,
    backend: str,
    precision: str,
    device: int = 0,
    threads: int | None = None,
    max_batch: int | None = None,
) -> tuple[Backend, str]:
    """Loads the backend asked for; for ``auto`` the first of the table that this machine and bundle can run.

    Only what is missing makes ``auto`` go on: an engine that fits and then fails is an error, not a reason to
    run slower in silence.

    Args:
        backend: a name of the table, or ``auto``.
        precision: ``fp32``, ``fp16``, ``bf16``, ``int8``, or ``auto``: what the engine is on a GPU; on a CPU FP32,
            or what passed the accuracy gate in OpenVINO and this processor computes natively.
        device: number of the GPU.
        threads: CPU threads of OpenVINO and ONNX Runtime; all cores if not given.
        max_batch: largest batch that will be given: less to make ready; what the engine or bundle takes if not given.

    Returns:
        the backend, and in words which it is and why those before it were not taken; where no NVIDIA GPU is in this
        machine, not that one would be needed for TensorRT.

    Raises:
        ConfigError: there is no such backend, precision, batch or number of threads.
        BackendError: the backend asked for is not available, with the remedy; or none is.
        BundleError: the bundle has no graph of this precision.
        EngineError: the engine or graph cannot be loaded.
    """
    backend, precision = require_text(backend, "backend"), require_text(precision, "precision")
    if precision not in ("auto", *get_args(Precision)):
        raise ConfigError(f"unknown precision {brief(precision)}", fix=f"choose auto, {', '.join(get_args(Precision))}")
    device = require_whole(device, "the number of a GPU", 0, MOST_THREADS)
    if threads is not None:
        threads = require_whole(threads, f"{brief(threads)} threads cannot compute: the number", 1, MOST_THREADS)
    if max_batch is not None:
        max_batch = require_whole(max_batch, "the largest batch", 1, MOST_BATCH)
    wanted: Precision | Literal["auto"] = precision  # pyright: ignore[reportAssignmentType]
    if backend != "auto":
        kind = backend_kind(backend)
        require(kind, device)
        try:
            loaded = _load(bundle, kind, wanted, device, threads, max_batch)
        except _NothingToRunError as error:
            raise BackendError(
                f"backend {kind.name} has nothing to run",
                str(error),
                f"build an engine on this device: snl-edge build {bundle.path}",
            ) from error
        return loaded, f"{loaded.description}, as asked for"
    refused: list[tuple[BackendKind, str]] = []
    for kind in BACKENDS:
        probed = kind.probe(device)
        try:
            if not probed.available:
                raise _NothingToRunError(probed.reason)
            loaded = _load(bundle, kind, wanted, device, threads, max_batch)
        except _NothingToRunError as reason:
            refused.append((kind, f"{kind.title}: {reason}"))
            continue
        untaken = [words for kind, words in refused if kind.flavour is None or nvidia_hardware()]
        return loaded, "; not ".join([loaded.description, *untaken])
    reasons = "; ".join(words for _, words in refused)
    raise BackendError("no backend can run here", reasons, f"get one: {BACKENDS[-1].install}")


class _NothingToRunError(Exception):
    """Why a backend has nothing of this bundle to run here: the next one is tried."""


def _load(
    bundle: Bundle,
    kind: BackendKind,
    precision: Precision | Literal["auto"],
    device: int,
    threads: int | None,
    max_batch: int | None,
) -> Backend:
    """The loaded backend.

    Raises:
        _NothingToRunError: the bundle has nothing for it.
    """
    if kind.flavour is not None:
        record = _fitting_engine(bundle, kind, precision, device)
        from .tensorrt_backend import TensorRtBackend

        return TensorRtBackend(bundle, record, device, max_batch)
    if precision == "auto":
        precision = next(candidate for candidate in kind.precisions if _may_serve(bundle, kind, candidate))
    if precision not in kind.precisions:
        raise _NothingToRunError(f"{kind.title} does not compute in {precision}")
    largest = bundle.manifest.input.max_batch
    arguments = (bundle.graph(precision), precision, min(max_batch or largest, largest), threads)
    if kind.name == "openvino":
        from .openvino_backend import OpenVinoBackend

        return OpenVinoBackend(*arguments)
    if kind.name == "onnxruntime":
        from .onnxruntime_backend import OnnxRuntimeBackend

        return OnnxRuntimeBackend(*arguments)
    raise AssertionError(f"the table has a backend, {kind.name}, that nothing here loads")


def _may_serve(bundle: Bundle, kind: BackendKind, precision: Precision) -> bool:
    """Whether ``auto`` may take it on a CPU: FP32 arithmetic always, else what OpenVINO was seen to compute well."""
    if precision not in bundle.manifest.graphs:
        return False
    if kind.name != "openvino" or precision not in OPENVINO_GATES:
        return True
    from .openvino_backend import emulates

    return bundle.manifest.passed(OPENVINO_GATES[precision]) and not emulates(precision)


def _fitting_engine(
    bundle: Bundle, kind: BackendKind, precision: Precision | Literal["auto"], device: int
) -> EngineRecord:
    """The engine of the preferred precision that fits this machine.

    Raises:
        _NothingToRunError: none does.
    """
    assert kind.flavour is not None
    flavour, present = load_flavour(kind.flavour), gpu(device)
    reasons: list[str] = []
    for wanted in kind.precisions if precision == "auto" else (precision,):
        for record in bundle.engines():
            if record.flavour != kind.flavour or record.precision != wanted:
                continue
            reason = flavour.misfit(record, present) or _stale(bundle, record)
            if reason is None:
                return record
            reasons.append(f"engine {record.file} does not fit: {reason}")
    of_precision = "" if precision == "auto" else f" of precision {precision}"
    raise _NothingToRunError("; ".join(reasons) or f"bundle {bundle.path} has no {kind.title} engine{of_precision}")


def _stale(bundle: Bundle, record: EngineRecord) -> str | None:
    graphs = bundle.manifest.graphs
    if record.precision in graphs and record.onnx_sha256 == bundle.graph_sha256(record.precision):
        return None
    return "it was built from another graph than the bundle's"
