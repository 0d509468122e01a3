"""What the header of a picture promises, read before anything of it is decoded.

A few kilobytes can promise thousands of megapixels, and a decoder takes the memory for them first. The formats are
those that are accepted at all: PNG (RFC 2083), JPEG (ITU-T T.81), BMP, TIFF (6.0, and BigTIFF) and WebP (RFC 9649).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from zlib import crc32

from .files import GIB

MOST_PIXELS = 2**28
"""268 megapixels: 16,384 x 16,384, as many lines of a 16k line camera as it has pixels; area cameras have up to 152."""
MOST_BYTES = 2 * GIB
"""Of a file: 268 megapixels of three 16-bit colours that are not compressed fit."""
MOST_SCANS = 64
"""Of a progressive JPEG; encoders write about ten. Each is a pass over all pixels that may take three bytes."""
PNG = b"\x89PNG\r\n\x1a\n"
"""What such a file begins with."""
FORMATS = "PNG, JPEG, BMP, TIFF or WebP"
Read = Callable[[int, int], bytes]
"""``read(offset, size)``: up to so many bytes of the file."""
_MOST_SEGMENTS = 20_000
_MOST_TAGS = 4096
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value, by type."""


@dataclass(frozen=True)
class ImageSize:
    """What a picture's header promises."""

    width: int
    height: int
    bits: int = 8
    """Of a value, as the file has it."""
    channels: int = 3

    @property
    def pixels(self) -> int:
        """Of the whole picture."""
        return self.width * self.height

    @property
    def decoding_bytes(self) -> int:
        """Memory that decoding takes at its peak: the decoder's picture, and one with its colours in our order."""
        return self.pixels * 2 * max(3, self.channels) * max(1, self.bits // 8)


def image_size(read: Read, file_bytes: int) -> ImageSize:
    """Size of the picture in a file of ``file_bytes``.

    Raises:
        ValueError: it is none of the formats, its header is damaged, or it promises more than ``MOST_PIXELS``.
    """
    head = read(0, 32)
    if head.startswith(PNG):
        size = _png(head)
    elif head.startswith(b"\xff\xd8"):
        size = _jpeg(read)
    elif head.startswith(b"BM"):
        size = _bmp(head)
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        size = _webp(head)
    elif head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        size = _tiff(read, file_bytes)
    else:
        raise ValueError(f"it is no {FORMATS}")
    if size.width < 1 or size.height < 1:
        raise ValueError(f"its header promises {size.width}x{size.height} pixels")
    if size.pixels > MOST_PIXELS:
        raise ValueError(
            f"its header promises {size.width}x{size.height} pixels, "
            f"and {MOST_PIXELS / 1e6:.0f} megapixels are the most"
        )
    return size


def size_of_bytes(encoded: bytes) -> ImageSize:
    """As `image_size`, of the content of a file."""
    return image_size(lambda offset, size: encoded[offset : offset + size], len(encoded))


def _number(data: bytes, start: int, size: int, order: str, *, signed: bool = False) -> int:
    if len(data) < start + size:
        raise ValueError("its header is cut short")
    return int.from_bytes(data[start : start + size], order, signed=signed)  # pyright: ignore[reportArgumentType]


def _png(head: bytes) -> ImageSize:
    if head[12:16] != b"IHDR":
        raise ValueError("its header is damaged: IHDR does not come first")
    channels = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}.get(_number(head, 25, 1, "big"), 4)
    return ImageSize(_number(head, 16, 4, "big"), _number(head, 20, 4, "big"), _number(head, 24, 1, "big"), channels)


def png_data(encoded: bytes) -> Iterator[memoryview]:
    """The pieces of a PNG's compressed picture (IDAT), in order, its structure checked on the way (RFC 2083, 3).

    Raises:
        ValueError: it is cut short, or a chunk that a decoder needs is damaged.
    """
    whole = memoryview(encoded)
    at = len(PNG)
    while True:
        length = int.from_bytes(whole[at : at + 4], "big")
        data = at + 8
        if data + length + 4 > len(encoded):
            raise ValueError("it is cut short")
        kind = bytes(whole[at + 4 : data])
        # Of the others, which begin with a small letter, a decoder passes over a damaged one.
        critical = not kind[0] & 0x20
        if critical and crc32(whole[at + 4 : data + length]) != _number(encoded, data + length, 4, "big"):
            raise ValueError(f"the checksum of its {kind.decode('ascii', 'backslashreplace')} is wrong")
        if kind == b"IDAT":
            yield whole[data : data + length]
        elif kind == b"IEND":
            return
        at = data + length + 4


