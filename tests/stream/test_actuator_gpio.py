"""The GPIO actuator with the kernel's simulated chip, where the kernel has one (gpio-sim, configured by root)."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from journals import new_journal, record, until

pytest.importorskip("gpiod", reason="gpiod is not installed: pip install 'snl-edge[gpio]'")

from snl_edge.stream.outputs.actuators import GpioActuator, OutcomeLog, build_actuator

CONFIGFS = Path("/sys/kernel/config/gpio-sim")


@pytest.fixture
def chip() -> Iterator[tuple[Path, Path]]:
    """A simulated chip of 8 lines: its device, and the folder where the kernel shows what the lines are."""
    if not (CONFIGFS.is_dir() and os.access(CONFIGFS, os.W_OK)):
        pytest.skip(f"no simulated GPIO: {CONFIGFS} is not there or not writable (modprobe gpio-sim, as root)")
    device = CONFIGFS / f"snl-edge-{os.getpid()}"
    bank = device / "bank"
    bank.mkdir(parents=True)
    (bank / "num_lines").write_text("8")
    (device / "live").write_text("1")
    name = (bank / "chip_name").read_text().strip()
    try:
        yield Path("/dev") / name, next(Path("/sys/devices/platform").glob(f"gpio-sim.*/{name}"))
    finally:
        with contextlib.suppress(OSError):
            (device / "live").write_text("0")
            bank.rmdir()
            device.rmdir()


@pytest.mark.parametrize(("active_low", "idle"), [(False, "0"), (True, "1")])
def test_a_reject_pulses_the_line(chip: tuple[Path, Path], tmp_path: Path, active_low: bool, idle: str) -> None:
    device, lines = chip

    def level() -> str:
        return (lines / "sim_gpio3" / "value").read_text().strip()

    journal = new_journal(tmp_path / "journal")
    log = OutcomeLog(journal)
    log.start()
    actuator = build_actuator(
        GpioActuator(type="gpio", chip=device, line=3, active_low=active_low, pulse_ms=300, tolerance_ms=5000), log
    )
    actuator.start()
    until(lambda: actuator.check().light == "ok")
    assert level() == idle
    actuator.submit(record(1, verdict="reject", action="reject"), journal.run, time.monotonic())
    until(lambda: level() != idle)
    until(lambda: level() == idle)
    actuator.stop(5)
    assert log.stop(5)
    assert [actuation.outcome for actuation in journal.actuations()] == ["done"]
    journal.close()
