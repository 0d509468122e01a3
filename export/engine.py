"""ONNX graph to TensorRT or TensorRT-RTX engine. Needs neither torch nor the onnx package: it runs on the device."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from snl_edge.atomic import replacing
from snl_edge.contract.graph import IMAGES, SIGNATURE
from snl_edge.errors import EngineError
from snl_edge.outside.files import reason
from snl_edge.outside.graph_file import read_graph_bytes
from snl_edge.provenance import now
from snl_edge.runtime.bundle import ENGINES, Bundle
from snl_edge.runtime.engine_record import EngineRecord, FlavourName, Profile, pack
from snl_edge.runtime.gpu import Gpu, present_gpus
from snl_edge.runtime.manifest import Precision
from snl_edge.runtime.tensorrt_flavour import Flavour, load_flavour

from .engine_layers import check_precision, count_engine_layers, count_layers
from .engine_progress import build_progress
from .workspace import memory_limits

Progress = Callable[[int, int, str], None]
"""Called as ``progress(steps done, steps in all, phase)``, from TensorRT's threads."""


def build_bundle_engine(
    bundle: Bundle,
    *,
    precision: Precision,
    flavour: FlavourName | None = None,
    max_batch: int | None = None,
    opt_batch: int | None = None,
    compute_capabilities: Sequence[str] | None = None,
    timing_cache: Path | None = None,
    workspace_bytes: int | None = None,
    progress: Progress | None = None,
) -> EngineRecord:
    """Builds an engine from one of the bundle's graphs into its ``engines/``, replacing one for the same GPUs.

    Arguments and errors as `build_engine`; ``max_batch`` is the bundle's if not given.

    Raises:
        BundleError: the bundle has no graph of this precision.
    """
    installed = load_flavour(flavour)
    capabilities = installed.capabilities(compute_capabilities, _gpu())
    places = "-".join(f"sm{cc.replace('.', '')}" for cc in capabilities)
    return build_engine(
        bundle.graph(precision),
        bundle.path / ENGINES / f"{installed.name}-{precision}-{places}.engine",
        precision=precision,
        flavour=installed.name,
        max_batch=max_batch or bundle.manifest.input.max_batch,
        opt_batch=opt_batch,
        compute_capabilities=capabilities,
        timing_cache=timing_cache,
        workspace_bytes=workspace_bytes,
        progress=progress,
    )


def build_engine(
    onnx: Path,
    target: Path,
    *,
    precision: Precision,
    flavour: FlavourName | None = None,
    max_batch: int,
    opt_batch: int | None = None,
    compute_capabilities: Sequence[str] | None = None,
    timing_cache: Path | None = None,
    workspace_bytes: int | None = None,
    progress: Progress | None = None,
) -> EngineRecord:
    """Builds ``target`` (``….engine``) and its side file from a fused graph.

    The network is strongly typed: precision is what the graph says, and ``precision`` is checked against it.
    TF32 is off, since it would round the graph's FP32 parts to 10 bits.

    Args:
        onnx: fused graph.
        target: engine file; the side file ``….json`` is written last, so it never vouches for half an engine.
        precision: what the graph's convolutions compute in.
        flavour: TensorRT or TensorRT-RTX; the first that is installed if not given.
        max_batch: largest batch; the smallest is 1.
        opt_batch: batch that kernels for more than one image are tuned for; see `Flavour.profiles`.
        compute_capabilities: such as ``("8.6", "8.9")``, for TensorRT-RTX only; see `Flavour.capabilities`.
        timing_cache: file that keeps kernel timings between builds, for TensorRT only.
        workspace_bytes: limit of a kernel's scratch memory; see `memory_limits` if not given.
        progress: told how far the build is.

    Raises:
        EngineError: TensorRT is missing, refuses the graph, or the graph is no SNL graph of this precision.
        OutputError: the target cannot be written.
    """
    installed = load_flavour(flavour)
    trt = installed.trt
    gpu = _gpu()
    capabilities = installed.capabilities(compute_capabilities, gpu)
    profiles = installed.profiles(opt_batch, max_batch)
    content = _read(onnx)
    builder = installed.builder()
    network = installed.create_network(builder)
    _parse(installed, network, content, onnx)
    _check_contract(network, onnx)
    layers = count_layers(trt, network)
    check_precision(layers, precision, onnx)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    installed.target(config, capabilities)
    memory_limits(gpu, workspace_bytes).apply(trt, config)
    if timing_cache is not None:
        installed.load_timing_cache(config, timing_cache)
    for profile in profiles:
        _add_profile(builder, config, network, profile)
    monitor = None if progress is None else build_progress(trt, progress)  # must outlive the build
    config.progress_monitor = monitor
    with installed.recording() as log:
        engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise EngineError(
            f"{installed} could not build an engine from {onnx}",
            " | ".join(log) or "it gives no reason",
            "if memory ran out, lower the batch or the workspace; else run the bundle with OpenVINO or ONNX Runtime",
        )
    if timing_cache is not None:
        installed.save_timing_cache(config, timing_cache)
    engine = bytes(engine)
    if gpu is not None and gpu.compute_capability not in capabilities:
        gpu = None  # built here for others
    if gpu is not None:
        layers |= _try_on_gpu(installed, engine, gpu, onnx)
    # An RTX engine carries the source text of its kernels, which packs to a tenth; and no trtexec would read it.
    stored = pack(engine) if installed.is_rtx else engine
    with replacing(target) as temporary:
        temporary.write_bytes(stored)
    record = EngineRecord(
        file=target.name,
        flavour=installed.name,
        version=installed.version,
        compute_capabilities=capabilities,
        gpu=gpu.name if gpu else None,
        precision=precision,
        profiles=profiles,
        onnx_sha256=hashlib.sha256(content).hexdigest(),
        engine_sha256=hashlib.sha256(stored).hexdigest(),
        packed=installed.is_rtx,
        engine_bytes=len(engine) if installed.is_rtx else None,
        layers=layers,
        built=now(),
    )
    record.write(target)
    return record