def _bmp(head: bytes) -> ImageSize:
    if _number(head, 14, 4, "little") == 12:
        return ImageSize(_number(head, 18, 2, "little"), _number(head, 20, 2, "little"))
    width, height = (_number(head, start, 4, "little", signed=True) for start in (18, 22))
    return ImageSize(width, abs(height))


def _webp(head: bytes) -> ImageSize:
    kind = head[12:16]
    if kind == b"VP8X":
        return ImageSize(1 + _number(head, 24, 3, "little"), 1 + _number(head, 27, 3, "little"), channels=4)
    if kind == b"VP8L":
        packed = _number(head, 21, 4, "little")
        return ImageSize(1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF), channels=4)
    if kind == b"VP8 ":
        return ImageSize(_number(head, 26, 2, "little") & 0x3FFF, _number(head, 28, 2, "little") & 0x3FFF)
    raise ValueError("its header is damaged: it holds no picture of WebP")


def _jpeg(read: Read) -> ImageSize:
    """The largest of its frames; markers are walked as a decoder does."""
    found: ImageSize | None = None
    position = 2
    for _ in range(_MOST_SEGMENTS):
        head = read(position, 10)
        if len(head) < 4 or head[0] != 0xFF:
            break
        marker = head[1]
        if marker == 0xFF:  # fill bytes may stand before a marker
            position += 1
        elif marker in (0xD9, 0xDA):
            break
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 2
        else:
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                height, width = _number(head, 5, 2, "big"), _number(head, 7, 2, "big")
                size = ImageSize(width, height, channels=_number(head, 9, 1, "big"))
                found = size if found is None or size.pixels > found.pixels else found
            position += 2 + max(2, _number(head, 2, 2, "big"))
    if found is None:
        raise ValueError("its header is damaged: no frame begins before its data")
    return found


def jpeg_scans(encoded: bytes) -> int:
    """How many scans a JPEG has; those of a thumbnail in its metadata count, too."""
    return encoded.count(b"\xff\xda")


@dataclass(frozen=True)
class TiffEntry:
    """One entry of a TIFF's directory."""

    tag: int
    kind: int
    count: int
    place: int
    """Where in the file its values stand."""

    @property
    def bytes(self) -> int:
        """Of all its values."""
        return self.count * _TIFF_SIZES.get(self.kind, 1)


def tiff_entries(read: Read) -> tuple[str, Iterator[TiffEntry]]:
    """Byte order and entries of a TIFF's first directory."""
    head = read(0, 16)
    order = "little" if head[:2] == b"II" else "big"
    big = b"+" in head[:4]
    start = _number(head, 8, 8, order) if big else _number(head, 4, 4, order)
    counter, width, entry = (8, 8, 20) if big else (2, 4, 12)
    count = _number(read(start, counter), 0, counter, order)
    if count > _MOST_TAGS:
        raise ValueError(f"its header is damaged: it promises {count} tags")
    table = read(start + counter, count * entry)

    def entries() -> Iterator[TiffEntry]:
        for at in range(0, len(table) - entry + 1, entry):
            kind = _number(table, at + 2, 2, order)
            values = _number(table, at + 4, width, order)
            here = start + counter + at + 4 + width
            own = TiffEntry(_number(table, at, 2, order), kind, values, here)
            inside = own.bytes <= width
            yield own if inside else TiffEntry(own.tag, kind, values, _number(table, at + 4 + width, width, order))

    return order, entries()


def _tiff(read: Read, file_bytes: int) -> ImageSize:
    """Of its first page, which is the one that is decoded."""
    order, entries = tiff_entries(read)
    wanted: dict[int, list[int]] = {256: [], 257: [], 258: [], 277: []}
    held = 0
    for entry in entries:
        held += entry.bytes
        if entry.tag in wanted and entry.kind in (1, 3, 4, 16):
            size = _TIFF_SIZES[entry.kind]
            values = read(entry.place, min(entry.count, 8) * size)
            wanted[entry.tag] += [_number(values, at, size, order) for at in range(0, len(values) - size + 1, size)]
    if held > 2 * file_bytes:
        raise ValueError("its header is damaged: its tags promise more than the file holds")
    width, height, bits, channels = (max(wanted[tag], default=0) for tag in (256, 257, 258, 277))
    size = ImageSize(width, height, max(bits, 1), max(channels, 1))
    if size.bits > 64 or size.channels > 64:
        raise ValueError(f"its header promises {size.channels} values of {size.bits} bits a pixel")
    return size
