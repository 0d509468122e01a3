"""TensorRT-RTX 1.7's names over the stand-in."""

from standin_trt.building import BuilderOf, OnnxParser
from standin_trt.names import (
    BuilderFlag,
    ComputeCapability,
    CudaGraphStrategy,
    DataType,
    DynamicShapesKernelSpecializationStrategy,
    EngineInvalidityDiagnostics,
    EngineValidity,
    ErrorCode,
    ExecutionContextAllocationStrategy,
    ILogger,
    IProgressMonitor,
    LayerInformationFormat,
    MemoryPoolType,
    NetworkDefinitionCreationFlag,
    ProfilingVerbosity,
    TensorIOMode,
)
from standin_trt.running import RuntimeOf

__version__ = "1.7.1+standin"


class Builder(BuilderOf):
    """See `BuilderOf`."""

    flavour, version = "tensorrt_rtx", __version__


class Runtime(RuntimeOf):
    """See `RuntimeOf`."""

    flavour, version = "tensorrt_rtx", __version__
