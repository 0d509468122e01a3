"""The service, its user, and the scripts that put a line on a device, on drawn systems."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jetsons import draw_board, write

REPOSITORY = Path(__file__).parents[2]
PACKAGING = REPOSITORY / "packaging"
UNIT = REPOSITORY / "examples/snl-edge.service"


def run(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=120, **options
    )


def read_unit() -> dict[str, dict[str, list[str]]]:
    """Sections of the unit, each key with the values of all its lines, as systemd reads them."""
    sections: dict[str, dict[str, list[str]]] = {}
    current: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"\[(\w+)\]", line):
            current = sections.setdefault(found[1], {})
        elif line and not line.startswith("#"):
            key, value = line.split("=", 1)
            current.setdefault(key, []).append(value)
    return sections


def test_the_service_comes_back_within_seconds_however_often_it_fails() -> None:
    unit = read_unit()
    assert unit["Service"]["Restart"] == ["always"]
    assert int(unit["Service"]["RestartSec"][0]) <= 2
    assert unit["Unit"]["StartLimitIntervalSec"] == ["0"]  # else systemd gives up after five starts in ten seconds
    assert int(unit["Service"]["WatchdogSec"][0]) > 20  # longer than watchdog.stuck_after_s
    assert unit["Service"]["Type"] == ["notify"]


def test_the_service_reaches_csi_cameras_and_starts_without_a_gpio_group() -> None:
    unit = read_unit()
    service = unit["Service"]
    assert service["PrivateTmp"] == ["no"]
    assert service["ProtectSystem"] == ["strict"]
    assert "/tmp" in service["ReadWritePaths"][0].split()
    assert "nvargus-daemon.service" in unit["Unit"]["After"][0].split()
    assert "SupplementaryGroups" not in service
    assert "Group" not in service
    folders = {f"/run/{name}" for name in service["RuntimeDirectory"]}
    assert [value for value in service["Environment"] if value.startswith("TMPDIR=")] == [
        f"TMPDIR={folder}" for folder in folders
    ]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8").replace("/opt/snl/venv/bin/snl-edge", sys.executable)
    (tmp_path / UNIT.name).write_text(text.replace("User=snl-edge", "User=root"), encoding="utf-8")
    done = run("systemd-analyze", "--man=no", "verify", tmp_path / UNIT.name)
    about_us = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (done.returncode, about_us) == (0, [])
    (tmp_path / UNIT.name).write_text(text.replace("RestartSec=2", "RestartSec=soon"), encoding="utf-8")
    assert "ignoring: soon" in run("systemd-analyze", "--man=no", "verify", tmp_path / UNIT.name).stderr


@pytest.mark.skipif(not shutil.which("systemd-sysusers") or os.getuid() != 0, reason="no systemd-sysusers, or not root")
def test_the_services_user_gets_its_groups_where_some_are_missing(tmp_path: Path) -> None:
    write(tmp_path / "etc/group", "root:x:0:\nvideo:x:44:ubuntu")  # no render, no gpio
    write(tmp_path / "etc/passwd", "root:x:0:0:root:/root:/bin/bash")
    write(tmp_path / "etc/sysusers.d/snl-edge.conf", (PACKAGING / "snl-edge.sysusers").read_text(encoding="utf-8"))
    for _ in range(2):
        assert run("systemd-sysusers", f"--root={tmp_path}", "snl-edge.conf").returncode == 0
    rows = (line.split(":") for line in (tmp_path / "etc/group").read_text(encoding="utf-8").split())
    groups = {row[0]: row[3].split(",") for row in rows}
    assert set(groups["video"]) == {"ubuntu", "snl-edge"}
    assert groups["render"] == groups["gpio"] == ["snl-edge"]
    assert read_unit()["Service"]["User"] == ["snl-edge"]
    assert "snl-edge:x:" in (tmp_path / "etc/passwd").read_text(encoding="utf-8")


OPENCV = """
import numpy
__version__ = "{version}"
def getBuildInformation():
    return "General configuration\\n  GStreamer:                   {gstreamer}\\n"
"""


def draw_opencv(folder: Path, version: str = "4.8.0", gstreamer: str = "YES (1.20.3)") -> Path:
    """A module like JetPack's: no metadata beside it."""
    write(folder / "cv2/__init__.py", OPENCV.format(version=version, gstreamer=gstreamer))
    return folder


def program(path: Path, text: str) -> Path:
    write(path, f"#!/bin/sh\n{text}")
    path.chmod(0o755)
    return path


