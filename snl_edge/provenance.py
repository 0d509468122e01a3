"""Where a result came from: machine, versions, source revision and command line."""

from __future__ import annotations

import getpass
import os
import platform
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGES = (
    "snl-edge",
    "numpy",
    "opencv-python-headless",
    "onnxruntime",
    "openvino",
    "onnx",
    "onnxsim",
    "torch",
    "timm",
    "anomalib",
    "tensorrt",
    "tensorrt-rtx-cu13",
    "pycuda",
)


def now() -> str:
    """The current time, ISO 8601, UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Python's version and those of the installed packages that shape a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str | int]:
    """The kind of machine: system, processor, usable cores, memory in GiB; no name that identifies it."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
    }


def who() -> str:
    """The user of this process and the machine's name, as ``anna@station3``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # in a container a number may have no name
        user = f"uid {os.getuid()}"
    return f"{user}@{platform.node() or 'unnamed'}"


def command() -> str:
    """The command line of this process as it could be typed again; of absolute paths only the last part."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    program = f"python -m {module.name.removesuffix('.__main__')}" if module else Path(sys.argv[0]).name
    arguments = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]]
    return shlex.join([*program.split(), *arguments])


@cache
def revision() -> str:
    """The git revision of the source tree, ``+dirty`` with uncommitted changes; ``unknown`` outside a checkout.

    The answer of the first call stays: a long run belongs to the code it was started with.
    """
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+dirty" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.machine()
