"""The files by which a Jetson describes itself, drawn below a folder with the values that its kernel would give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

ORIN_NANO = ("MAXN_SUPER", ["15W", "25W", "MAXN_SUPER", "7W"])
AGX_ORIN = ("MAXN", ["MAXN", "MODE_15W", "MODE_30W", "MODE_50W"])


def write(path: Path, text: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def draw_board(root: Path, release: str = "R36 (release), REVISION: 4.3", soc: str = "nvidia,tegra234") -> Path:
    """What every Jetson has: its release and its device tree."""
    write(root / "etc/nv_tegra_release", f"# {release}, GCID: 1, BOARD: generic")
    write(root / "proc/device-tree/compatible", f"nvidia,p3768-0000+p3767-0005\0{soc}\0")
    return root


def draw_ina3221(root: Path, number: int, channels: Sequence[tuple[str, int, int]]) -> Path:
    """A monitor with up to three channels: label, millivolts, milliamperes."""
    chip = root / f"sys/class/hwmon/hwmon{number}"
    write(chip / "name", "ina3221")
    for index, (label, millivolts, milliamperes) in enumerate(channels, start=1):
        write(chip / f"in{index}_label", label)
        write(chip / f"in{index}_input", millivolts)
        write(chip / f"curr{index}_input", milliamperes)
    write(chip / "in7_label", "sum of shunt voltages")
    write(chip / "in7_input", 12)
    return chip


def draw_ina238(root: Path, number: int, microwatts: int) -> Path:
    chip = root / f"sys/class/hwmon/hwmon{number}"
    write(chip / "name", "ina238")
    write(chip / "power1_input", microwatts)
    write(chip / "in1_input", 19_800)
    write(chip / "curr1_input", 1_200)
    return chip


def draw_nvpmodel(root: Path, names: Sequence[str], default: int = 0, current: int | None = None) -> Path:
    """``nvpmodel.conf`` in the format of L4T, with what it sets and a comment that only looks like a mode."""
    lines = ["# < POWER_MODEL ID=9 NAME=EXAMPLE >", "< PARAM TYPE=FILE NAME=CPU_ONLINE >", ""]
    for number, name in enumerate(names):
        lines += [f"< POWER_MODEL ID={number} NAME={name} >", "CPU_ONLINE CORE_0 1", "GPU MAX_FREQ -1", ""]
    write(root / "etc/nvpmodel.conf", "\n".join([*lines, f"< PM_CONFIG DEFAULT={default} >"]))
    if current is not None:
        write(root / "var/lib/nvpmodel/status", f"pmode:{current:04d} fmode:quiet")
    return root


def draw_orin_nano(root: Path) -> Path:
    draw_board(root)
    draw_ina3221(root, 1, [("VDD_IN", 19_000, 500), ("VDD_CPU_GPU_CV", 19_000, 200), ("VDD_SOC", 19_000, 100)])
    return draw_nvpmodel(root, ORIN_NANO[1], default=1, current=1)


def draw_agx_orin(root: Path) -> Path:
    """38 W: 22 of GPU and SoC, 10 of CPU, 6 of the 5 V rail, of which the DDR takes 2."""
    draw_board(root)
    draw_ina3221(root, 3, [("VDD_GPU_SOC", 20_000, 1_100), ("VDD_CPU_CV", 20_000, 500), ("VIN_SYS_5V0", 5_000, 1_200)])
    draw_ina3221(root, 4, [("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 5_000, 400), ("NC", 0, 0)])
    return draw_nvpmodel(root, AGX_ORIN[1], default=2, current=0)


def draw_thor(root: Path) -> Path:
    draw_board(root, "R38 (release), REVISION: 2.0", "nvidia,tegra264")
    draw_ina3221(root, 2, [("VDD_GPU", 12_000, 1_000), ("VDD_CPU_SOC_MSS", 12_000, 500), ("VIN_SYS_5V0", 5_000, 1_200)])
    draw_ina238(root, 5, 41_250_000)
    return draw_nvpmodel(root, ["MAXN", "120W"], default=1)
