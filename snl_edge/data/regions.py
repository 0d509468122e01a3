"""Regions of a product that do not count (a date code, a moving belt, a clamp): read, checked, fitted to the model."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snl_edge.errors import DataError
from snl_edge.outside.decoding_memory import decoding_memory
from snl_edge.outside.files import reason
from snl_edge.outside.json_text import MOST_ANNOTATED_VALUES, MOST_ANNOTATIONS, read_json

from .labelme import LabelmeFile
from .masks import fit_mask, read_mask, require_few_marks
from .outlines import Drawing, require_area
from .samples import Dataset, Sample

Polygon = NDArray[np.float64]
"""Corners ``[N, 2]`` as x, y in pixels."""
MOST = 0.9
"""Share of a picture that may be ignored: with more of it, what is inspected is no picture of the product."""
SAME_ASPECT = 0.01
"""By how much aspects may differ, as a share: half a pixel of a scaled mask, and no more than that."""


def read_regions(folder: Path, dataset: Dataset, size: tuple[int, int]) -> dict[str, NDArray[np.bool_]]:
    """Reads what each product ignores: ``<product>.png`` (all that is not black), or ``<product>.json`` (polygons).

    Polygons are those of Labelme, whatever their label, or ``{"polygons": [[[x, y], …], …], "size": [width, height]}``;
    both in pixels of the original picture.

    Args:
        folder: the files.
        dataset: whose products they name, and whose training images have the aspect that they must have.
        size: ``(height, width)`` of the model's input.

    Returns:
        by product, the ignored pixels ``bool [height, width]`` of the model's input.

    Raises:
        DataError: a file is none of these, names no product, marks nothing or nearly everything, or has another aspect
            than the product's images.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder", fix="give --ignore a folder with PRODUCT.png or PRODUCT.json files")
    files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if not files:
        raise DataError(f"{folder} is empty", fix="put PRODUCT.png or PRODUCT.json files there, or leave out --ignore")
    regions: dict[str, NDArray[np.bool_]] = {}
    for path in files:
        product = path.stem
        if path.suffix.lower() not in (".png", ".json"):
            raise DataError(
                f"{path} says nothing of ignored regions",
                "they are read from .png and .json files",
                "save it as PNG, or move it out of the folder",
            )
        if sum(other.stem == product for other in files) > 1:
            raise DataError(
                f"two files in {folder} say what product {product} ignores",
                fix="leave one of them; a photograph does not belong there",
            )
        region = read_polygon_file(path) if path.suffix.lower() == ".json" else read_mask(path)
        regions[product] = fit_region(region, product, frame_sizes(dataset, product), size, str(path))
    return regions


def frame_sizes(dataset: Dataset, product: str) -> list[tuple[int, int]]:
    """Sizes ``(height, width)`` of a product's training images, each once.

    Raises:
        DataError: there is no such product, an image cannot be read, or aspects differ.
    """
    samples = [sample for sample in dataset.train if sample.product == product]
    if not samples:
        raise DataError(
            f"there is no product {product!r} whose regions could be ignored",
            f"{dataset.root} has {', '.join(dataset.products)}",
            "name the file, or --product, as the product",
        )
    with ThreadPoolExecutor() as threads:
        sizes = sorted(set(threads.map(_size, samples)))
    for size in sizes:
        if not _same_aspect(size, sizes[0]):
            raise DataError(
                f"images of product {product} have different aspects",
                f"{_words(sizes[0])} and {_words(size)} among them: a region is not at the same place in both",
                "give images of one camera and one region of it",
            )
    return sizes


def _size(sample: Sample) -> tuple[int, int]:
    with decoding_memory.held():
        height, width, _ = sample.read().shape
        return height, width


