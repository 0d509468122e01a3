"""TensorRT 10's names over the stand-in."""

from standin_trt.building import BuilderOf, OnnxParser
from standin_trt.names import (
    BuilderFlag,
    DataType,
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

__version__ = "10.16.2+standin"


class Builder(BuilderOf):
    """See `BuilderOf`."""

    flavour, version = "tensorrt", __version__


class Runtime(RuntimeOf):
    """See `RuntimeOf`; without the check that only RTX has."""

    flavour, version = "tensorrt", __version__
