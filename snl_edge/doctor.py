"""`snl-edge doctor`: what this machine can do, and what to install for the rest."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import TypedDict

from rich.text import Text

from . import provenance
from .errors import BackendError
from .jetson.board import JETPACK_PACKAGE, is_jetson, jetpack_version, l4t_release
from .jetson.power_mode import power_modes
from .jetson.rails import find_rails, find_total
from .runtime.backend import BACKENDS
from .runtime.gpu import present_gpus
from .runtime.tensorrt_flavour import HOW_TO_INSTALL, TITLES, installed_flavours
from .table import print_table, text_column
from .version import __version__

TRAINING = ("torch", "timm", "safetensors", "onnx", "onnxsim", "onnxscript", "matplotlib")


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
    rows = [
        (
            Text("yes", "green") if finding["ready"] else Text("no", "yellow"),
            finding["subject"],
            finding["found"],
            "" if finding["ready"] else finding["remedy"],
        )
        for finding in findings
    ]
    print_table([text_column(), text_column(), text_column("found"), text_column("to get it")], rows)


def _machine() -> Finding:
    machine = provenance.machine()
    found = (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, "
        f"Python {platform.python_version()}, snl-edge {__version__}"
    )
    return Finding(subject="machine", ready=True, found=found, remedy="")


def _jetson(root: Path = Path("/")) -> list[Finding]:
    """A Jetson's release, power mode and power monitors; nothing elsewhere."""
    if not is_jetson(root):
        return []
    jetpack = jetpack_version(root) or f"not installed as a whole (sudo apt install {JETPACK_PACKAGE})"
    found = f"L4T {l4t_release(root) or 'not told'}; JetPack {jetpack}"
    return [Finding(subject="Jetson", ready=True, found=found, remedy=""), _power_mode(root), _power(root)]


def _power_mode(root: Path) -> Finding:
    """Speed measured in a lower mode is not the board's."""
    subject, modes = "fullest power mode", power_modes(root)
    if modes is None or modes.current is None:
        remedy = "see `sudo nvpmodel -q`, and measure in the board's fullest mode"
        return Finding(subject=subject, ready=False, found="nvpmodel tells no mode", remedy=remedy)
    if modes.fullest is None:
        names = ", ".join(map(str, modes.modes)) or "nvpmodel.conf names none"
        remedy = f"choose the fullest of these for measuring: {names}"
        return Finding(subject=subject, ready=False, found=str(modes.current), remedy=remedy)
    ready = modes.current == modes.fullest
    remedy = "" if ready else f"measure at {modes.fullest.name}: {modes.fullest.command}"
    return Finding(subject=subject, ready=ready, found=str(modes.current), remedy=remedy)


def _power(root: Path) -> Finding:
    total = find_total(find_rails(root))
    if isinstance(total, str):
        remedy = "energy is not measured here; rails that are known: docs/jetson.md"
        return Finding(subject="power monitor", ready=False, found=total, remedy=remedy)
    return Finding(subject="power monitor", ready=True, found=f"{total.name}: {total.layout.scope}", remedy="")


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
    subject = "OpenCV with GStreamer"
    try:
        from .opencv import opencv
    except BackendError as error:
        return Finding(subject=subject, ready=False, found=f"{error.what}: {error.why}", remedy=error.fix)
    found = opencv()
    remedy = "only for CSI and GStreamer cameras: use JetPack's or the distribution's OpenCV (docs/jetson.md)"
    if found.hidden and not found.gstreamer:
        remedy = f"it hides another OpenCV, in {found.hidden[0]}; for CSI and GStreamer cameras see docs/jetson.md"
    return Finding(subject=subject, ready=found.gstreamer, found=str(found), remedy=remedy)


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
