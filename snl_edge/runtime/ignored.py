"""The pictures in a bundle that show what its graphs leave out: regions of a product that do not count."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from ..errors import BundleError
from ..image import read_image
from ..opencv import cv2
from .bundle import Bundle
from .manifest import IgnoredRegion

FOLDER = "ignore"


def region_pictures(
    ignored: Mapping[str, NDArray[np.bool_]],
) -> tuple[dict[str, IgnoredRegion], dict[str, bytes]]:
    """What manifest and bundle hold of ignored pixels ``bool [H, W]`` by product: entries, and PNG files by path."""
    regions: dict[str, IgnoredRegion] = {}
    pictures: dict[str, bytes] = {}
    for product, own in ignored.items():
        path = f"{FOLDER}/{_file_name(product)}.png"
        regions[product] = IgnoredRegion(share=round(float(own.mean()), 9), picture=path)
        pictures[path] = cv2.imencode(".png", own.astype(np.uint8) * 255)[1].tobytes()
    return regions, pictures


def read_ignored(bundle: Bundle) -> dict[str, NDArray[np.bool_]]:
    """The ignored pixels ``bool [H, W]`` of each product that has any, as the bundle shows them.

    Raises:
        BundleError: a picture has another size than the maps.
    """
    regions: dict[str, NDArray[np.bool_]] = {}
    for product, region in bundle.manifest.ignored.items():
        path = bundle.path / region.picture
        own = read_image(path)[..., 0] > 0
        if own.shape != bundle.manifest.input.size:
            raise BundleError(f"{path} is not of the model's size", fix="build the bundle again from its run folder")
        regions[product] = own
    return regions


def _file_name(product: str) -> str:
    """A product may be called what no file can be."""
    return re.sub(r"[/\\%\x00-\x1f]", lambda found: quote(found[0], safe=""), product)
