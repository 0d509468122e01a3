"""From the bytes of an image file to pixels, and only if all of them came: OpenCV fills what is lost with grey.

PNG carries checksums, which OpenCV honours. JPEG and TIFF are held to stricter decoders: a lost block, a zeroed part
and most changed bytes are found. What a format's data cannot show no decoder sees: a changed byte of a BMP, of an
uncompressed TIFF or of a lossy WebP is another pixel, and some changes of a JPEG only shift its brightness.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from .arguments import require_kind
from .errors import DataError
from .opencv import cv2
from .outside.decoding_memory import decoding_memory
from .outside.files import MIB
from .outside.image_size import MOST_PIXELS, MOST_SCANS, PNG, ImageSize, jpeg_scans, png_data, size_of_bytes
from .outside.packed import check_deflate, check_deflate_pieces

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_COMPRESSION, _STRIP_OFFSETS, _STRIP_BYTES, _TILE_OFFSETS, _TILE_BYTES, _JPEG_TABLES = 259, 273, 279, 324, 325, 347
_TILE_WIDTH, _TILE_LENGTH = 322, 323
"""Tags (TIFF 6.0)."""
_UNCOMPRESSED, _JPEG_STRIPS, _DEFLATE = 1, 7, (8, 32946)
"""Values of Compression; the last two are from Adobe's supplements to TIFF 6.0."""
_QUICK_PNG = MIB
"""Bytes: packed zeros of that size stand for 1 GiB."""
_TILES = 64 * MIB
"""Bytes by which tiles may reach beyond the picture."""
warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")  # tags that do not matter here


