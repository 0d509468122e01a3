"""The parts that bench figures are made of: percentiles, intervals, counts, sensors, noise, memory, charts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from contract_graph import HEIGHT, WIDTH, write_contract_graph
from jetsons import draw_orin_nano, write

from snl_edge.benchmarks import system
from snl_edge.benchmarks.charts import Series, draw_chart, draw_key
from snl_edge.benchmarks.detector_subject import Turn, frame_pool
from snl_edge.benchmarks.figures import end_to_end, throttling
from snl_edge.benchmarks.graph_counts import count_graph
from snl_edge.benchmarks.latency import alternate, paired_ratio, summarise_latency, unpaired_ratio
from snl_edge.benchmarks.memory import process_memory
from snl_edge.benchmarks.roofline import graph_roofline
from snl_edge.benchmarks.sensors import JetsonSensor, Meter, NvmlSensor, RaplSensor, Reading, find_jetson, find_rapl
from snl_edge.benchmarks.system import describe_system
from snl_edge.errors import ExportError
from snl_edge.machine.nvml import NvmlGpu
from snl_edge.machine.thermal import thermal_zones
from snl_edge.stream.health.sensors import powers, temperatures
from studies.result_files import ROOT


def test_a_percentile_that_few_calls_cannot_show_is_left_out() -> None:
    few = summarise_latency([[0.001] * 15, [0.003] * 15], budget_ms=2.0)
    assert (few["p50"], few["p95"], few["p99"], few["p99_9"]) == (2.0, 3.0, None, None)
    assert (few["missed"], few["calls"], few["rounds"]) == (15, 30, [1.0, 3.0])
    many = summarise_latency([list(np.linspace(0.001, 0.002, 1000))], budget_ms=None)
    assert many["p99"] == pytest.approx(1.99, abs=1e-3)
    assert many["p99_9"] == pytest.approx(1.999, abs=1e-3)
    assert "missed" not in many


def test_jitter_is_the_difference_from_one_call_to_the_next() -> None:
    assert summarise_latency([[0.001, 0.002, 0.001]], None)["jitter"] == 1.0
    assert summarise_latency([[0.001, 0.001], [0.005, 0.005]], None)["jitter"] == 0.0  # rounds lie apart


def test_ways_are_called_in_turn() -> None:
    order: list[str] = []
    calls = {name: (lambda batch, name=name: order.append(f"{name}{batch}") or 1.0) for name in "ab"}
    taken = alternate(calls, 2, seconds=0, least=3)
    assert order == ["a2", "b2"] * 3
    assert taken == {"a": [1.0] * 3, "b": [1.0] * 3}


def test_frames_are_fresh_and_no_zeros() -> None:
    pool = frame_pool((6, 8), None, seed=1, count=5)
    assert all(frame.shape == (6, 8, 3) and frame.any() for frame in pool)
    turn = Turn(pool)
    first, second = turn.take(3), turn.take(3)
    assert [id(frame) for frame in (*first, *second)] == [id(pool[index]) for index in (0, 1, 2, 3, 4, 0)]


def test_intervals_hold_the_ratio_and_need_rounds() -> None:
    ours, theirs = [1.0, 1.1, 0.9, 1.05, 1.0, 0.95], [2.0, 2.1, 1.9, 2.0, 2.05, 1.95]
    for found in (paired_ratio(ours, theirs), unpaired_ratio(ours, theirs)):
        low, high = found["interval"]
        assert low <= found["ratio"] <= high < 1
    assert paired_ratio(ours[:4], theirs[:4])["interval"] is None
    # A machine that halves its speed for some rounds hits both alike: the paired ratio does not notice.
    drift = [1, 1, 1, 2, 2, 2]
    slowed = [[value * factor for value, factor in zip(row, drift, strict=True)] for row in (ours, theirs)]
    assert paired_ratio(*slowed)["ratio"] == paired_ratio(ours, theirs)["ratio"]


def test_end_to_end_is_a_ratio_of_neighbours_at_the_best_batch() -> None:
    latencies = {
        ("backend", 1): [[1.0, 1.0]],
        ("detector", 1): [[1.0, 1.0]],
        ("fitted", 1): [[1.0, 1.0]],
        ("backend", 4): [[2.0, 20.0]],
        ("detector", 4): [[2.5, 25.0]],
        ("fitted", 4): [[2.0, 20.0]],
    }
    assert end_to_end(latencies, (1, 4))["batch"] == 1  # the second call at 4 was slow
    latencies["backend", 4] = latencies["fitted", 4] = [[2.0, 2.2]]
    latencies["detector", 4] = [[2.5, 2.75]]
    found = end_to_end(latencies, (1, 4))
    assert (found["batch"], found["ratio"], found["fitted_ratio"]) == (4, 0.8, 1.0)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_operations_and_bytes_are_those_of_the_shapes(tmp_path: Path, precision: Any) -> None:
    path = write_contract_graph(tmp_path / "graph.onnx", precision)
    one, four = count_graph(path), count_graph(path, batch=4)
    pixels = HEIGHT * WIDTH
    convolutions = 2 * pixels * 8 * 27 + 2 * pixels * 72
    assert one["flops"] > convolutions
    assert one["flops"] - convolutions < 40 * pixels
    assert (one["transposes"], one["casts"]) == (1, 2 if precision == "fp32" else 4)
    assert one["io_bytes"] == 3 * pixels + 4 * pixels + 12
    assert four["io_bytes"] == 4 * one["io_bytes"]
    assert four["weight_bytes"] == one["weight_bytes"]
    assert one["weight_bytes"] > (216 + 72) * (2 if precision == "fp16" else 4)


def test_a_graph_that_cannot_be_counted_is_named(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"no graph")
    with pytest.raises(ExportError, match=r"cannot count .*no\.onnx"):
        count_graph(tmp_path / "no.onnx")
    assert onnx


def test_roofline_takes_the_tighter_limit() -> None:
    counts = {"flops": 2e9, "weight_bytes": 10e6, "io_bytes": 1e6}
    fast_memory = {"flops_per_second": 1e12, "bytes_per_second": 1e12}
    found = graph_roofline(counts, fast_memory, batch=2, milliseconds=8.0)
    assert (found["least_ms"], found["bound"], found["fraction"]) == (4.0, "arithmetic", 0.5)
    slow_memory = {"flops_per_second": 1e15, "bytes_per_second": 1e9}
    found = graph_roofline(counts, slow_memory, batch=2, milliseconds=24.0)
    assert (found["least_ms"], found["bound"], found["fraction"]) == (12.0, "memory", 0.5)


@pytest.fixture
def jetson(tmp_path: Path) -> Path:
    """An Orin Nano, with the values that its kernel would give."""
    draw_orin_nano(tmp_path)
    write(tmp_path / "sys/class/thermal/thermal_zone0/temp", 47500)
    write(tmp_path / "sys/class/thermal/thermal_zone1/temp", 51000)
    write(tmp_path / "sys/class/devfreq/17000000.gpu/cur_freq", 918000000)
    write(tmp_path / "sys/class/hwmon/hwmon5/oc1_event_cnt", 0)
    return tmp_path


def test_a_jetson_is_read_with_heat_clock_and_over_current(jetson: Path) -> None:
    sensor = find_jetson(jetson)
    assert isinstance(sensor, JetsonSensor)
    assert sensor.read() == Reading(power_w=9.5, temperature_c=51.0, clock_mhz=918.0)
    write(jetson / "sys/class/hwmon/hwmon5/oc1_event_cnt", 3)
    assert sensor.read().throttled == ("over-current",)
    assert sensor.read().throttled == ()


def test_a_machine_without_sensors_says_why(tmp_path: Path) -> None:
    assert "no Jetson" in str(find_jetson(tmp_path))
    assert "no energy counters" in str(find_rapl(tmp_path))


def test_rapl_adds_packages_and_carries_on_when_a_counter_runs_over(tmp_path: Path) -> None:
    for number in (0, 1):
        write(tmp_path / f"intel-rapl:{number}/energy_uj", 900_000)
        write(tmp_path / f"intel-rapl:{number}/max_energy_range_uj", 999_999)
    write(tmp_path / "intel-rapl:0:0/energy_uj", 5)  # the cores, part of package 0
    sensor = find_rapl(tmp_path)
    assert isinstance(sensor, RaplSensor)
    write(tmp_path / "intel-rapl:0/energy_uj", 950_000)
    write(tmp_path / "intel-rapl:1/energy_uj", 100_000)
    assert sensor.read().energy_j == pytest.approx(0.05 + 0.2)


class Nvml:
    """NVML's functions that we call, for a GPU that is throttled and busy; it has no energy counter."""

    NVMLError = ValueError
    NVML_TEMPERATURE_GPU, NVML_CLOCK_SM = 0, 1
    reasons = 0x4 | 0x40
    others = (SimpleNamespace(pid=7, usedGpuMemory=1 << 20), SimpleNamespace(pid=8, usedGpuMemory=1 << 21))

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        if handle == 1:
            raise ValueError("not supported")
        return 61_500

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802
        raise ValueError("not supported")

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: int) -> int:  # noqa: N802
        return self.reasons

    def nvmlDeviceGetTemperature(self, handle: int, kind: int) -> int:  # noqa: N802
        return 83

    def nvmlDeviceGetClockInfo(self, handle: int, kind: int) -> int:  # noqa: N802
        return 1410

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        return list(self.others)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=70)


