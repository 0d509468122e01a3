"""Whether a file holds more pictures than its first, which alone is decoded: pages of a TIFF, an animation's frames."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from .image_size import PNG

_MOST = 64
"""Pages that are looked at: an answer is found in the first few."""
_SUBFILE, _REDUCED, _MASK = 254, 1, 4
"""Tag NewSubfileType, and its bits for a smaller version of another page and for its mask (TIFF 6.0)."""


def more_pictures(encoded: bytes) -> str:
    """What of the file's pictures is passed over, in words; empty where the first is all.

    Thumbnails and masks of a TIFF's page are no pictures of their own. What is damaged behind the first is not told.
    """
    if encoded.startswith(PNG):
        found, kind = _png_frames(encoded), "an animation (APNG)"
    elif encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        found, kind = sum(name == b"ANMF" for name, _ in _riff(encoded)), "an animation (WebP)"
    elif encoded[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        found, kind = 1 + sum(islice(_tiff_pages(encoded), 1, _MOST)), "several pages (TIFF)"
    else:
        return ""
    return f"the file holds {kind}, of which the first alone is judged" if found > 1 else ""


def _png_frames(encoded: bytes) -> int:
    """``num_frames`` of acTL, which stands before the data (PNG, third edition, 11.3.4.1)."""
    at = len(PNG)
    while at + 16 <= len(encoded) and (name := encoded[at + 4 : at + 8]) != b"IDAT":
        if name == b"acTL":
            return int.from_bytes(encoded[at + 8 : at + 12], "big")
        at += 12 + int.from_bytes(encoded[at : at + 4], "big")
    return 1


def _riff(encoded: bytes) -> Iterator[tuple[bytes, int]]:
    """Names and places of the chunks (RFC 9649)."""
    at = 12
    while at + 8 <= len(encoded):
        yield encoded[at : at + 4], at
        size = int.from_bytes(encoded[at + 4 : at + 8], "little")
        at += 8 + size + size % 2


def _tiff_pages(encoded: bytes) -> Iterator[bool]:
    """Of each directory, whether it is a picture of its own."""
    order = "little" if encoded[:2] == b"II" else "big"
    big = b"+" in encoded[:4]
    counter, entry, offset, value = (8, 20, 8, 12) if big else (2, 12, 4, 8)

    def number(at: int, size: int) -> int:
        return int.from_bytes(encoded[at : at + size], order)

    at, seen = number(8, 8) if big else number(4, 4), set[int]()
    while at and at not in seen and at + counter <= len(encoded):
        seen.add(at)
        first, count = at + counter, number(at, counter)
        entries = range(first, min(first + entry * min(count, 4096), len(encoded) - entry + 1), entry)
        kind = next((number(one + value, 4) for one in entries if number(one, 2) == _SUBFILE), 0)
        yield not kind & (_REDUCED | _MASK)
        at = number(first + entry * count, offset)
