"""NVIDIA GPUs through NVIDIA's management library (``pip install nvidia-ml-py``): power, heat, clocks, use.

Function and constant names after NVML's API reference. On a Jetson NVML does not know power: `snl_edge.jetson.rails`
does.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ..errors import EngineError
from ..runtime.gpu import pci_address

THROTTLE_REASONS = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "thermal (software)",
    0x40: "thermal (hardware)",
    0x80: "power brake",
}
"""Bits of ``nvmlDeviceGetCurrentClocksEventReasons`` that mean that the GPU runs slower than it could."""


class NvmlGpu:
    """One GPU by its handle; what the library does not tell of it is None."""

    def __init__(self, library: Any, handle: Any, name: str) -> None:
        self.name, self._library, self._handle = name, library, handle

    def power_w(self) -> float | None:
        """Watts now."""
        return self._ask(lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3)

    def energy_j(self) -> float | None:
        """Joules since the driver was loaded; came with Volta."""
        return self._ask(lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3)

    def temperature_c(self) -> int | None:
        """Degrees Celsius of the chip."""
        return self._ask(lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU))

    def clock_mhz(self) -> int | None:
        """Clock of the multiprocessors."""
        return self._ask(lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM))

    def throttled(self) -> tuple[str, ...]:
        """Why the clock is held down at this moment; empty if it is not, or if that is not told."""
        bits = self._ask(lambda nvml, gpu: _clock_reasons(nvml)(gpu)) or 0
        return tuple(reason for bit, reason in THROTTLE_REASONS.items() if bits & bit)

    def processes(self) -> dict[int, int | None]:
        """Bytes of device memory of each process that computes on it, None where a container hides it."""
        found = self._ask(lambda nvml, gpu: nvml.nvmlDeviceGetComputeRunningProcesses(gpu)) or []
        return {process.pid: process.usedGpuMemory for process in found}

    def busy_percent(self) -> int | None:
        """Share of the last moments in which it computed."""
        return self._ask(lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu)

    def describe(self) -> dict[str, Any]:
        """Driver and limits."""
        wanted = {
            "driver": lambda nvml, gpu: nvml.nvmlSystemGetDriverVersion(),
            "power_limit_w": lambda nvml, gpu: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1e3,
            "highest_clock_mhz": lambda nvml, gpu: nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_SM),
            "persistence_mode": lambda nvml, gpu: bool(nvml.nvmlDeviceGetPersistenceMode(gpu)),
        }
        return {name: value for name, ask in wanted.items() if (value := self._ask(ask)) is not None}

    def _ask(self, question: Any) -> Any:
        with suppress(self._library.NVMLError):  # not every GPU knows everything
            return question(self._library, self._handle)
        return None


def all_gpus() -> list[NvmlGpu]:
    """Every GPU that NVML sees, as ``gpu0``, ``gpu1``, …; none without nvidia-ml-py or a driver."""
    try:
        import pynvml  # pyright: ignore[reportMissingImports]
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []
    return [NvmlGpu(pynvml, handle, f"gpu{index}") for index, handle in enumerate(handles)]


def find_gpu(device: int = 0) -> NvmlGpu | str:
    """The CUDA device of this number, under its product's name; or why it cannot be asked."""
    try:
        import pynvml  # pyright: ignore[reportMissingImports]
    except ImportError:
        return 'NVML: not installed (pip install "snl-edge[bench]"), needed for power and clocks of a GPU'
    try:
        pynvml.nvmlInit()
        # NVML ignores CUDA_VISIBLE_DEVICES; the PCI address is the same in both worlds.
        handle = pynvml.nvmlDeviceGetHandleByPciBusId(pci_address(device).encode())
        name = pynvml.nvmlDeviceGetName(handle)
        return NvmlGpu(pynvml, handle, name if isinstance(name, str) else name.decode())
    except (pynvml.NVMLError, EngineError) as error:
        return f"NVML: {error}"


def _clock_reasons(nvml: Any) -> Any:
    # Renamed in driver 535; older bindings know the old name alone.
    return (
        getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None) or nvml.nvmlDeviceGetCurrentClocksThrottleReasons
    )
