"""Builds the stand-in driver and, against it, pycuda: ``python tests/standin/build.py`` or ``make standin``.

pycuda comes as source only, and only its driver module is made, unoptimised: half a minute on two cores. It stays in
``build/standin/`` for this Python, this pycuda and these names of the driver, on nobody's path but the tests' own.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PLACE = HERE.parents[1] / "build" / "standin"
PYCUDA = "2026.1"
_ASK = """
import json
from aksetup_helper import set_up_shipped_boost_if_requested as ask
print(json.dumps(ask("pycuda", {"USE_SHIPPED_BOOST": True})))
"""


class CannotBuildError(Exception):
    """What this machine lacks."""


def build(place: Path = PLACE) -> dict[str, str]:
    """Builds what is not there yet.

    Returns:
        the environment for a Python that shall find the stand-ins.

    Raises:
        CannotBuildError: no compiler, no CUDA headers, or pycuda's source is not available.
    """
    headers = cuda_headers()
    driver = build_driver(place, headers)
    pycuda = build_pycuda(place, driver, headers)
    paths = [str(HERE / "modules"), str(pycuda), *filter(None, [os.environ.get("PYTHONPATH")])]
    libraries = [str(driver.parent), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "LD_LIBRARY_PATH": os.pathsep.join(libraries)}


def cuda_headers() -> Path:
    """The folder with ``cuda.h``: of a CUDA toolkit, or of the wheels that PyTorch brings."""
    roots = [os.environ.get("CUDA_ROOT"), os.environ.get("CUDA_HOME"), sysconfig.get_path("purelib") + "/nvidia/cu13"]
    places = [Path(root) / "include" for root in [*roots, "/usr/local/cuda"] if root]
    for place in places:
        if (place / "cuda.h").exists():
            return place
    raise CannotBuildError(f"no cuda.h in {', '.join(map(str, places))}: set CUDA_ROOT")


def build_driver(place: Path, headers: Path) -> Path:
    """``libcuda.so.1``, from ``driver/``."""
    sources = sorted((HERE / "driver").glob("*.[ch]"))
    target = place / f"driver-{_hash(b''.join(source.read_bytes() for source in sources))}" / "libcuda.so.1"
    if target.exists():
        return target
    with _making(target.parent) as folder:
        units = [str(source) for source in sources if source.suffix == ".c"]
        # PyTorch's wheels lack this header of the toolkit; ours has what pycuda asks of it.
        flags = ["-shared", "-fPIC", "-O1", "-g", "-w", f"-I{headers}", "-Wl,-soname,libcuda.so.1"]
        _run([_compiler("cc"), *flags, *units, "-o", str(folder / "libcuda.so.1"), "-lpthread", "-ldl"])
        (folder / "libcuda.so").symlink_to("libcuda.so.1")
    return target


def build_pycuda(place: Path, driver: Path, headers: Path, optimise: str = "-O0") -> Path:
    """A folder with the package pycuda, linked with the driver."""
    names = _run(["nm", "-D", "--defined-only", str(driver)])
    functions = sorted(word for word in names.split() if word.startswith("cu"))
    tag = f"pycuda-{PYCUDA}{optimise}-{sys.implementation.cache_tag}-{_hash(' '.join(functions).encode())}"
    if (place / tag).exists():
        return place / tag
    with tempfile.TemporaryDirectory() as temporary, _making(place / tag) as folder:
        source = _pycuda_source(Path(temporary))
        _compile_pycuda(source, driver, headers, optimise)
        shutil.copytree(source / "pycuda", folder / "pycuda")
    return place / tag


def _pycuda_source(folder: Path) -> Path:
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    _run([*fetch, "--no-binary=:all:", "--no-build-isolation", "-d", str(folder), f"pycuda=={PYCUDA}"])
    (archive,) = folder.glob("pycuda-*.tar.gz")
    with tarfile.open(archive) as content:
        content.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def _compile_pycuda(source: Path, driver: Path, headers: Path, optimise: str) -> None:
    """The module ``_driver`` alone: no cuRAND, no OpenGL. A precompiled header halves the time."""
    import numpy as np

    boost, defines = json.loads(_run([sys.executable, "-c", _ASK], cwd=source).splitlines()[-1])
    units = [
        "src/wrapper/wrap_cudadrv.cpp",
        "src/wrapper/mempool.cpp",
        "src/cpp/cuda.cpp",
        "src/cpp/bitlog.cpp",
        *boost,
    ]
    defines |= {"PYGPU_PACKAGE": "pycuda", "PYGPU_PYCUDA": 1, "NDEBUG": 1}
    includes = ["src/cpp", "bpl-subset/bpl_subset", str(headers), str(HERE / "driver"), np.get_include()]
    flags = ["-w", optimise, "-fPIC", "-fwrapv", *(f"-D{name}={value}" for name, value in defines.items())]
    flags += [f"-I{place}" for place in [*includes, sysconfig.get_path("include")]]
    compiler = _compiler("c++")
    (source / "all.hpp").write_text("#include <boost/python.hpp>\n")
    _run([compiler, *flags, "-x", "c++-header", "all.hpp", "-o", "all.hpp.gch"], cwd=source)

    def compile_unit(unit: str) -> str:
        target = unit.replace("/", "_") + ".o"
        _run([compiler, "-include", "all.hpp", *flags, "-c", unit, "-o", target], cwd=source)
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_unit, units))
    module = f"pycuda/_driver{sysconfig.get_config_var('EXT_SUFFIX')}"
    _run([compiler, "-shared", "-o", module, *objects, f"-L{driver.parent}", "-lcuda", "-lpthread"], cwd=source)
    # A linker drops a library of which nothing is used, and then the names would be missing where the module is loaded.
    if "libcuda.so.1" not in _run(["readelf", "-d", module], cwd=source):
        raise CannotBuildError("pycuda was not linked with the driver: the stand-in lacks its functions")


class _making:  # noqa: N801 - used as a function
    """A folder that is there whole or not at all, also when two processes make it."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __enter__(self) -> Path:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(dir=self.target.parent, prefix=".making-"))
        return self.folder

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None and not self.target.exists():
            self.folder.chmod(0o755)
            self.folder.rename(self.target)
        shutil.rmtree(self.folder, ignore_errors=True)


def _compiler(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise CannotBuildError(f"no {name}: install a C and C++ compiler")
    return found


def _run(command: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        last = " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise CannotBuildError(f"{Path(command[0]).name} failed: {last}")
    return done.stdout


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


if __name__ == "__main__":
    try:
        environment = build()
    except CannotBuildError as error:
        sys.exit(f"the stand-ins cannot be built: {error}")
    for name, value in environment.items():
        print(f"export {name}={value}")
