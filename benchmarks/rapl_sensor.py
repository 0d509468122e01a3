"""Energy of x86 processors, from the counters that the kernel offers under ``/sys/class/powercap``.

They count the whole package, whatever runs on it. Since 2020 most kernels let only root read them.
"""

from __future__ import annotations

from pathlib import Path

from .sensors import Reading

FOLDER = Path("/sys/class/powercap")


class RaplSensor:
    """The sum over all packages; counters that run over are carried on."""

    name = "CPU packages (RAPL)"

    def __init__(self, packages: list[Path]) -> None:
        self._packages = packages
        self._wraps = [int((package / "max_energy_range_uj").read_text()) for package in packages]
        self._last = [self._counter(package) for package in packages]
        self._total = 0

    def read(self) -> Reading:
        """Joules since this sensor was made."""
        for index, package in enumerate(self._packages):
            now = self._counter(package)
            self._total += (now - self._last[index]) % (self._wraps[index] + 1)
            self._last[index] = now
        return Reading(energy_j=self._total / 1e6)

    @staticmethod
    def _counter(package: Path) -> int:
        return int((package / "energy_uj").read_text())


def find_rapl(folder: Path = FOLDER) -> RaplSensor | str:
    """The sensor of this machine's processors, or why there is none."""
    packages = [path for path in sorted(folder.glob("*-rapl:*")) if path.name.count(":") == 1]
    if not packages:
        return "RAPL: the kernel offers no energy counters (a virtual machine, or not x86)"
    try:
        return RaplSensor(packages)
    except OSError as error:
        return f"RAPL: {error.strerror} ({packages[0] / 'energy_uj'}; usually for root alone)"