def decode(encoded: bytes, name: Path | str) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The picture ``[H, W, 3]`` RGB in the file's own depth; grey becomes three equal channels, alpha is dropped.

    Args:
        encoded: the file's content; what it is, it says itself: the suffix does not count.
        name: of the file, for errors.

    Raises:
        DataError: it is no image, is damaged or cut short, or has pixels that are neither 8 nor 16 bits wide.
    """
    require_kind(encoded, "an encoded image", bytes, "give the bytes of its file")
    size = _promised(encoded, name)
    with decoding_memory.taken(size.decoding_bytes):
        _check_png(encoded, name, size)
        if is_jpeg(encoded) and (pixels := _checked_jpeg(encoded, name)) is not None:
            return pixels
        image = _decode_by_opencv(encoded, name, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
        if image.dtype not in (np.uint8, np.uint16):
            raise DataError(f"{name} has pixels of type {image.dtype}", fix="save it with 8 or 16 bits per channel")
        if encoded.startswith(_TIFF):
            _check_tiff(encoded, name, size)
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB)  # pyright: ignore[reportReturnType]


def decode_unchanged(encoded: bytes, name: Path | str) -> NDArray:
    """What a file stores, ``[H, W]`` or ``[H, W, C]`` of any type, alpha included: for masks.

    Raises:
        DataError: it is no image, is damaged or cut short.
    """
    size = _promised(encoded, name)
    with decoding_memory.taken(size.decoding_bytes):
        _check_png(encoded, name, size)
        if is_jpeg(encoded):
            _checked_jpeg(encoded, name)
        image = _decode_by_opencv(encoded, name, cv2.IMREAD_UNCHANGED)
        if encoded.startswith(_TIFF):
            _check_tiff(encoded, name, size)
        return image


def is_jpeg(encoded: bytes) -> bool:
    """Whether this is the content of a JPEG file."""
    return encoded.startswith(b"\xff\xd8")


def unreadable(name: Path | str, why: object) -> DataError:
    """The error of what is no image at all, or one that is too large to be decoded."""
    remedy = (
        "divide or scale it down: no model sees so many pixels at once"
        if "megapixels are the most" in str(why)
        else "remove it or save it again as PNG"
    )
    return DataError(f"{name} is not a readable image", str(why), remedy)


def _promised(encoded: bytes, name: Path | str) -> ImageSize:
    try:
        return size_of_bytes(encoded)
    except ValueError as error:
        raise unreadable(name, error) from error


def _decode_by_opencv(encoded: bytes, name: Path | str, flags: int) -> NDArray:
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    except cv2.error as error:  # raised, not None, for some damaged headers
        if error.code == cv2.Error.StsNoMem:
            raise _no_memory(name) from error
        image = None
    except MemoryError as error:
        raise _no_memory(name) from error
    if image is None:
        raise DataError(
            f"{name} is not a readable image", "the decoder refused it", "remove it or save it again as PNG"
        )
    return image


def _no_memory(name: Path | str) -> DataError:
    return DataError(f"{name} cannot be decoded", "this machine has not enough free memory", "scale the picture down")


def _damaged(name: Path | str, why: str) -> DataError:
    return DataError(f"{name} is damaged", why, "copy it again, remove it, or save it as PNG if it looks whole")


def _uncheckable(name: Path | str, why: str) -> DataError:
    return DataError(f"{name} cannot be checked for damage", why, "save it as PNG")


def _checked_jpeg(encoded: bytes, name: Path | str) -> NDArray[np.uint8] | None:
    try:
        return _decode_jpeg(encoded)
    except ValueError as error:
        if "subsampling" in str(error):
            raise _uncheckable(name, str(error)) from error
        raise _damaged(name, str(error)) from error


def _decode_jpeg(encoded: bytes) -> NDArray[np.uint8] | None:
    """As OpenCV decodes it, pixel for pixel; a warning of libjpeg, which OpenCV passes over, is an error here.

    Returns:
        the picture, or None where it is whole and OpenCV has to convert its colours (CMYK).

    Raises:
        ValueError: in libjpeg's words.
    """
    if encoded[6:11] == b"JFIF\0" and encoded[11] != 1:  # another revision of the standard is no damage
        encoded = encoded[:11] + b"\1" + encoded[12:]
    height, width, colours, _ = simplejpeg.decode_jpeg_header(encoded)
    _require_few_pixels(int(height) * int(width))
    if jpeg_scans(encoded) > MOST_SCANS:
        raise ValueError(f"it has {jpeg_scans(encoded)} scans, and no encoder writes more than {MOST_SCANS}")
    if colours in ("CMYK", "YCCK"):
        simplejpeg.decode_jpeg(encoded, "CMYK")
        return None
    return _upright(simplejpeg.decode_jpeg(encoded, "RGB"), _orientation(encoded))


def _require_few_pixels(pixels: int) -> None:
    if pixels > MOST_PIXELS:  # one that the walk through its markers did not see
        raise ValueError(f"it holds {pixels / 1e6:.0f} megapixels")


def _orientation(jpeg: bytes) -> int:
    """EXIF's Orientation, 1 to 8 (CIPA DC-008, tag 0x0112 of the first directory); 1 where there is none."""
    segment = 2
    while jpeg[segment : segment + 1] == b"\xff" and jpeg[segment + 1 : segment + 2] not in (b"\xda", b"\xd9", b""):
        body = segment + 4
        end = segment + 2 + int.from_bytes(jpeg[segment + 2 : body], "big")
        if jpeg[segment + 1] == 0xE1 and jpeg[body : body + 6] == b"Exif\0\0":
            return _first_directory(jpeg[body + 6 : end]).get(0x0112, 1)
        segment = end
    return 1


def _first_directory(tiff: bytes) -> dict[int, int]:
    """The 16-bit values of a TIFF's first directory, by tag."""
    order = "little" if tiff[:2] == b"II" else "big"
    number = lambda start, size: int.from_bytes(tiff[start : start + size], order)  # noqa: E731
    start = number(4, 4)
    entries = range(start + 2, min(start + 2 + 12 * number(start, 2), len(tiff) - 11), 12)
    return {number(entry, 2): number(entry + 8, 2) for entry in entries if number(entry + 2, 2) == 3}


