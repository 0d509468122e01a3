"""Opens a folder of images as a data set, whichever of the known layouts it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from snl_edge.errors import DataError

from . import folder, mvtec, visa
from .samples import Dataset, Sample

LayoutName = Literal["mvtec", "visa", "folder"]
Samples = tuple[list[Sample], list[Sample]]


@dataclass(frozen=True)
class Layout:
    """How one layout is recognised and read."""

    looks_for: str
    find_products: Callable[[Path], Mapping[str, Path]]
    read: Callable[[Path, Mapping[str, Path]], Samples]


LAYOUTS: Mapping[LayoutName, Layout] = MappingProxyType(
    {
        "mvtec": Layout("mvtec: [<product>/]train/good", mvtec.find_products, mvtec.read),
        "visa": Layout("visa: split_csv/1cls.csv with <product>/Data/Images", visa.find_products, visa.read),
        "folder": Layout("folder: images in it or in one folder per product", folder.find_products, folder.read),
    }
)


def open_dataset(
    root: Path, layout: Literal["auto"] | LayoutName = "auto", products: Sequence[str] | None = None
) -> Dataset:
    """Lists the images of ``root``; decodes none of them (that is ``check_samples``' part).

    Args:
        root: the data set's folder, or a single product's in MVTec AD layout.
        layout: its layout; ``"auto"`` takes the first of ``LAYOUTS`` that fits.
        products: the products to use; all of them when None. Only these have to be complete.

    Raises:
        DataError: the folder is missing or has no known layout, a product is unknown or has no images to
            train on, a folder is empty, a defective image has no mask, a listed file is missing.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root} is no folder", fix="give the folder that holds the images")
    try:
        return _open(root, layout, products)
    except OSError as error:
        raise DataError(
            f"cannot read {error.filename or root}", error.strerror or str(error), "check path and permissions"
        ) from error


def _open(root: Path, layout: Literal["auto"] | LayoutName, products: Sequence[str] | None) -> Dataset:
    candidates: Sequence[LayoutName] = tuple(LAYOUTS) if layout == "auto" else (layout,)
    for name in candidates:
        present = LAYOUTS[name].find_products(root)
        if present:
            train, test = LAYOUTS[name].read(root, _select(root, present, products))
            return Dataset(root, name, tuple(train), tuple(test))
    raise DataError(
        f"{root} has no {'known' if layout == 'auto' else layout} layout",
        "looked for " + "; ".join(LAYOUTS[name].looks_for for name in candidates),
        "give the folder above the products, or name another layout with --layout"
        if layout != "auto"
        else "arrange the images in one of these layouts, or give the folder that has one",
    )


def _select(root: Path, present: Mapping[str, Path], products: Sequence[str] | None) -> Mapping[str, Path]:
    if products is None:
        return present
    if not products:
        raise DataError("no product chosen", fix=f"choose among {', '.join(sorted(present))}")
    unknown = sorted(set(products) - set(present))
    if unknown:
        raise DataError(f"{root} has no product {', '.join(unknown)}", fix=f"choose among {', '.join(sorted(present))}")
    return {name: present[name] for name in sorted(set(products))}
