"""Runtime, engine and execution context: ONNX Runtime computes, when the stream comes to it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np

from . import driver, faults
from .driver import CudaError, Memory, Staging
from .names import (
    CudaGraphStrategy,
    DataType,
    DynamicShapesKernelSpecializationStrategy,
    EngineInvalidityDiagnostics,
    EngineValidity,
    ExecutionContextAllocationStrategy,
    TensorIOMode,
)
from .plan import Plan, PlanError

SCRATCH_BYTES = 1 << 18
"""What a context takes on the device for each image of the largest batch of its profiles."""
_OF_SESSION = {
    "tensor(uint8)": (DataType.UINT8, np.uint8),
    "tensor(float)": (DataType.FLOAT, np.float32),
    "tensor(int32)": (DataType.INT32, np.int32),
}


class RuntimeOf:
    """Reads engines; each flavour names itself in a subclass."""

    flavour: str
    version: str

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def get_engine_validity(self, buffer: Any) -> tuple[EngineValidity, int]:
        """TensorRT-RTX's word on an engine, before it is loaded."""
        try:
            plan = Plan.unpack(bytes(buffer))
        except PlanError:
            return EngineValidity.INVALID, int(EngineInvalidityDiagnostics.MALFORMED_ENGINE)
        if (plan.flavour, plan.version) != (self.flavour, self.version):
            return EngineValidity.INVALID, int(EngineInvalidityDiagnostics.VERSION_MISMATCH)
        if plan.capabilities and driver.compute_capability() not in plan.capabilities:
            return EngineValidity.INVALID, int(EngineInvalidityDiagnostics.UNSUPPORTED_CC)
        return EngineValidity.VALID, 0

    def deserialize_cuda_engine(self, serialized_engine: Any) -> Engine | None:
        """The engine, or null and a message in the log."""
        if faults.due(self.logger, "deserialize_cuda_engine"):
            return None
        validity, causes = self.get_engine_validity(serialized_engine)
        if validity == EngineValidity.INVALID:
            self.logger.log(self.logger.ERROR, f"this engine does not fit ({EngineInvalidityDiagnostics(causes).name})")
            return None
        try:
            return Engine(Plan.unpack(bytes(serialized_engine)), self.logger)
        except CudaError as error:
            self.logger.log(self.logger.ERROR, f"deserialize_cuda_engine: {error}")
            return None


class Engine:
    """Weights on the device, once for all contexts."""

    def __init__(self, plan: Plan, logger: Any) -> None:
        import onnxruntime

        self._memory = Memory(max(plan.weight_bytes, 1 << 16))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(plan.onnx, options, providers=["CPUExecutionProvider"])
        self._plan, self._logger = plan, logger
        self._inputs = [value.name for value in self._session.get_inputs()]
        self._outputs = [value.name for value in self._session.get_outputs()]
        values = [*self._session.get_inputs(), *self._session.get_outputs()]
        self._types = {value.name: _OF_SESSION[value.type] for value in values}
        self._shapes = {
            value.name: tuple(size if isinstance(size, int) else -1 for size in value.shape) for value in values
        }

    num_io_tensors = property(lambda self: len(self._types))
    num_optimization_profiles = property(lambda self: len(self._plan.profiles))
    device_memory_size_v2 = property(lambda self: _scratch(self._plan.profiles))

    def get_tensor_name(self, index: int) -> str:
        return list(self._types)[index]

    def get_tensor_dtype(self, name: str) -> DataType:
        return self._types[name][0]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self._inputs else TensorIOMode.OUTPUT

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        return list(self._plan.profiles[profile_index][name])

    def create_engine_inspector(self) -> Any:
        return SimpleNamespace(get_engine_information=lambda format: json.dumps({"Layers": []}))

    def create_runtime_config(self) -> RuntimeConfig:
        return RuntimeConfig()

    def create_execution_context(self, strategy: Any = None, *, runtime_config: Any = None) -> Context | None:
        """A context with its own scratch memory, or null and a message in the log."""
        if faults.due(self._logger, "create_execution_context"):
            return None
        try:
            return Context(self, runtime_config, own_memory=strategy != ExecutionContextAllocationStrategy.USER_MANAGED)
        except CudaError as error:
            self._logger.log(self._logger.ERROR, f"create_execution_context: {error}")
            return None


class RuntimeConfig:
    """TensorRT-RTX's settings of an execution context."""

    def __init__(self) -> None:
        self.cuda_graph_strategy = CudaGraphStrategy.DISABLED
        self.dynamic_shapes_kernel_specialization_strategy = DynamicShapesKernelSpecializationStrategy.LAZY
        self._kernels: RuntimeCache | None = None

    def create_runtime_cache(self) -> RuntimeCache:
        return RuntimeCache()

    def set_runtime_cache(self, cache: RuntimeCache) -> bool:
        self._kernels = cache
        return True

    def get_runtime_cache(self) -> RuntimeCache | None:
        return self._kernels


class RuntimeCache:
    """Kernels that TensorRT-RTX compiled: here the shapes that were run."""

    HEAD = "stand-in kernels"

    def __init__(self) -> None:
        self.shapes: set[str] = set()

    def serialize(self) -> memoryview:
        return memoryview("\n".join([self.HEAD, *sorted(self.shapes)]).encode())

    def deserialize(self, buffer: Any) -> bool:
        head, *shapes = bytes(buffer).decode(errors="replace").split("\n")
        if head != self.HEAD:
            return False
        self.shapes |= set(shapes)
        return True