def fit_region(
    region: NDArray[np.bool_],
    product: str,
    frames: Sequence[tuple[int, int]],
    size: tuple[int, int],
    source: str,
) -> NDArray[np.bool_]:
    """Brings ignored pixels ``bool [h, w]`` to the model's input, ``size = (height, width)``.

    Args:
        region: of a picture with the aspect of the product's images, whatever its resolution.
        product: whose they are.
        frames: sizes of its images, as `frame_sizes` gives them.
        size: of the model's input.
        source: where they come from, for messages.

    Raises:
        DataError: the aspect is another one, nothing is marked, or nearly everything.
    """
    shape = region.shape[0], region.shape[1]
    if not _same_aspect(shape, frames[0]):
        raise DataError(
            f"{source} is for pictures of {_words(shape)}",
            f"images of product {product} are {_words(frames[0])}",
            "draw it on one of these images",
        )
    if not region.any():
        raise DataError(f"{source} marks nothing", fix="mark what does not count, or leave it out")
    require_few_marks(region, source)
    fitted = fit_mask(region, size)
    if (share := float(fitted.mean())) > MOST:
        raise DataError(
            f"{source} would leave {1 - share:.1%} of product {product} to inspect",
            f"at most {MOST:.0%} may be ignored; in a mask, black is what counts",
            "mark less, or invert the mask",
        )
    return fitted


def read_polygon_file(path: Path) -> NDArray[np.bool_]:
    """Draws the polygons of a JSON file, as `read_regions` describes it, as ``bool [height, width]`` of its picture.

    Raises:
        DataError: it cannot be read, or its shapes cannot be drawn.
    """
    try:
        content = read_json(path, most=MOST_ANNOTATIONS, most_values=MOST_ANNOTATED_VALUES)
        if "shapes" in content:
            return LabelmeFile(path).read()
        width, height = (int(side) for side in content["size"])
        polygons = [np.asarray(own, dtype=np.float64) for own in content["polygons"]]
    except OSError as error:
        raise DataError(f"cannot read {path}", reason(error), "check path and permissions") from error
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        why = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"{path} holds no regions",
            why,
            'save it with Labelme, or write {"polygons": [[[x, y], …]], "size": [width, height]}',
        ) from error
    return draw_polygons(polygons, (height, width), str(path))


def parse_polygon(text: str) -> Polygon:
    """Corners written as ``"x,y x,y x,y"``, in pixels.

    Raises:
        DataError: that is no polygon.
    """
    try:
        corners = [[float(number) for number in corner.split(",")] for corner in text.split()]
        return np.asarray(corners, dtype=np.float64).reshape(len(corners), 2)
    except ValueError as error:
        raise DataError(f"{text!r} is no polygon", fix='write its corners as "x,y x,y x,y", in pixels') from error


def draw_polygons(polygons: Sequence[Polygon], size: tuple[int, int], source: str) -> NDArray[np.bool_]:
    """Which pixels ``bool [height, width]`` lie in one of the polygons.

    Raises:
        DataError: one has fewer than three different corners or no area, or reaches beyond the picture.
    """
    height, width = size
    drawing = _drawing(size, source)
    for number, polygon in enumerate(polygons, start=1):
        try:
            require_area(polygon)
        except ValueError as error:
            raise DataError(f"polygon {number} of {source} is none", str(error), "draw it again") from error
        low, high = polygon.min(axis=0), polygon.max(axis=0)
        if min(low) < -1 or high[0] > width + 1 or high[1] > height + 1:
            raise DataError(
                f"polygon {number} of {source} reaches beyond the picture",
                f"it spans x {low[0]:g} to {high[0]:g}, y {low[1]:g} to {high[1]:g}, the picture is {_words(size)}",
                "give corners in pixels of the product's images",
            )
        try:
            drawing.polygon(polygon)
        except ValueError as error:
            raise DataError(
                f"polygon {number} of {source} cannot be drawn", str(error), "draw fewer corners"
            ) from error
    return drawing.mask.astype(bool)


def _drawing(size: tuple[int, int], source: str) -> Drawing:
    try:
        return Drawing(size)
    except ValueError as error:
        raise DataError(f"nothing can be drawn for {source}", str(error), "correct the size in it") from error


def _same_aspect(one: Sequence[int], other: Sequence[int]) -> bool:
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= SAME_ASPECT


def _words(size: Sequence[int]) -> str:
    return f"{size[1]}x{size[0]} pixels"
