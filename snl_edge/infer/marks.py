"""The mark that tells an overlay from a picture of a part, wherever the file is moved and whatever it is called.

It is a comment in the file: COM in a JPEG (ITU-T T.81, B.2.4.5), tEXt in a PNG (W3C PNG, 11.3.3.3), right behind what a
file of the kind begins with.
"""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path
from typing import Literal

from ..outside.files import opened

Format = Literal["jpeg", "png"]
MARK = b"snl-edge overlay"
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_START = len(_PNG) + 25
"""Signature and the header's chunk, whose length is fixed."""
_PNG_CHUNK = b"tEXtComment\0" + MARK
_IN_PNG = struct.pack(">I", len(_PNG_CHUNK) - 4) + _PNG_CHUNK + struct.pack(">I", zlib.crc32(_PNG_CHUNK))
_JPEG = b"\xff\xd8"
_IN_JPEG = b"\xff\xfe" + struct.pack(">H", len(MARK) + 2) + MARK


def marked(encoded: bytes, kind: Format) -> bytes:
    """The file's content with the mark in it."""
    start, mark = (_PNG_START, _IN_PNG) if kind == "png" else (len(_JPEG), _IN_JPEG)
    return encoded[:start] + mark + encoded[start:]


def is_marked(begin: bytes) -> bool:
    """Whether a file that begins so, for some 100 bytes, is an overlay."""
    return begin.startswith(_JPEG + _IN_JPEG) or (begin.startswith(_PNG) and begin[_PNG_START:].startswith(_IN_PNG))


def is_overlay(path: Path) -> bool:
    """Whether `infer` wrote this file as an overlay; what cannot be read, or is no regular file, is none."""
    try:
        with opened(path, sys.maxsize) as (file, _):
            return is_marked(file.read(128))
    except OSError:
        return False
