"""What is packed, unpacked up to a size: a megabyte of gzip can stand for a gigabyte."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from .files import readable_size

_STEP = 1 << 18
_GZIP = 16 + zlib.MAX_WBITS
"""``wbits`` of zlib for a gzip file with header and checksum."""


def unpack_gzip(content: bytes, most: int) -> bytes:
    """The content of a gzip file of one member.

    Raises:
        ValueError: it is damaged, cut short, or stands for more than ``most`` bytes.
    """
    unpacking = zlib.decompressobj(_GZIP)
    try:
        unpacked = unpacking.decompress(content, most + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(unpacked) > most:
        raise ValueError(f"it stands for more than {readable_size(most)}")
    if not unpacking.eof:
        raise ValueError("it is cut short")
    return unpacked


def check_deflate(content: bytes | memoryview, most: int) -> int:
    """Unpacks a zlib stream, keeping nothing; returns how many bytes it stands for.

    Raises:
        ValueError: it is damaged or cut short, or stands for more than ``most`` bytes.
    """
    return check_deflate_pieces((content,), most)


def check_deflate_pieces(pieces: Iterable[bytes | memoryview], most: int) -> int:
    """As `check_deflate`, of a stream in pieces."""
    unpacking = zlib.decompressobj()
    total = 0
    try:
        for piece in pieces:
            for start in range(0, len(piece), _STEP):  # what is not used of a step is copied at every turn
                rest: bytes | memoryview = piece[start : start + _STEP]
                while rest and not unpacking.eof:
                    total += len(unpacking.decompress(rest, _STEP))
                    if total > most:
                        raise ValueError(f"its compressed data stands for more than {readable_size(most)}")
                    rest = unpacking.unconsumed_tail
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not unpacking.eof:
        raise ValueError("its compressed data is cut short")
    return total
