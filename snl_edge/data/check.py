"""Looks at every file of a data set once, before hours of work depend on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from snl_edge.errors import DataError
from snl_edge.image import read_image

from .folders import NAMED
from .samples import Sample


def check_samples(samples: Sequence[Sample], *, progress: Callable[[int, int], None] | None = None) -> None:
    """Decodes every image and every mask, in threads, and reports all that cannot be used at once.

    Args:
        samples: what to check.
        progress: called with (done, total) after each sample.

    Raises:
        DataError: an image or mask cannot be decoded, a mask is not of its image's size, or marks nothing.
            The message counts the faults and describes the first few; the others appear when these are gone.
    """
    faults: list[str] = []
    with ThreadPoolExecutor() as threads:
        for done, found in enumerate(threads.map(_faults_of, samples), start=1):
            faults += found
            if progress is not None:
                progress(done, len(samples))
    if faults:
        more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise DataError(
            f"{len(faults)} faulty {'file' if len(faults) == 1 else 'files'} among {len(samples)} images",
            "; ".join(faults[:NAMED]) + more,
            "replace or remove them",
        )


def _faults_of(sample: Sample) -> list[str]:
    faults: list[str] = []
    image = mask = None
    try:
        image = read_image(sample.path)
    except DataError as error:
        faults.append(error.what + (f" ({error.why})" if error.why else ""))
    try:
        mask = None if sample.mask is None else sample.mask.read()
    except DataError as error:
        faults.append(error.what + (f" ({error.why})" if error.why else ""))
    if mask is not None and sample.mask is not None:
        source = sample.mask.path
        if image is not None and mask.shape != image.shape[:2]:
            (height, width), (mask_height, mask_width) = image.shape[:2], mask.shape
            faults.append(
                f"mask {source} is {mask_width}x{mask_height}, its image {sample.path} {width}x{height} pixels"
            )
        elif not mask.any():
            faults.append(f"mask {source} marks no pixel")
    return faults
