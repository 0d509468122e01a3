"""The layout of MVTec AD (Bergmann et al., CVPR 2019).

``<product>/train/good``, ``<product>/test/<"good" or a type of defect>`` and
``<product>/ground_truth/<type of defect>/<stem>_mask.png``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from snl_edge.errors import DataError

from .folders import images_in, name_some, subfolders
from .samples import GOOD, Sample


def find_products(root: Path) -> dict[str, Path]:
    """The products below ``root``, or ``root`` itself if it is one; empty when this is no such layout."""
    if (root / "train" / GOOD).is_dir():
        return {root.resolve().name: root}
    below = subfolders(root)
    if not any((folder / "train" / GOOD).is_dir() for folder in below):
        return {}
    # A product whose train/good went missing still counts, so that it is reported and not left out.
    return {folder.name: folder for folder in below if (folder / "train").is_dir() or (folder / "test").is_dir()}


def read(root: Path, products: Mapping[str, Path]) -> tuple[list[Sample], list[Sample]]:
    """Training and test samples of ``products``.

    Raises:
        DataError: a folder without images, or defective images without a mask.
    """
    train: list[Sample] = []
    test: list[Sample] = []
    for product, folder in products.items():
        good = images_in(folder / "train" / GOOD, f"training images of {product}")
        train += [Sample(path, product, GOOD) for path in good]
        for group in subfolders(folder / "test"):
            masks = None if group.name == GOOD else folder / "ground_truth" / group.name
            for path in images_in(group, f"test images of {product}"):
                test.append(Sample(path, product, group.name, masks and _mask_of(path, masks)))
    bare = [sample.path for sample in test if not sample.is_good and sample.mask is None]
    if bare:
        raise DataError(
            f"{len(bare)} defective images under {root} have no mask",
            name_some(bare),
            "put <stem>_mask.png under ground_truth/<defect> for each, or remove them from test",
        )
    return train, test


def _mask_of(path: Path, masks: Path) -> Path | None:
    # VisA converted to this layout by its own script keeps the image's name for the mask.
    names = (f"{path.stem}_mask.png", f"{path.stem}.png")
    return next((masks / name for name in names if (masks / name).is_file()), None)
