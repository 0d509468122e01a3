"""A name from outside as it can be shown: no control of a terminal, no second line, nothing that runs backwards."""

from __future__ import annotations

import unicodedata

_BYTES = ("\udc80", "\udcff")
"""What Python makes of bytes from 0x80 on that are no UTF-8."""


def shown(text: object) -> str:
    r"""``str(text)``, with every character that is not visible as Python would write it: ``\n``, ``\x1b``, ``\u202e``.

    Bytes of a file name that are no UTF-8 (lone surrogates in Python) become ``\xff`` and the like, so the result can
    be encoded. Spaces of all kinds stay. Showing what is shown already changes nothing.
    """
    name = str(text)
    return name if name.isprintable() else "".join(map(_shown, name))


def as_shown(value: object) -> object:
    """For ``jinja2.Environment(finalize=...)``: text as `shown`, but for markup, which a template made."""
    return shown(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def is_text(name: str) -> bool:
    """Whether a file's name can be written into a file of ours: bytes that are no UTF-8 cannot."""
    return not any("\ud800" <= char <= "\udfff" for char in name)


def _shown(char: str) -> str:
    visible = char.isprintable() or unicodedata.category(char) == "Zs"
    if _BYTES[0] <= char <= _BYTES[1]:  # PEP 383
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char if visible else char.encode("unicode_escape").decode("ascii")
