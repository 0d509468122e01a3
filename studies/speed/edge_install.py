"""What a device downloads: the wheels of the base install, and of the extras that a cabinet may want.

``python -m studies.speed.edge_install`` makes this package's wheel, lets pip resolve what it needs here, and adds
up the wheels as the package index offers them. Nothing is installed into the calling environment.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from snl_edge.errors import ConfigError
from snl_edge.progress import console
from snl_edge.provenance import revision

from ..command import run_command
from ..result_files import FOLDER, ROOT, save_result

KIND = "edge_install"
INSTALLS = {"base": "", "openvino": "[openvino]"}
"""Name of the install, and the extras that it asks for."""
LIMIT_BYTES = 250_000_000
FORBIDDEN = ("torch", "onnx", "timm")


def edge_install(results: Annotated[Path, typer.Option(help="Folder of the result file.")] = FOLDER) -> None:
    """Measures every install and writes a result file.

    Raises:
        ConfigError: a wheel cannot be made or had.
    """
    revision()
    figures: dict[str, Any] = {"limit_bytes": LIMIT_BYTES}
    with tempfile.TemporaryDirectory() as temporary:
        own = build_wheel(Path(temporary))
        for name, extra in INSTALLS.items():
            wheels = download_wheels(f"{own}{extra}", Path(temporary) / name)
            figures[name] = summarise_wheels(wheels)
            console.print(f"{name}: {figures[name]['bytes'] / 1e6:.1f} MB in {len(wheels)} wheels")
    path = save_result(
        KIND, "edge", settings={"installs": INSTALLS}, figures=figures, folder=results, file="edge-install.json"
    )
    console.print(f"wrote {path.name}")


def build_wheel(folder: Path) -> Path:
    """This package as a wheel."""
    _run("wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("*.whl")
    return wheel


def download_wheels(requirement: str, folder: Path) -> dict[str, int]:
    """Bytes of every wheel that ``requirement`` takes on this platform, by package."""
    _run("download", "--only-binary", ":all:", "--dest", str(folder), requirement)
    return {path.name.split("-")[0].lower(): path.stat().st_size for path in sorted(folder.glob("*.whl"))}


def summarise_wheels(wheels: dict[str, int]) -> dict[str, Any]:
    """The sum, and the wheels from the largest on.

    Raises:
        ConfigError: one is among them that a device must not need.
    """
    if heavy := [name for name in FORBIDDEN if name in wheels]:
        raise ConfigError(f"the edge install brings {', '.join(heavy)}", fix="move what needs it into an extra")
    ordered = dict(sorted(wheels.items(), key=lambda item: -item[1]))
    return {"bytes": sum(wheels.values()), "wheels": ordered}


def _run(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        raise ConfigError("a wheel cannot be made or had", " ".join(last)[-300:], "check the network, then repeat")


if __name__ == "__main__":
    run_command(edge_install)
