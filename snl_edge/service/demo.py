"""`snl-edge stream demo`: a line on drawn parts, with dashboard, journal and metrics, in one command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ..data.parts.products import PRODUCTS
from ..data.synthetic import SIDE
from ..errors import ConfigError
from ..progress import console
from ..runtime.bundle import Bundle
from ..runtime.frame import drawn_side
from ..runtime.manifest import FILE as MANIFEST
from ..runtime.manifest import InputSpec
from ..stream.config.line_config import LineConfig


def demo_config(folder: Path, bundle: Path, rate: float, port: int, count: int | None) -> LineConfig:
    """Two cameras on the synthetic line, looking at the products that the bundle knows and one that it does not.

    Args:
        folder: where journal and sink write.
        bundle: made for products of the synthetic line.
        rate: parts a second at each camera.
        port: of the dashboard on this machine.
        count: end after so many parts of each camera; endless if None.

    Raises:
        ConfigError: the bundle takes frames alone that are not square.
    """
    manifest = Bundle.open(bundle).manifest
    known = [name for name in manifest.products if name in PRODUCTS]
    stranger = [name for name in PRODUCTS if name not in manifest.products][:1]
    size = _side(manifest.input)

    def camera(name: str, products: list[str], seed: int) -> dict[str, object]:
        source = {"type": "synthetic", "products": products, "rate": rate, "size": size, "seed": seed, "count": count}
        return {"name": name, "source": source}

    return LineConfig.model_validate(
        {
            "name": "demo",
            "bundle": bundle,
            "cameras": [camera("left", known, 1), camera("right", [*known, *stranger], 2)],
            "deadline_ms": 3000,
            "shares": {"unknown": None},  # one of the products is unknown on purpose
            "journal": {"folder": folder / "journal", "pictures": {"keep_gib": 0.5, "good_every": 20}},
            "sinks": [{"type": "jsonlines", "folder": folder / "verdicts"}],
            "dashboard": {"port": port, "bundles": bundle.parent},
        }
    )


def _side(spec: InputSpec) -> int:
    """Of the pictures: as large as those that `snl-edge demo` trains on, whatever the model's input. Drawn smaller they
    are sharper than those brought to that size, and good parts score as if they were none."""
    if spec.frame is None:
        return SIDE
    side = drawn_side(spec)
    if side != SIDE:
        console.print(
            f"parts are drawn as the bundle's frames, {spec.frame}, and `snl-edge demo` trains on pictures of {SIDE}: "
            "these look otherwise, and more good ones may be rejected"
        )
    return side


def demo_bundle(folder: Path) -> Path:
    """The bundle below ``folder``, made if it is missing: a quick model of two products, in about a minute.

    Raises:
        ConfigError: it is missing and cannot be made here; what is wrong was said.
    """
    bundle = folder / "run" / "bundle"
    if not (bundle / MANIFEST).is_file():
        console.print("no bundle yet: training a quick model on the synthetic line")
        # In a process of its own: the line's is then the one of a device, without torch and what exports graphs, which
        # would hold memory while it runs and complain of each other when it ends.
        command = [sys.executable, "-m", "snl_edge", "demo", "--quick", "--out", str(folder)]
        if status := subprocess.run(command, check=False).returncode:
            raise ConfigError(
                "the quick model could not be made",
                f"`snl-edge demo --quick --out {folder}` ended with {status}",
                "see what it said, or give a --bundle",
            )
    return bundle
