"""Enumerations and small base classes: names of TensorRT 10 and of TensorRT-RTX."""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class DataType(IntEnum):
    """Types of tensors."""

    FLOAT, HALF, INT8, INT32, BOOL, UINT8, FP8, BF16, INT64 = range(9)


class TensorIOMode(IntEnum):
    """What a tensor is to an engine."""

    NONE, INPUT, OUTPUT = range(3)


class NetworkDefinitionCreationFlag(IntEnum):
    """Kinds of networks."""

    STRONGLY_TYPED = 1


class BuilderFlag(IntEnum):
    """Switches of the builder."""

    DEBUG = 2
    TF32 = 7


class ProfilingVerbosity(IntEnum):
    """What an engine tells of its layers."""

    LAYER_NAMES_ONLY, NONE, DETAILED = range(3)


class MemoryPoolType(IntEnum):
    """Memory that can be limited."""

    WORKSPACE, DLA_MANAGED_SRAM, DLA_LOCAL_DRAM, DLA_GLOBAL_DRAM, TACTIC_DRAM, TACTIC_SHARED_MEMORY = range(6)


class ErrorCode(IntEnum):
    """What the parser finds wrong."""

    SUCCESS = 0
    MODEL_DESERIALIZE_FAILED = 3


class LayerInformationFormat(IntEnum):
    """How the inspector answers."""

    ONELINE, JSON = range(2)


class ExecutionContextAllocationStrategy(IntEnum):
    """Who provides a context's memory."""

    STATIC, ON_PROFILE_CHANGE, USER_MANAGED = range(3)


class CudaGraphStrategy(IntEnum):
    """TensorRT-RTX's own CUDA graphs."""

    DISABLED, WHOLE_GRAPH_CAPTURE = range(2)


class DynamicShapesKernelSpecializationStrategy(IntEnum):
    """When TensorRT-RTX compiles kernels for a shape."""

    LAZY, EAGER, NONE = range(3)


class EngineValidity(IntEnum):
    """What TensorRT-RTX says of an engine."""

    VALID, SUBOPTIMAL, INVALID = range(3)


class EngineInvalidityDiagnostics(IntEnum):
    """Why it calls it invalid: bits."""

    VERSION_MISMATCH = 1
    UNSUPPORTED_CC = 2
    MALFORMED_ENGINE = 32


class ComputeCapability(IntEnum):
    """Those that TensorRT-RTX 1.7 lists."""

    NONE, CURRENT = 0, 1
    SM75, SM80, SM86, SM89, SM120, SM121 = 75, 80, 86, 89, 120, 121


class Severity(IntEnum):
    """Of a message to the logger."""

    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class ILogger:
    """What a user derives a logger from."""

    Severity = Severity
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = Severity

    def __init__(self) -> None: ...

    def log(self, severity: Any, msg: str) -> None:
        """Called for each message."""
        raise NotImplementedError


class IProgressMonitor:
    """What a user derives a progress monitor from."""

    def __init__(self) -> None: ...
