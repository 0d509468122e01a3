"""`snl-edge stream demo`: a line on drawn parts, with dashboard, journal and metrics, in one command."""

from __future__ import annotations

from pathlib import Path

from ..data.parts.products import PRODUCTS
from ..progress import console
from ..runtime.bundle import Bundle
from ..runtime.frame import drawn_side
from ..runtime.manifest import FILE as MANIFEST
from .config import LineConfig


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
    size = drawn_side(manifest.input)

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


def demo_bundle(folder: Path) -> Path:
    """The bundle below ``folder``, made if it is missing: a quick model of two products, in about a minute.

    Raises:
        SnlEdgeError: it is missing and cannot be made here.
    """
    bundle = folder / "run" / "bundle"
    if not (bundle / MANIFEST).is_file():
        from ..demo import run_demo

        console.print("no bundle yet: training a quick model on the synthetic line")
        run_demo(folder, quick=True)
    return bundle
