"""Builder, network and parser: an ONNX graph described as TensorRT describes its network, and packed as an engine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from . import driver, faults
from .names import DataType, ErrorCode
from .plan import Plan, Shapes

_TYPES = {
    1: DataType.FLOAT, 2: DataType.UINT8, 3: DataType.INT8, 6: DataType.INT32, 7: DataType.INT64, 9: DataType.BOOL,
    10: DataType.HALF, 16: DataType.BF16,
}  # fmt: skip
_KINDS = {
    "Conv": "CONVOLUTION",
    "ConvTranspose": "DECONVOLUTION",
    "MatMul": "MATRIX_MULTIPLY",
    "Gemm": "MATRIX_MULTIPLY",
    "QuantizeLinear": "QUANTIZE",
    "DequantizeLinear": "DEQUANTIZE",
}


class OptimizationProfile:
    """Ranges of shapes."""

    def __init__(self) -> None:
        self.shapes: Shapes = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
        if not all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True)):
            raise ValueError("a profile's shapes must not decrease")
        self.shapes[input] = (tuple(min), tuple(opt), tuple(max))

    def get_shape(self, input: str) -> list[tuple[int, ...]]:
        return list(self.shapes[input])


class BuilderConfig:
    """What an engine is built for."""

    def __init__(self) -> None:
        self.profiles: list[OptimizationProfile] = []
        self.profiling_verbosity: Any = None
        self.progress_monitor: Any = None
        self.builder_optimization_level = 3
        self.num_compute_capabilities = 0
        self.capabilities: dict[int, int] = {}
        self.flags = 0
        self._timings: TimingCache | None = None

    @property
    def num_optimization_profiles(self) -> int:
        return len(self.profiles)

    def add_optimization_profile(self, profile: OptimizationProfile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def set_compute_capability(self, compute_capability: Any, index: int) -> bool:
        if not 0 <= index < self.num_compute_capabilities:
            return False
        self.capabilities[index] = int(compute_capability)
        return True

    def set_flag(self, flag: Any) -> None:
        self.flags |= 1 << int(flag)

    def clear_flag(self, flag: Any) -> None:
        self.flags &= ~(1 << int(flag))

    def get_flag(self, flag: Any) -> bool:
        return bool(self.flags & 1 << int(flag))

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        if pool_size <= 0:
            raise ValueError("a memory pool needs bytes")

    def create_timing_cache(self, serialized_timing_cache: bytes) -> TimingCache | None:
        content = bytes(serialized_timing_cache)
        return TimingCache() if content in (b"", TimingCache.CONTENT) else None

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        self._timings = cache
        return True

    def get_timing_cache(self) -> TimingCache | None:
        return self._timings


class TimingCache:
    """Timings of kernels, of which there are none here."""

    CONTENT = b"stand-in timings"

    def serialize(self) -> memoryview:
        return memoryview(self.CONTENT)


class Network:
    """Inputs, outputs and layers of the graph that was parsed."""

    def __init__(self) -> None:
        self.onnx = b""
        self.weight_bytes = 0
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.layers: list[Any] = []

    num_inputs = property(lambda self: len(self.inputs))
    num_outputs = property(lambda self: len(self.outputs))
    num_layers = property(lambda self: len(self.layers))

    def get_input(self, index: int) -> Any:
        return self.inputs[index]

    def get_output(self, index: int) -> Any:
        return self.outputs[index]

    def get_layer(self, index: int) -> Any:
        return self.layers[index]


class OnnxParser:
    """Reads a graph into a network."""

    def __init__(self, network: Network, logger: Any) -> None:
        self._network = network
        self._errors: list[Any] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> Any:
        return self._errors[index]

    def parse(self, model: bytes, path: str | None = None) -> bool:
        import onnx

        try:
            graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(model)).graph
        except Exception as error:  # protobuf's own, of several kinds
            self._fail(ErrorCode.MODEL_DESERIALIZE_FAILED, str(error))
            return False
        if not graph.node:
            self._fail(ErrorCode.MODEL_DESERIALIZE_FAILED, "no graph")
            return False
        types = {
            value.name: value.type.tensor_type.elem_type for value in [*graph.input, *graph.output, *graph.value_info]
        }
        types |= {weight.name: weight.data_type for weight in graph.initializer}
        network = self._network
        network.onnx = bytes(model)
        network.weight_bytes = sum(len(weight.raw_data) for weight in graph.initializer)
        network.inputs, network.outputs = [_io(value) for value in graph.input], [_io(value) for value in graph.output]
        network.layers = [_layer(node, types) for node in graph.node]
        return True

    def _fail(self, code: ErrorCode, text: str) -> None:
        told = {"code": code, "desc": text, "node_name": "", "node_operator": ""}
        self._errors.append(SimpleNamespace(**{name: lambda value=value: value for name, value in told.items()}))


def _io(value: Any) -> Any:
    kind = value.type.tensor_type
    shape = tuple(size.dim_value if size.HasField("dim_value") else -1 for size in kind.shape.dim)
    return SimpleNamespace(name=value.name, dtype=_TYPES[kind.elem_type], shape=shape)


def _layer(node: Any, types: dict[str, int]) -> Any:
    def tensors(names: Any) -> list[Any]:
        return [SimpleNamespace(name=name, dtype=_TYPES.get(types.get(name, 1), DataType.FLOAT)) for name in names]

    inputs, outputs = tensors(node.input), tensors(node.output)
    return SimpleNamespace(
        type=SimpleNamespace(name=_KINDS.get(node.op_type, node.op_type.upper())),
        name=node.name,
        num_inputs=len(inputs),
        num_outputs=len(outputs),
        get_input=inputs.__getitem__,
        get_output=outputs.__getitem__,
    )


class BuilderOf:
    """A builder; each flavour names itself in a subclass."""

    flavour: str
    version: str

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def create_network(self, flags: int = 0) -> Network:
        return Network()

    def create_builder_config(self) -> BuilderConfig:
        return BuilderConfig()

    def create_optimization_profile(self) -> OptimizationProfile:
        return OptimizationProfile()

    def build_serialized_network(self, network: Network, config: BuilderConfig) -> memoryview | None:
        if faults.due(self.logger, "build_serialized_network"):
            return None
        dynamic = {value.name for value in network.inputs if -1 in value.shape}
        if not config.profiles or any(set(profile.shapes) != dynamic for profile in config.profiles):
            self.logger.log(self.logger.ERROR, f"a profile must name {', '.join(sorted(dynamic))}, and nothing else")
            return None
        if config.progress_monitor is not None:
            config.progress_monitor.phase_start("Building Engine", None, 1)
            config.progress_monitor.step_complete("Building Engine", 0)
            config.progress_monitor.phase_finish("Building Engine")
        capabilities = tuple(config.capabilities[i] for i in range(config.num_compute_capabilities))
        if not capabilities and self.flavour == "tensorrt":
            capabilities = (driver.compute_capability(),)  # it builds for the GPU at hand; RTX for many
        profiles = tuple(profile.shapes for profile in config.profiles)
        plan = Plan(self.flavour, self.version, capabilities, profiles, network.weight_bytes, network.onnx)
        return memoryview(plan.pack())