def _gpu() -> Gpu | None:
    """The GPU that TensorRT builds on: CUDA's first (``CUDA_VISIBLE_DEVICES`` chooses)."""
    return next(iter(present_gpus()), None)


def _read(onnx: Path) -> bytes:
    try:
        return read_graph_bytes(onnx)
    except OSError as error:
        raise EngineError(f"cannot read {onnx}", reason(error), "check path and permissions") from error
    except ValueError as error:
        raise EngineError(f"{onnx} is no ONNX graph", str(error), "export it again") from error


def _parse(flavour: Flavour, network: Any, content: bytes, onnx: Path) -> None:
    parser = flavour.trt.OnnxParser(network, flavour.logger)
    if parser.parse(content):
        return
    faults = [parser.get_error(index) for index in range(parser.num_errors)]
    if not faults or any(fault.code() == flavour.trt.ErrorCode.MODEL_DESERIALIZE_FAILED for fault in faults):
        raise EngineError(f"{onnx} is no ONNX graph", "it cannot be decoded", "export it again")
    # One fault of the parser is often reported once per function it passes through.
    named = dict.fromkeys(
        f"{fault.node_operator()} node {fault.node_name()!r}: {_cause(fault.desc())}" for fault in faults
    )
    raise EngineError(
        f"{flavour} refuses {onnx}",
        "; ".join(named),
        "export the model again with this snl-edge, or run the graph with OpenVINO or ONNX Runtime",
    )


def _cause(description: str) -> str:
    """The parser's own words, without places in its source and what failed in consequence."""
    found = re.search(r"API Usage Error \((.+?)\.? In \w+ at ", description, re.DOTALL)
    return found.group(1) if found else description


def _check_contract(network: Any, onnx: Path) -> None:
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    tensors += [network.get_output(index) for index in range(network.num_outputs)]
    found = {tensor.name: (tensor.dtype.name, len(tensor.shape)) for tensor in tensors}
    if found != SIGNATURE:
        shown = ", ".join(f"{name} {kind.lower()} of rank {rank}" for name, (kind, rank) in found.items())
        raise EngineError(
            f"{onnx} is no SNL graph", f"its inputs and outputs are {shown}", "give one that `snl-edge build` wrote"
        )
    batch, height, width, channels = tensors[0].shape
    if batch != -1 or min(height, width) < 1 or channels != 3:
        raise EngineError(
            f"{onnx} is no SNL graph",
            f"its images are {list(tensors[0].shape)}, not [batch, H, W, 3] with a free batch only",
            "export it again with this snl-edge",
        )


def _add_profile(builder: Any, config: Any, network: Any, batches: Profile) -> None:
    _, height, width, channels = network.get_input(0).shape
    profile = builder.create_optimization_profile()
    shapes = ((batch, height, width, channels) for batch in (batches.min, batches.opt, batches.max))
    profile.set_shape(IMAGES.name, *shapes)
    config.add_optimization_profile(profile)


def _try_on_gpu(flavour: Flavour, content: bytes, gpu: Gpu, onnx: Path) -> dict[str, int]:
    """Loads the new engine where it will run, and counts its layers."""
    runtime = flavour.runtime()
    with flavour.recording() as log:
        invalid = flavour.invalidity(runtime, content)
        engine = None if invalid else runtime.deserialize_cuda_engine(content)
    if engine is None:
        raise EngineError(
            f"{flavour} built an engine from {onnx} that does not run on {gpu.name}",
            " | ".join([*([invalid] if invalid else []), *log]) or "it gives no reason",
            "see docs of this TensorRT for GPUs it supports, or use OpenVINO or ONNX Runtime",
        )
    return count_engine_layers(flavour.trt, engine)
