"""The stand-ins themselves: do they notice what they are there to notice? Run by test_tensorrt_standin.py."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import standin_trt.driver as standin
import tensorrt
import tensorrt_rtx
from contract_graph import contract_images, contract_model
from cuda.bindings import driver as api  # pyright: ignore[reportMissingImports]
from pycuda import driver  # pyright: ignore[reportMissingImports]

from snl_edge.runtime import cuda
from snl_edge.runtime.cuda_memory import Buffer
from snl_edge.runtime.cuda_stream import new_stream

SHAPE = (4, 24, 40, 3)
SIZES = {"images": np.uint8, "anomaly_map": np.float32, "score": np.float32, "product": np.int32}
RELAXED = api.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
OWN_THREAD = api.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL


@pytest.fixture(autouse=True)
def on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("STANDIN_REPORT", os.devnull)  # violations here are on purpose
    with cuda.current(0):
        yield
    standin.disarm()


class Logger(tensorrt.ILogger):
    def log(self, severity: Any, msg: str) -> None: ...


@pytest.fixture(params=[tensorrt, tensorrt_rtx])
def engine(request: pytest.FixtureRequest) -> Any:
    """Two profiles: one image, and two to four."""
    trt, logger = request.param, Logger()
    builder = trt.Builder(logger)
    network, config = builder.create_network(0), builder.create_builder_config()
    assert trt.OnnxParser(network, logger).parse(contract_model().SerializeToString())
    for lowest, highest in ((1, 1), (2, 4)):
        profile = builder.create_optimization_profile()
        profile.set_shape("images", (lowest, *SHAPE[1:]), (lowest, *SHAPE[1:]), (highest, *SHAPE[1:]))
        config.add_optimization_profile(profile)
    return trt.Runtime(logger).deserialize_cuda_engine(builder.build_serialized_network(network, config))


@pytest.fixture
def buffers() -> dict[str, Buffer]:
    shapes = {"images": SHAPE, "anomaly_map": SHAPE[:3]}
    names = {**SIZES, "product_distance": np.float32}
    return {name: Buffer(shapes.get(name, (4,)), kind, mapped=False) for name, kind in names.items()}


def context_with(engine: Any, buffers: dict[str, Buffer], batch: int) -> Any:
    context = engine.create_execution_context()
    for name, buffer in buffers.items():
        assert context.set_tensor_address(name, buffer.address)
    assert context.set_optimization_profile_async(batch > 1, 0)
    assert context.set_input_shape("images", (batch, *SHAPE[1:]))
    return context


def status(result: tuple[Any, ...]) -> int:
    return int(result[0])


def test_work_is_done_when_it_is_waited_for() -> None:
    buffer, stream = Buffer((8,), np.uint8, mapped=False), new_stream()
    buffer.host[:] = 7
    buffer.upload(stream)
    buffer.host[:] = 9  # too early: the copy has not happened
    buffer.download(stream)
    assert (buffer.host == 9).all()
    stream.synchronize()
    assert (buffer.host == 9).all()


def test_graph_replays_what_was_captured(engine: Any, buffers: dict[str, Buffer]) -> None:
    stream, context = new_stream(), context_with(engine, buffers, 3)
    handle = api.CUstream(stream.handle)
    assert context.execute_async_v3(stream.handle)  # kernels are prepared before a capture
    stream.synchronize()
    assert status(api.cuStreamBeginCapture(handle, OWN_THREAD)) == 0
    driver.memcpy_htod_async(buffers["images"].address, buffers["images"].host, stream)
    assert context.execute_async_v3(stream.handle)
    buffers["score"].download(stream)
    scores = buffers["score"].host
    found, graph = api.cuStreamEndCapture(handle)
    assert int(found) == 0
    found, executable = api.cuGraphInstantiate(graph, 0)
    assert context.set_optimization_profile_async(0, 0)
    assert context.set_input_shape("images", (1, *SHAPE[1:]))  # of no effect on what was captured
    seen = []
    for seed in (1, 2):
        buffers["images"].host[:3] = contract_images(3, seed)
        scores[:] = -1
        assert status(api.cuGraphLaunch(executable, handle)) == 0
        stream.synchronize()
        seen.append(scores.copy())
    assert (seen[0][:3] != seen[1][:3]).all()
    assert (seen[0][:3] >= 0).all()
    counts = {name: standin.count_of(name) for name in ("graphs", "graph_execs")}
    assert counts == {"graphs": 1, "graph_execs": 1}
    assert status(api.cuGraphExecDestroy(executable)) == status(api.cuGraphDestroy(graph)) == 0


def test_capture_forbids_what_it_forbids_on_a_gpu(engine: Any, buffers: dict[str, Buffer]) -> None:
    stream, context = new_stream(), context_with(engine, buffers, 1)
    handle = api.CUstream(stream.handle)

    def invalid_after(work: Any, mode: Any = OWN_THREAD) -> bool:
        assert status(api.cuStreamBeginCapture(handle, mode)) == 0
        work()
        found, graph = api.cuStreamEndCapture(handle)
        if graph is not None and int(graph):
            api.cuGraphDestroy(graph)
        return int(found) == 901

    assert invalid_after(lambda: api.cuMemAlloc(8))
    assert invalid_after(lambda: api.cuStreamSynchronize(handle))
    assert invalid_after(lambda: api.cuMemcpyDtoH(buffers["score"].host.ctypes.data, buffers["score"].address, 4))
    assert invalid_after(lambda: context.execute_async_v3(stream.handle))  # its first run prepares kernels
    allocated = []
    assert not invalid_after(lambda: allocated.append(api.cuMemAlloc(8)[1]), RELAXED)
    assert status(api.cuMemFree(allocated[0])) == 0


def test_profiles_bound_what_runs(engine: Any, buffers: dict[str, Buffer]) -> None:
    assert engine.num_optimization_profiles == 2
    assert engine.get_tensor_profile_shape("images", 1)[2] == SHAPE
    context = context_with(engine, buffers, 1)
    assert not context.set_input_shape("images", (2, *SHAPE[1:]))
    assert context.set_optimization_profile_async(1, 0)
    assert not context.execute_async_v3(new_stream().handle)  # a new profile wants its shapes
    assert context.set_input_shape("images", (2, *SHAPE[1:]))
    assert not context.set_optimization_profile_async(2, 0)


def test_contexts_share_the_weights(engine: Any) -> None:
    before = standin.count_of("device_allocations")
    first, second = engine.create_execution_context(), engine.create_execution_context()
    assert standin.count_of("device_allocations") == before + 2  # scratch memory only
    del first, second
    assert standin.count_of("device_allocations") == before


def test_bad_memory_is_noticed() -> None:
    allocation = driver.mem_alloc(16)
    address = int(allocation)
    host = driver.pagelocked_empty(32, np.uint8)
    with pytest.raises(driver.Error):
        driver.memcpy_htod(allocation, host)  # 32 bytes into 16
    assert standin.violations() == 1
    allocation.free()
    assert status(api.cuMemFree(address)) != 0
    assert status(api.cuMemcpyHtoD(address, host.ctypes.data, 8)) != 0
    assert standin.violations() == 2


def test_a_driver_is_of_no_use_after_fork() -> None:
    child = os.fork()
    if not child:
        os._exit(status(api.cuCtxSynchronize()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


def test_the_call_that_was_to_fail_fails() -> None:
    standin.arm("cuMemAlloc_v2", 2, 999, sticky=0)
    kept = driver.mem_alloc(8)
    with pytest.raises(driver.Error):
        driver.mem_alloc(8)
    kept.free()
    driver.mem_alloc(8).free()


def test_no_name_that_the_real_bindings_lack() -> None:
    import importlib.util
    import sys

    found = importlib.util.find_spec("tensorrt_rtx_bindings")
    if found is None:
        pytest.skip("TensorRT-RTX's own bindings are not installed")
    place = Path(next(iter(found.submodule_search_locations or []))).parent / "tensorrt_rtx" / "__init__.py"
    spec = importlib.util.spec_from_file_location("real_rtx", place)
    assert spec
    assert spec.loader
    real = importlib.util.module_from_spec(spec)
    sys.modules["real_rtx"] = real
    spec.loader.exec_module(real)
    from standin_trt import building, running

    kinds = {
        "Builder": tensorrt_rtx.Builder,
        "Runtime": tensorrt_rtx.Runtime,
        "OnnxParser": tensorrt_rtx.OnnxParser,
        "ICudaEngine": running.Engine,
        "IExecutionContext": running.Context,
        "IRuntimeConfig": running.RuntimeConfig,
        "IRuntimeCache": running.RuntimeCache,
        "IBuilderConfig": building.BuilderConfig,
        "IOptimizationProfile": building.OptimizationProfile,
        "INetworkDefinition": building.Network,
    }
    for theirs, ours in kinds.items():
        names = {name for name in dir(ours) if not name.startswith("_")} - {"flavour", "version", "HEAD"}
        assert names <= set(dir(getattr(real, theirs))), theirs
    for name, ours in vars(tensorrt_rtx).items():
        if hasattr(ours, "__members__"):
            assert set(ours.__members__) <= set(getattr(real, name).__members__), name