def test_a_throttled_or_busy_gpu_is_said_in_words() -> None:
    nvml = Nvml()
    sensor = NvmlSensor(NvmlGpu(nvml, 0, "some GPU"))
    reading = sensor.read()
    assert reading == Reading(61.5, None, 83, 1410, ("power cap", "thermal (hardware)"))
    assert sensor.busy({7, 8}) == "some GPU is 70 % busy before the start"
    assert sensor.busy({7}) == "1 other processes compute on some GPU"
    assert sensor.used_bytes(8) == 1 << 21
    with Meter([sensor], period=0.005) as meter:
        for _ in range(3):
            sensor.read()
    subjects = {"tensorrt fp16": {"throughput": [{"sensors": meter.summary(images=10)}]}}
    assert throttling(subjects) == ["some GPU was throttled while tensorrt fp16 ran: power cap, thermal (hardware)"]


def test_a_line_reads_gpus_and_zones_and_leaves_out_what_they_do_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    found = dict(temperatures())
    assert (found["gpu0"], found["gpu1"]) == (83.0, 83.0)
    assert dict(powers(tmp_path)) == {"gpu0": 61.5}
    write(tmp_path / "sys/class/thermal/thermal_zone0/temp", 47500)
    write(tmp_path / "sys/class/thermal/thermal_zone0/type", "cpu-thermal")
    write(tmp_path / "sys/class/thermal/thermal_zone1/type", "switched off: it has no value")
    assert thermal_zones(tmp_path) == [("cpu-thermal", 47.5)]