def _upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _check_png(encoded: bytes, name: Path | str, size: ImageSize) -> None:
    """Refuses a PNG that is cut short or whose checksums are wrong, and one that stands for far more than its picture.

    libpng would find the first, too, and write words of its own to standard error. And it unpacks all that there is: up
    to ``_QUICK_PNG`` that takes a second or two, and is left to it; beyond it, it would take half an hour.

    Raises:
        DataError: it does.
    """
    if not encoded.startswith(PNG):
        return
    if len(encoded) <= _QUICK_PNG:
        try:
            for _ in png_data(encoded):
                pass
        except ValueError as error:
            raise _damaged(name, str(error)) from error
        return
    # Every row has a byte for its filter, and an interlaced picture up to twice as many rows (RFC 2083, 2.6).
    rows = size.height * (2 + (size.width * size.channels * size.bits + 7) // 8)
    try:
        check_deflate_pieces(png_data(encoded), 2 * rows + MIB)
    except ValueError as error:
        raise _damaged(name, str(error)) from error


def _check_tiff(encoded: bytes, name: Path | str, size: ImageSize) -> None:
    """Looks for damage in the compressed data of a TIFF's first page, which OpenCV shows as some other pixels.

    Data that is not compressed shows no damage but a missing end, which OpenCV itself refuses.

    Raises:
        DataError: there is damage, or nothing that could see it.
    """
    from PIL import Image, TiffImagePlugin

    if Image.MAX_IMAGE_PIXELS is not None:  # Pillow's own limit for tiles; ours was checked
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, MOST_PIXELS)

    try:
        page = TiffImagePlugin.ImageFileDirectory_v2(encoded[: 16 if b"+" in encoded[:4] else 8])
        file = io.BytesIO(encoded)
        file.seek(page.next)
        page.load(file)
        compression = page.get(_COMPRESSION, _UNCOMPRESSED)
        _require_few_pixels(page.get(_TILE_WIDTH, 0) * page.get(_TILE_LENGTH, 0))
        if compression in _DEFLATE:
            left = 2 * size.pixels * size.channels * size.bits // 8 + _TILES
            for strip in _strips(encoded, page):
                left -= check_deflate(strip, left)
        elif compression == _JPEG_STRIPS:
            # A strip is a JPEG without its tables, which stand once for all; "abbreviated" in ITU-T T.81.
            tables = bytes(page.get(_JPEG_TABLES, b""))
            for strip in _strips(encoded, page):
                whole = tables[:-2] + bytes(strip[2:]) if tables else bytes(strip)
                height, width, *_ = simplejpeg.decode_jpeg_header(whole)
                _require_few_pixels(int(height) * int(width))
                simplejpeg.decode_jpeg(whole, "GRAY", min_factor=8)
        elif compression != _UNCOMPRESSED:
            TiffImagePlugin.TiffImageFile(io.BytesIO(encoded)).load()
    except SyntaxError as error:  # so Pillow says that it does not know this kind of pixels
        raise _uncheckable(name, str(error)) from error
    except Exception as error:  # and of broken tags it raises what their parsing happens to raise
        raise _damaged(name, str(error) or type(error).__name__) from error


def _strips(encoded: bytes, page: Mapping[int, Any]) -> Iterator[memoryview]:
    """The compressed strips or tiles of a TIFF's page.

    Raises:
        ValueError: together they are larger than the file, so they overlap.
    """
    tiles = _TILE_OFFSETS in page
    offsets, counts = page[_TILE_OFFSETS if tiles else _STRIP_OFFSETS], page[_TILE_BYTES if tiles else _STRIP_BYTES]
    if sum(counts) > len(encoded):
        raise ValueError("its strips promise more than the file holds")
    whole = memoryview(encoded)
    return (whole[offset : offset + count] for offset, count in zip(offsets, counts, strict=True))
