"""Plain folders of good images: one product named after its folder, or one folder per product; no test set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from snl_edge.errors import DataError
from snl_edge.image import list_images

from .folders import images_in, subfolders
from .samples import GOOD, Sample


def find_products(root: Path) -> dict[str, Path]:
    """``root`` as one product, or the folders in it; empty when there is no image in either.

    Raises:
        DataError: images lie both in ``root`` and in folders below it, so what is a product is unclear.
    """
    below = subfolders(root)
    filled = [folder for folder in below if list_images(folder)]
    if not list_images(root):
        return {folder.name: folder for folder in below} if filled else {}
    if filled:
        raise DataError(
            f"{root} holds images and folders with images ({', '.join(f.name for f in filled)})",
            "it could be one product or several",
            "give the folder of one product, or move the loose images into a folder of their own",
        )
    return {root.resolve().name: root}


def read(_root: Path, products: Mapping[str, Path]) -> tuple[list[Sample], list[Sample]]:
    """All images of ``products`` as training samples, and an empty test set.

    Raises:
        DataError: a product's folder has no images.
    """
    train = [
        Sample(path, product, GOOD)
        for product, folder in products.items()
        for path in images_in(folder, f"good images of {product}")
    ]
    return train, []
