"""Which NVIDIA GPUs the driver sees, asked of the driver itself: no CUDA toolkit, no context, no pycuda.

Functions and attribute numbers after the CUDA driver API (``cuInit``, ``cuDeviceGet…``, NVIDIA).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import EngineError

_DRIVER = "libcuda.so.1"
_INTEGRATED = 18
_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR = 75, 76
_NO_DEVICE = 100
_PCI = Path("/sys/bus/pci/devices")
_NVIDIA, _DISPLAY = 0x10DE, 0x03
"""Vendor, and class of display controllers, a GPU without an outlet included (PCI Code and ID Assignment)."""
_DEVICE_TREE = Path("/proc/device-tree/compatible")


@dataclass(frozen=True)
class Gpu:
    """One GPU, numbered as CUDA numbers it (after ``CUDA_VISIBLE_DEVICES``)."""

    index: int
    name: str
    compute_capability: str
    memory_bytes: int
    integrated: bool = False
    """Whether it shares the host's memory, as on a Jetson: nothing need be copied there and back."""


def present_gpus() -> tuple[Gpu, ...]:
    """The GPUs that the driver offers; none where there is no driver, or it offers none."""
    try:
        return _ask_driver()
    except EngineError:
        return ()


def nvidia_hardware() -> bool:
    """Whether an NVIDIA GPU is in this machine, one that no driver offers included: on the PCI bus, or a Jetson's own.

    Where the driver does offer one (as below Windows, without a bus), that is enough.
    """
    if present_gpus():
        return True
    jetson = _DEVICE_TREE.is_file() and b"nvidia,tegra" in _DEVICE_TREE.read_bytes()
    return jetson or any(_is_display(device) for device in _PCI.glob("*"))


def _is_display(device: Path) -> bool:
    try:
        vendor, kind = (int((device / name).read_text(), 16) for name in ("vendor", "class"))
    except (OSError, ValueError):
        return False
    return vendor == _NVIDIA and kind >> 16 == _DISPLAY


def gpu(index: int) -> Gpu:
    """The GPU of this number.

    Raises:
        EngineError: there is no driver, it does not work, or has no such GPU.
    """
    found = _ask_driver()
    if not 0 <= index < len(found):
        present = ", ".join(f"{g.index} {g.name}" for g in found)
        raise EngineError(f"there is no GPU {index}", f"the driver offers {present}", "choose one of these")
    return found[index]


def pci_address(index: int) -> str:
    """Where the GPU sits on the PCI bus, as ``0000:65:00.0``; other libraries number GPUs in their own order.

    Raises:
        EngineError: as `gpu`.
    """
    gpu(index)
    driver, device, text = _driver(), ctypes.c_int(), ctypes.create_string_buffer(32)
    _check(driver, driver.cuDeviceGet(ctypes.byref(device), index), "cuDeviceGet")
    _check(driver, driver.cuDeviceGetPCIBusId(text, len(text), device), "cuDeviceGetPCIBusId")
    return text.value.decode()


@cache
def _ask_driver() -> tuple[Gpu, ...]:
    driver = _driver()
    status = driver.cuInit(0)
    if status == _NO_DEVICE:
        raise EngineError(
            "there is no NVIDIA GPU to use", "the driver finds none", "check CUDA_VISIBLE_DEVICES and `nvidia-smi`"
        )
    _check(driver, status, "cuInit")
    count = ctypes.c_int()
    _check(driver, driver.cuDeviceGetCount(ctypes.byref(count)), "cuDeviceGetCount")
    return tuple(_describe(driver, index) for index in range(count.value))


def _describe(driver: ctypes.CDLL, index: int) -> Gpu:
    device, name, memory = ctypes.c_int(), ctypes.create_string_buffer(256), ctypes.c_size_t()
    _check(driver, driver.cuDeviceGet(ctypes.byref(device), index), "cuDeviceGet")
    _check(driver, driver.cuDeviceGetName(name, len(name), device), "cuDeviceGetName")
    _check(driver, driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device), "cuDeviceTotalMem")
    major, minor = (
        _attribute(driver, device, number) for number in (_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR)
    )
    integrated = bool(_attribute(driver, device, _INTEGRATED))
    return Gpu(index, name.value.decode(errors="replace"), f"{major}.{minor}", memory.value, integrated)


def _attribute(driver: ctypes.CDLL, device: ctypes.c_int, number: int) -> int:
    value = ctypes.c_int()
    _check(driver, driver.cuDeviceGetAttribute(ctypes.byref(value), number, device), "cuDeviceGetAttribute")
    return value.value


def call_driver(function: str, *arguments: object) -> None:
    """Calls a function of the driver's library that no package offers.

    Raises:
        EngineError: there is no driver, or it refuses.
    """
    driver = _driver()
    _check(driver, getattr(driver, function)(*arguments), function)


def _driver() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(_DRIVER)
    except OSError as error:
        raise EngineError(
            "there is no NVIDIA GPU to use",
            f"the driver's library {_DRIVER} cannot be loaded",
            "install NVIDIA's driver",
        ) from error


def _check(driver: ctypes.CDLL, status: int, function: str) -> None:
    if status == 0:
        return
    name = ctypes.c_char_p()
    driver.cuGetErrorName(status, ctypes.byref(name))
    reason = name.value.decode() if name.value else f"error {status}"
    raise EngineError("the NVIDIA driver refuses", f"{function} says {reason}", "check `nvidia-smi`")
