"""``python3 studies/gpu_proof/unpack.py a`` (then ``b``), in the project's root on the GPU machine.

Needs nothing but Python and pip: nothing of ours is installed there yet. ``a`` brings snl-edge, pycuda and what they
need, and the studies, which no wheel holds; ``b`` brings TensorRT-RTX. All goes into one folder for Python's path.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

SITE = Path(tempfile.gettempdir()) / "snl-edge-site"
STUDIES = Path(__file__).resolve().parents[1]
CHECK = """
import snl_edge, studies.gpu_proof.run, pycuda.driver as driver
print("snl-edge", snl_edge.__file__)
driver.init()
print("pycuda on", driver.Device(0).name(), driver.Device(0).compute_capability())
"""
CHECK_RTX = "import tensorrt_rtx\nprint('TensorRT-RTX', tensorrt_rtx.__version__)"


def unpack(half: str, packed: Path, site: Path) -> None:
    """Unpacks ``packed/half`` into ``site``."""
    folder = packed / half
    site.mkdir(parents=True, exist_ok=True)
    wheels = [str(path) for path in sorted((folder / "whl").glob("*.whl"))]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--upgrade"]
    subprocess.run([*pip, "--no-cache-dir", "--target", str(site), *wheels], check=True)
    if half == "a":
        copy_studies(site)
        with tarfile.open(folder / "pycuda.tgz") as archive:
            archive.extractall(site, filter="data")
        # Only one half travels at a time: the first part of the libraries waits for the second.
        shutil.copy(folder / "libs.00", site / "libs.00")
    else:
        shutil.copytree(folder / "tensorrt_rtx", site / "tensorrt_rtx", dirs_exist_ok=True)
        libraries = site / "libs.tar.xz"
        libraries.write_bytes((site / "libs.00").read_bytes() + (folder / "libs.01").read_bytes())
        with tarfile.open(libraries) as archive:
            archive.extractall(site, filter="data")
        libraries.unlink()
        (site / "libs.00").unlink()


def copy_studies(site: Path) -> None:
    """Copies the studies into ``site``, without their results."""
    unwanted = shutil.ignore_patterns("results", "__pycache__")
    shutil.copytree(STUDIES, site / STUDIES.name, ignore=unwanted, dirs_exist_ok=True)


def check(half: str, site: Path) -> int:
    """Imports what was unpacked, on the real driver; says what came."""
    # Not from the project's root: its folder snl_edge would hide the installed one with export, benchmarks, ... inside.
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": str(site)}
    program = CHECK + (CHECK_RTX if half == "b" else "")
    return subprocess.run([sys.executable, "-c", program], env=environment, cwd=site, check=False).returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("half", choices=("a", "b"))
    parser.add_argument("--packed", type=Path, default=Path(".gpu"))
    parser.add_argument("--site", type=Path, default=SITE)
    chosen = parser.parse_args()
    unpack(chosen.half, chosen.packed, chosen.site)
    sys.exit(check(chosen.half, chosen.site))