@pytest.fixture
def fresh(tmp_path: Path) -> Mapping[str, Any]:
    """A Jetson with all that the installer asks for, below a folder; its processor, compiler and modules are drawn."""
    root, modules, programs = tmp_path / "root", tmp_path / "modules", tmp_path / "programs"
    draw_board(root)
    write(root / "proc/meminfo", "MemTotal:        7800000 kB")
    for header in ("cuda.h", "curand.h"):
        write(root / "usr/local/cuda/include" / header, "")
    write(modules / "tensorrt.py", '__version__ = "10.3.0"')
    write(modules / "numpy.py", "")
    draw_opencv(modules)
    program(programs / "uname", "echo aarch64")
    program(programs / "g++", "")
    python = program(programs / "python", f'PYTHONPATH="{modules}" exec "{sys.executable}" "$@"')
    write(tmp_path / "line3/manifest.json", "{}")
    line = (REPOSITORY / "examples/lines/jetson-csi.yaml").read_text(encoding="utf-8")
    write(tmp_path / "line.yaml", re.sub(r"^bundle: \S+", "bundle: /opt/snl/line3", line, flags=re.MULTILINE))
    write(tmp_path / "snl_edge-1-py3-none-any.whl", "")
    options = {
        "--root": root,
        "--bundle": tmp_path / "line3",
        "--line": tmp_path / "line.yaml",
        "--wheel": tmp_path / "snl_edge-1-py3-none-any.whl",
        "--python": python,
    }
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    return {"root": root, "modules": modules, "programs": programs, "options": options, "env": environment}


def install(fresh: Mapping[str, Any], *more: str) -> subprocess.CompletedProcess[str]:
    chosen = [word for pair in fresh["options"].items() for word in pair]
    return run(PACKAGING / "install-jetson.sh", "--dry-run", *chosen, *more, env=fresh["env"])


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_a_dry_run_tells_the_steps_and_changes_nothing(fresh: Mapping[str, Any]) -> None:
    before = files(fresh["root"])
    done = install(fresh)
    assert (done.returncode, done.stderr) == (0, "")
    for step in ("1. environment in /opt/snl/venv-", "2. user snl-edge", "to /opt/snl/line3", "6. service", "dry run"):
        assert step in done.stdout
    assert files(fresh["root"]) == before
    write(fresh["root"] / "opt/snl/line3/manifest.json", "{}")
    assert "is there and stays" in install(fresh).stdout
    assert "bundle" in install(fresh, "--replace-bundle").stdout


def _draw(name: str, text: str):
    return lambda fresh: write(fresh["root"] / name, text)


HINDRANCES = [
    [  # a PC, or a Jetson on which nothing is installed
        (lambda f: program(f["programs"] / "uname", "echo x86_64"), "this is no Jetson: its processor is x86_64"),
        (lambda f: (f["root"] / "etc/nv_tegra_release").unlink(), "does not name a release of L4T"),
        (_draw("proc/meminfo", "MemTotal: 2000000 kB"), "1953 MiB of memory are too little"),
        (lambda f: (f["modules"] / "tensorrt.py").unlink(), "Python finds no TensorRT"),
        (lambda f: shutil.rmtree(f["modules"] / "cv2"), "CSI cameras need JetPack's OpenCV: Python finds none"),
        (lambda f: (f["root"] / "usr/local/cuda/include/curand.h").unlink(), "curand.h is missing. sudo apt"),
        (lambda f: (f["options"]["--bundle"] / "manifest.json").unlink(), "is no bundle: manifest.json is missing"),
        (lambda f: f["options"]["--wheel"].unlink(), "there is no wheel"),
    ],
    [  # JetPack 6.0, and an OpenCV that was put over JetPack's
        (_draw("etc/nv_tegra_release", "# R36 (release), REVISION: 3.0"), "L4T 36.3 is too old"),
        (lambda f: write(f["modules"] / "tensorrt.py", "__version__ = '8.6.2'"), "TensorRT 8.6.2 is too old"),
        (lambda f: draw_opencv(f["modules"], gstreamer="NO"), "which has no GStreamer. Remove it"),
        (lambda f: write(f["options"]["--line"], "bundle: /opt/snl/other  # old\ntype: csi"), "says '/opt/snl/other'"),
    ],
    [  # JetPack 5
        (_draw("etc/nv_tegra_release", "# R35 (release), REVISION: 4.1"), "L4T 35.4 is too old"),
        (lambda f: program(f["options"]["--python"], "exit 1"), "there is no Python"),
        (lambda f: f["options"]["--line"].unlink(), "there is no line"),
    ],
]


