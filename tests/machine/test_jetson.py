"""What a Jetson is, draws and may draw, from the files that its kernel and JetPack give (drawn here)."""

from __future__ import annotations

from pathlib import Path

import pytest
from jetsons import (
    draw_agx_orin,
    draw_board,
    draw_ina238,
    draw_ina3221,
    draw_nvpmodel,
    draw_orin_nano,
    draw_thor,
    write,
)

from snl_edge import doctor
from snl_edge.benchmarks.sensors import JetsonSensor, find_jetson
from snl_edge.benchmarks.system import describe_system
from snl_edge.jetson.board import is_jetson, jetpack_version, l4t_release
from snl_edge.jetson.power_mode import power_modes
from snl_edge.jetson.rails import Total, find_rails, find_total
from snl_edge.stream.health.sensors import powers


def test_a_jetson_is_known_by_either_of_its_marks(tmp_path: Path) -> None:
    draw_board(tmp_path / "bare")
    assert is_jetson(tmp_path / "bare")
    assert l4t_release(tmp_path / "bare").startswith("R36 (release), REVISION: 4.3")
    write(tmp_path / "container/proc/device-tree/compatible", "nvidia,p3834\0nvidia,tegra264\0")
    assert is_jetson(tmp_path / "container")
    write(tmp_path / "other/proc/device-tree/compatible", "raspberrypi,5-model-b\0brcm,bcm2712\0")
    assert not is_jetson(tmp_path / "other")
    assert not is_jetson(tmp_path / "nothing")


def test_jetpack_is_read_from_the_package_data_base(tmp_path: Path) -> None:
    write(
        tmp_path / "var/lib/dpkg/status",
        "Package: nvidia-jetpack-runtime\nVersion: 1\n\nPackage: nvidia-jetpack\nDescription: a\n Version: 9\n"
        "Version: 6.2.1+b38\n\nPackage: zlib\nVersion: 2",
    )
    assert jetpack_version(tmp_path) == "6.2.1+b38"
    assert jetpack_version(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("draw", "name", "watts"),
    [
        (draw_orin_nano, "VDD_IN", 9.5),
        # Neither the 5 V rail alone (6 W), nor all four rails (40 W): the DDR's is part of the 5 V rail.
        (draw_agx_orin, "VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0", 38.0),
        (draw_thor, "VIN", 41.25),
    ],
)
def test_the_power_of_each_board(tmp_path: Path, draw, name: str, watts: float) -> None:
    draw(tmp_path)
    sensor = find_jetson(tmp_path)
    assert isinstance(sensor, JetsonSensor)
    assert sensor.name == f"Jetson {name}"
    assert sensor.read().power_w == pytest.approx(watts)
    assert dict(powers(tmp_path))["module"] == pytest.approx(watts)
    assert describe_system([sensor], tmp_path)["sensors"][sensor.name]["scope"]


def test_a_line_tells_rails_and_whole_apart(tmp_path: Path) -> None:
    found = dict(powers(draw_agx_orin(tmp_path)))
    assert found == {
        "VDD_GPU_SOC": 22.0,
        "VDD_CPU_CV": 10.0,
        "VIN_SYS_5V0": 6.0,
        "VDDQ_VDD2_1V8AO": 2.0,
        "module": 38.0,
    }


def test_monitors_of_another_machine_are_no_jetsons(tmp_path: Path) -> None:
    draw_ina3221(tmp_path, 1, [("VDD_IN", 19_000, 500)])
    assert powers(tmp_path) == []
    assert "no Jetson" in str(find_jetson(tmp_path))


def test_unknown_rails_are_named_and_not_added_up(tmp_path: Path) -> None:
    draw_board(tmp_path)
    assert "no INA3221" in str(find_jetson(tmp_path))
    draw_ina3221(tmp_path, 1, [("VDD_NEW", 5_000, 1_000), ("VIN_SYS_5V0", 5_000, 1_000)])
    said = str(find_jetson(tmp_path))
    assert "VDD_NEW, VIN_SYS_5V0" in said
    assert "module" not in dict(powers(tmp_path))
    finding = doctor._power(tmp_path)
    assert (finding["ready"], "VDD_NEW" in finding["found"]) == (False, True)


