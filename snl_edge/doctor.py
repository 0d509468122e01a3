"""`snl-edge doctor`: what this machine can do, and what to install for the rest."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import TypedDict

import cv2
from rich.console import Console
from rich.table import Table

from . import __version__, provenance
from .runtime.backend import BACKENDS
from .runtime.gpu import present_gpus
from .runtime.tensorrt_flavour import HOW_TO_INSTALL, TITLES, installed_flavours

L4T_RELEASE = Path("/etc/nv_tegra_release")
TRAINING = ("torch", "timm", "safetensors", "onnx", "onnxsim", "onnxscript", "matplotlib")
JETPACK_PACKAGE = "nvidia-jetpack"


class Finding(TypedDict):
    """One thing examined: whether it is ready, what was found, and what to do where it is not."""

    subject: str
    ready: bool
    found: str
    remedy: str


def examine() -> list[Finding]:
    """Examines this machine; loads no model and changes nothing."""
    return [_machine(), *_jetson(), *_gpus(), *_backends(), _builder(), _opencv(), _training()]


def print_findings(findings: list[Finding]) -> None:
    """Prints the findings as a table on stdout."""
    table = Table("", "", "found", "to get it", box=None, header_style="bold", pad_edge=False)
    for finding in findings:
        mark = "[green]yes[/]" if finding["ready"] else "[yellow]no[/]"
        table.add_row(
            mark, finding["subject"], finding["found"], "" if finding["ready"] else _escape(finding["remedy"])
        )
    Console().print(table)


def _escape(text: str) -> str:
    return text.replace("[", r"\[")  # rich would take snl-edge[rtx] for a style


def _machine() -> Finding:
    machine = provenance.machine()
    found = (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, "
        f"Python {platform.python_version()}, snl-edge {__version__}"
    )
    return Finding(subject="machine", ready=True, found=found, remedy="")


def _jetson() -> list[Finding]:
    """L4T's release, from the file it installs, and JetPack's, from the package data base; nothing elsewhere."""
    if not L4T_RELEASE.is_file():
        return []
    l4t = L4T_RELEASE.read_text(encoding="utf-8", errors="replace").split("\n")[0].lstrip("# ")
    return [Finding(subject="Jetson", ready=True, found=f"L4T {l4t}; JetPack {_jetpack()}", remedy="")]


def _jetpack(status: Path = Path("/var/lib/dpkg/status")) -> str:
    """The version of the package ``nvidia-jetpack``."""
    try:
        packages = status.read_text(encoding="utf-8", errors="replace").split("\n\n")
    except OSError:
        packages = []
    for package in packages:
        fields = dict(line.split(": ", 1) for line in package.splitlines() if ": " in line and not line.startswith(" "))
        if fields.get("Package") == JETPACK_PACKAGE:
            return fields.get("Version", "of unknown version")
    return f"not installed as a whole (sudo apt install {JETPACK_PACKAGE})"


def _gpus() -> list[Finding]:
    gpus = present_gpus()
    if not gpus:
        remedy = "install NVIDIA's driver, if there is a GPU; OpenVINO and ONNX Runtime need none"
        return [Finding(subject="NVIDIA GPU", ready=False, found="none, or no driver", remedy=remedy)]
    return [
        Finding(
            subject=f"GPU {gpu.index}",
            ready=True,
            found=f"{gpu.name}, compute capability {gpu.compute_capability}, {gpu.memory_bytes / 2**30:.0f} GiB",
            remedy="",
        )
        for gpu in gpus
    ]


def _backends() -> list[Finding]:
    findings = []
    for kind in BACKENDS:
        state = kind.probe()
        findings.append(
            Finding(subject=f"run on {kind.title}", ready=state.available, found=state.reason, remedy=kind.install)
        )
    return findings


def _builder() -> Finding:
    flavours = installed_flavours()
    return Finding(
        subject="build engines",
        ready=bool(flavours),
        found=", ".join(map(str, flavours)) or "no TensorRT that can be imported",
        remedy="; or ".join(f"{TITLES[name]}: {how}" for name, how in HOW_TO_INSTALL.items()),
    )


def _opencv() -> Finding:
    information = cv2.getBuildInformation()
    gstreamer = any(line.strip().startswith("GStreamer:") and "YES" in line for line in information.splitlines())
    return Finding(
        subject="OpenCV with GStreamer",
        ready=gstreamer,
        found=f"OpenCV {cv2.__version__} {'with' if gstreamer else 'without'} GStreamer",
        remedy="only for CSI and GStreamer cameras: use JetPack's or the distribution's OpenCV (docs/jetson.md)",
    )


def _training() -> Finding:
    present: dict[str, str] = {}
    for package in TRAINING:
        try:
            present[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            break
    ready = len(present) == len(TRAINING)
    missing = [package for package in TRAINING if package not in present]
    return Finding(
        subject="train and export",
        ready=ready,
        found=f"PyTorch {present['torch']}, timm {present['timm']}" if ready else f"{missing[0]} is missing",
        remedy='pip install "snl-edge[train]"',
    )