@pytest.mark.parametrize("hindrances", HINDRANCES)
def test_every_hindrance_is_one_line_with_a_remedy(fresh: Mapping[str, Any], hindrances) -> None:
    for spoil, _ in hindrances:
        spoil(fresh)
    before = files(fresh["root"])
    done = install(fresh)
    told = done.stderr.splitlines()
    assert done.returncode == 1
    for _, says in hindrances:
        assert [line for line in told if says in line], (says, told)
    assert len(told) == len(hindrances)
    assert all(re.fullmatch(r"install-jetson: .+: .+\. .+\.", line) for line in told), told
    assert "== " not in done.stdout
    assert files(fresh["root"]) == before


def test_options_are_checked(fresh: Mapping[str, Any]) -> None:
    assert "unknown option --fast" in install(fresh, "--fast").stderr
    assert "--extras needs a value" in install(fresh, "--extras").stderr


def draw_wheel(folder: Path, name: str, version: str, modules: Mapping[str, str], metadata: str = "") -> Path:
    """A wheel with these modules; ``metadata`` are further lines of its METADATA."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    known = f"{name}-{version}.dist-info"
    contents = {
        **modules,
        f"{known}/METADATA": f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n{metadata}",
        f"{known}/WHEEL": "Wheel-Version: 1.0\nGenerator: drawn\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if name == "snl_edge":
        contents[f"{known}/entry_points.txt"] = "[console_scripts]\nsnl-edge = snl_edge:main\n"
    contents[f"{known}/RECORD"] = "".join(f"{file},,\n" for file in (*contents, f"{known}/RECORD"))
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in contents.items():
            archive.writestr(file, text)
    return path


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Wheels with the names of the real ones, small enough for a test: pip itself is real."""
    folder = tmp_path / "index"
    for version in ("1.26.4", "2.4.0"):
        draw_wheel(folder, "numpy", version, {"numpy/__init__.py": f'__version__ = "{version}"'})
    plain = OPENCV.format(version="5.0.0", gstreamer="NO")
    draw_wheel(folder, "opencv_python_headless", "5.0.0", {"cv2/__init__.py": plain}, "Requires-Dist: numpy>=2\n")
    needs = "Requires-Dist: numpy>=1.26\nRequires-Dist: opencv-python-headless>=4.6\nProvides-Extra: stream\n"
    draw_wheel(folder, "snl_edge", "1", {"snl_edge/__init__.py": "def main():\n    print(1)\n"}, needs)
    return folder


def make_environment(index: Path, system: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(system), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}
    words = (index.parent / "venv", index / "snl_edge-1-py3-none-any.whl", "--python", sys.executable, *options)
    return run(PACKAGING / "make-environment.sh", *words, env=environment)


def test_the_systems_opencv_stays_in_front_and_numpy_below_2(index: Path, tmp_path: Path) -> None:
    system = draw_opencv(tmp_path / "system")
    done = make_environment(index, system)
    assert done.returncode == 0, done.stderr
    assert "OpenCV 4.8.0 of the system, with GStreamer" in done.stdout
    environment = {**os.environ, "PYTHONPATH": str(system), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}
    program = (
        "import importlib.metadata as m, cv2, numpy; print(cv2.__version__, m.version('opencv-python-headless'), "
        "numpy.__version__)"
    )
    python = tmp_path / "venv/bin/python"
    assert run(python, "-c", program, env=environment).stdout.split() == ["4.8.0", "4.8.0", "1.26.4"]
    # Whatever is installed later obeys, too.
    later = run(python, "-m", "pip", "install", "--upgrade", "opencv-python-headless", env=environment)
    assert later.returncode != 0 or "Successfully" not in later.stdout
    assert run(python, "-c", program, env=environment).stdout.split() == ["4.8.0", "4.8.0", "1.26.4"]


def test_an_environment_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    wheel = draw_wheel(tmp_path / "index", "snl_edge", "1", {})
    python = program(tmp_path / "python", 'mkdir -p "$4/bin" && exit 1')
    words = (tmp_path / "venv", wheel, "--python", python)
    done = run(PACKAGING / "make-environment.sh", *words)
    assert done.returncode == 1
    assert re.fullmatch(r"make-environment: no environment could be made in .*: .+\. .+\.\n", done.stderr)
    assert not (tmp_path / "venv").exists()
    (tmp_path / "venv").mkdir()
    assert "exists" in run(PACKAGING / "make-environment.sh", *words).stderr
    assert (tmp_path / "venv").exists()