class Context:
    """One execution at a time: a profile, input shapes, addresses."""

    def __init__(self, engine: Engine, settings: RuntimeConfig | None, *, own_memory: bool) -> None:
        self._engine, self._settings, self._logger = engine, settings, engine._logger
        self._launched: set[int] = set()
        self._profile, self._shapes, self._addresses = 0, {}, {}
        self._ready: set[tuple[Any, ...]] = set()
        self._memory = Memory(_scratch(engine._plan.profiles)) if own_memory else None
        self._given: tuple[int, int] | None = None
        largest = [shapes[name][2] for shapes in engine._plan.profiles for name in engine._inputs]
        batch = max(shape[0] for shape in largest)
        rest = {name: tuple(max(size, 1) for size in shape[1:]) for name, shape in engine._shapes.items()}
        self._staging = {
            name: Staging((batch, *rest[name]), engine._types[name][1]) for name in (*engine._inputs, *engine._outputs)
        }

    active_optimization_profile = property(lambda self: self._profile)
    engine = property(lambda self: self._engine)

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        """Another profile, whose shapes must then be set again."""
        if not 0 <= profile_index < self._engine.num_optimization_profiles:
            return self._refuse(f"there is no profile {profile_index}")
        if faults.due(self._logger, "set_optimization_profile_async"):
            return False
        if profile_index != self._profile:
            self._profile, self._shapes = profile_index, {}
        return True

    def set_input_shape(self, name: str, shape: Any) -> bool:
        """The shape of the next executions; refused outside the profile."""
        if faults.due(self._logger, "set_input_shape"):
            return False
        smallest, _, largest = self._engine._plan.profiles[self._profile][name]
        wanted = tuple(int(size) for size in shape)
        if len(wanted) != len(smallest) or not all(
            a <= b <= c for a, b, c in zip(smallest, wanted, largest, strict=True)
        ):
            return self._refuse(f"set_input_shape: {name} {wanted} is outside profile {self._profile}")
        self._shapes[name] = wanted
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        """Where a tensor lies on the device."""
        if name not in self._engine._types or not memory:
            return self._refuse(f"set_tensor_address: no address for {name}")
        if faults.due(self._logger, "set_tensor_address"):
            return False
        self._addresses[name] = int(memory)
        return True

    def set_device_memory(self, memory: int, size: int) -> None:
        """The scratch memory of a context without its own."""
        self._given = int(memory), int(size)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._shapes.get(name, self._engine.get_tensor_shape(name))

    def get_tensor_address(self, name: str) -> int:
        return self._addresses.get(name, 0)

    def is_stream_capturable(self, stream: int) -> bool:
        """TensorRT-RTX: whether an execution of these shapes can be captured, that is, their kernels are compiled."""
        return self._key() in self._ready

    def _key(self) -> tuple[Any, ...]:
        return (self._profile, *sorted(self._shapes.items()))

    def execute_async_v3(self, stream_handle: int) -> bool:
        """Puts one execution, with the shapes and addresses of this moment, on a stream."""
        if faults.due(self._logger, "execute_async_v3"):
            return False
        engine = self._engine
        lacking = [name for name in engine._types if name not in self._addresses]
        lacking += [name for name in engine._inputs if name not in self._shapes]
        if lacking:
            return self._refuse(f"execute_async_v3: no address or shape for {', '.join(lacking)}")
        addresses, staging, batch = dict(self._addresses), self._staging, next(iter(self._shapes.values()))[0]
        scratch = self._given
        if self._memory is None and (scratch is None or scratch[1] < engine.device_memory_size_v2):
            return self._refuse(f"execute_async_v3: {scratch} is too little device memory")

        def compute() -> None:
            given = {name: staging[name].array[:batch] for name in engine._inputs}
            for name, value in zip(engine._outputs, engine._session.run(engine._outputs, given), strict=True):
                staging[name].array[:batch] = value

        try:
            if self._key() not in self._ready:
                # TensorRT's work after a change of shape (RTX compiles kernels): not allowed while a stream captures.
                Memory(1 << 12).free()
                self._ready.add(self._key())
                if self._settings is not None and self._settings.get_runtime_cache() is not None:
                    self._settings.get_runtime_cache().shapes.add(repr(self._key()))
            if scratch is not None:
                driver.fill(*scratch, stream_handle)
            for name in engine._inputs:
                staging[name].from_device(addresses[name], batch, stream_handle)
            driver.launch(stream_handle, compute, self._launched)
            for name in engine._outputs:
                staging[name].to_device(addresses[name], batch, stream_handle)
        except CudaError as error:
            return self._refuse(f"execute_async_v3: {error}")
        return True

    def _refuse(self, why: str) -> bool:
        self._logger.log(self._logger.ERROR, why)
        return False

    def __del__(self) -> None:
        driver.forget(getattr(self, "_launched", set()))


def _scratch(profiles: Any) -> int:
    return SCRATCH_BYTES * max(largest[0] for profile in profiles for _, _, largest in profile.values())
