"""An NVIDIA GPU in a workstation or server, through NVIDIA's management library (``pip install nvidia-ml-py``).

Function and constant names after NVML's API reference. On a Jetson NVML does not know power: see `jetson_sensor`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from snl_edge.errors import EngineError
from snl_edge.runtime.gpu import pci_address

from .sensors import Reading

THROTTLE_REASONS = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "thermal (software)",
    0x40: "thermal (hardware)",
    0x80: "power brake",
}
"""Bits of ``nvmlDeviceGetCurrentClocksEventReasons`` that mean that the GPU runs slower than it could."""
BUSY_PERCENT = 5


class NvmlSensor:
    """Reads one GPU by its handle."""

    def __init__(self, library: Any, handle: Any, name: str) -> None:
        self.name, self._library, self._handle = name, library, handle

    def read(self) -> Reading:
        """What the GPU gives; some give no energy counter, which came with Volta."""
        nvml, handle = self._library, self._handle
        power = self._try(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3)
        energy = self._try(lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3)
        bits = self._try(lambda: _clock_reasons(nvml)(handle)) or 0
        return Reading(
            power_w=power,
            energy_j=energy,
            temperature_c=self._try(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
            clock_mhz=self._try(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
            throttled=tuple(reason for bit, reason in THROTTLE_REASONS.items() if bits & bit),
        )

    def busy(self, own: set[int]) -> str | None:
        """In words what else runs on the GPU, besides the processes ``own``; None if nothing does."""
        nvml, handle = self._library, self._handle
        others = self._try(lambda: [p for p in nvml.nvmlDeviceGetComputeRunningProcesses(handle) if p.pid not in own])
        used = self._try(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu) or 0
        if others:
            return f"{len(others)} other processes compute on {self.name}"
        return f"{self.name} is {used} % busy before the start" if used > BUSY_PERCENT else None

    def used_bytes(self, process: int) -> int | None:
        """Device memory of one process, if the driver tells it (containers often hide it)."""
        nvml, handle = self._library, self._handle
        found = self._try(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle)) or []
        return next((p.usedGpuMemory for p in found if p.pid == process), None)

    def describe(self) -> dict[str, Any]:
        """Driver and limits."""
        nvml, handle = self._library, self._handle
        wanted = {
            "driver": nvml.nvmlSystemGetDriverVersion,
            "power_limit_w": lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1e3,
            "highest_clock_mhz": lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM),
            "persistence_mode": lambda: bool(nvml.nvmlDeviceGetPersistenceMode(handle)),
        }
        return {name: value for name, ask in wanted.items() if (value := self._try(ask)) is not None}

    def _try(self, ask: Any) -> Any:
        with suppress(self._library.NVMLError):  # not every GPU knows everything
            return ask()
        return None


def find_nvml(device: int = 0) -> NvmlSensor | str:
    """The sensor of the CUDA device of this number, or why there is none."""
    try:
        import pynvml  # pyright: ignore[reportMissingImports]
    except ImportError:
        return 'NVML: not installed (pip install "snl-edge[bench]"), needed for power and clocks of a GPU'
    try:
        pynvml.nvmlInit()
        # NVML ignores CUDA_VISIBLE_DEVICES; the PCI address is the same in both worlds.
        handle = pynvml.nvmlDeviceGetHandleByPciBusId(pci_address(device).encode())
        name = pynvml.nvmlDeviceGetName(handle)
        return NvmlSensor(pynvml, handle, name if isinstance(name, str) else name.decode())
    except (pynvml.NVMLError, EngineError) as error:
        return f"NVML: {error}"


def _clock_reasons(nvml: Any) -> Any:
    # Renamed in driver 535; older bindings know the old name alone.
    return (
        getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None) or nvml.nvmlDeviceGetCurrentClocksThrottleReasons
    )