class Counter:
    """A sensor whose counter grows by 2 J a reading."""

    name = "counter"

    def __init__(self) -> None:
        self.joules = 0.0

    def read(self) -> Reading:
        self.joules += 2
        return Reading(energy_j=self.joules)


def test_energy_per_image_comes_from_the_counter() -> None:
    with Meter([Counter()], period=60) as meter:
        pass
    own = meter.summary(images=4)["counter"]
    assert own["joules_per_image"] == 0.5
    assert own["throttled"] == []
    assert Meter([]).summary(3) == {}


def test_a_noisy_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (100.0, 0.0, 0.0))
    ticks = iter([[0] * 8, [50, 0, 0, 40, 0, 0, 0, 10]])
    monkeypatch.setattr(system, "_ticks", lambda: next(ticks))
    watch = system.Watch()
    watch._probes = [1.0, 1.0, 2.0, 1.0]
    said = " ".join(watch.findings()["warnings"])
    assert "something else was running" in said
    assert "took 10 %" in said
    assert "trust ratios" in said


def test_a_quiet_machine_is_left_in_peace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(system, "_ticks", lambda: [0] * 8)
    watch = system.Watch()
    watch._probes = [1.0, 1.01, 1.0]
    assert watch.findings()["warnings"] == []


def test_memory_of_this_process_is_read_from_the_kernel() -> None:
    found = process_memory()
    assert found["peak_rss_bytes"] >= found["rss_bytes"] > 2**20
    assert process_memory(Path("/nowhere")) == {}


def test_the_system_is_described_without_naming_the_machine(jetson: Path) -> None:
    write(jetson / "sys/fs/cgroup/cpu.max", "150000 100000")
    write(jetson / "sys/fs/cgroup/memory.max", "max")
    described = describe_system([], root=jetson)
    assert described["limits"] == {"cpu": "150000 100000"}
    assert described["os"]["l4t"].startswith("R36")
    assert os.uname().nodename not in str(described)


def test_charts_show_every_point_and_name() -> None:
    series = [Series("fast <1>", [1, 2, 4], [10.0, 19.0, 37.0], 0), Series("slow", [1, 2, 4], [1.0, 1.5, 2.0], 1, True)]
    chart = draw_chart(series, "batch", "images/s")
    assert chart.count("<circle") == 6
    assert chart.count("<polyline") == 2
    assert "fast &lt;1&gt;: batch 4, images/s 37" in chart
    assert 'class="dashed"' in draw_key(series)
    logarithmic = draw_chart([Series("a", [1, 2], [0.3, 400.0], 0)], "x", "y", log_y=True)
    assert ">0.2<" in logarithmic
    assert ">500<" in logarithmic
    assert draw_chart([Series("b", [5.0], [93.2], 0)], "ms", "AUROC", lines=False).count("<circle") == 1


PROGRAM = """
from studies.command import run_command
from snl_edge.errors import DataError

def weigh(pounds: int):
    raise DataError(f"the scales do not show {pounds}", "a spring is missing", "buy new ones")

run_command(weigh)
"""


def test_a_benchmark_ends_with_one_line() -> None:
    command = [sys.executable, "-c", PROGRAM, "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.strip() == "weigh: the scales do not show 2: a spring is missing. Buy new ones."