def test_a_sum_with_a_rail_beside_it_that_nobody_knows_is_no_total(tmp_path: Path) -> None:
    draw_agx_orin(tmp_path)
    draw_ina3221(tmp_path, 8, [("CVB_ATX_12V", 12_000, 500)])  # AGX Orin Industrial: a rail of the carrier board
    assert isinstance(find_total(find_rails(tmp_path)), Total)
    draw_ina3221(tmp_path, 9, [("VDD_DLA", 5_000, 500)])
    assert "VDD_DLA" in str(find_total(find_rails(tmp_path)))


def test_two_inputs_are_no_total(tmp_path: Path) -> None:
    draw_thor(tmp_path)
    draw_ina238(tmp_path, 6, 3_000_000)
    assert "not known" in str(find_total(find_rails(tmp_path)))


def test_a_rail_that_cannot_be_read_makes_the_whole_unknown_not_smaller(tmp_path: Path) -> None:
    draw_agx_orin(tmp_path)
    sensor = find_jetson(tmp_path)
    assert isinstance(sensor, JetsonSensor)
    write(tmp_path / "sys/class/hwmon/hwmon3/curr1_input", "")
    assert sensor.read().power_w is None
    assert "module" not in dict(powers(tmp_path))


@pytest.mark.parametrize(
    ("names", "fullest"),
    [
        (["15W", "25W", "MAXN_SUPER", "7W"], 2),  # Orin Nano, JetPack 6.2
        (["MAXN", "MODE_15W", "MODE_30W", "MODE_50W"], 0),  # AGX Orin
        (["MAXN", "10W", "15W", "25W", "40W", "MAXN_SUPER"], 5),
        (["10W", "7W_AI", "7W_CPU"], 0),  # Orin Nano 4 GB
        (["15W", "25W_A", "25W_B"], None),
        (["COOL", "25W"], None),
    ],
)
def test_the_fullest_power_mode_is_found_by_name(tmp_path: Path, names: list[str], fullest: int | None) -> None:
    draw_nvpmodel(tmp_path, names)
    modes = power_modes(tmp_path)
    assert modes is not None
    assert [mode.name for mode in modes.modes] == names
    assert (modes.fullest and modes.fullest.number) == fullest


def test_the_mode_in_force_is_that_of_the_status_else_the_default(tmp_path: Path) -> None:
    assert power_modes(tmp_path) is None
    draw_nvpmodel(tmp_path, ["15W", "25W", "MAXN_SUPER"], default=1)
    modes = power_modes(tmp_path)
    assert modes is not None
    assert str(modes.current) == "25W (nvpmodel 1)"
    draw_nvpmodel(tmp_path, ["15W", "25W"], current=3)
    modes = power_modes(tmp_path)
    assert modes is not None
    assert "of no name" in str(modes.current)


def test_bench_names_the_power_mode(tmp_path: Path) -> None:
    draw_orin_nano(tmp_path)
    assert describe_system([], tmp_path)["power_mode"] == "25W (nvpmodel 1), not MAXN_SUPER (nvpmodel 2)"
    draw_nvpmodel(tmp_path, ["MAXN", "MODE_30W"], current=0)
    assert describe_system([], tmp_path)["power_mode"] == "MAXN (nvpmodel 0)"


def test_doctor_says_how_to_measure_at_the_fullest_mode(tmp_path: Path) -> None:
    draw_orin_nano(tmp_path)
    found = {finding["subject"]: finding for finding in doctor._jetson(tmp_path)}
    assert "R36" in found["Jetson"]["found"]
    assert found["power monitor"]["found"] == "VDD_IN: the whole module"
    mode = found["fullest power mode"]
    assert (mode["ready"], mode["found"]) == (False, "25W (nvpmodel 1)")
    assert mode["remedy"] == "measure at MAXN_SUPER: sudo nvpmodel -m 2 && sudo jetson_clocks"
    draw_nvpmodel(tmp_path, ["15W", "25W", "MAXN_SUPER"], current=2)
    assert doctor._power_mode(tmp_path)["ready"]
    (tmp_path / "etc/nvpmodel.conf").unlink()
    assert "names none" in doctor._power_mode(tmp_path)["remedy"]
    assert doctor._jetson(tmp_path / "elsewhere") == []
