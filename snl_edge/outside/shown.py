"""A name from outside as it may be shown: no control of a terminal, no line of its own, nothing that reads backwards."""

from __future__ import annotations

import unicodedata


def shown(text: object) -> str:
    r"""``str(text)``, with every character that is not visible as Python would write it: ``\n``, ``\x1b``, ``\u202e``.

    Bytes of a file name that are no UTF-8 (lone surrogates in Python) become ``\udcff`` and the like, so the result can
    be encoded. Spaces of all kinds stay. Showing what is shown already changes nothing.
    """
    name = str(text)
    if name.isprintable():
        return name
    return "".join(
        char if char.isprintable() or unicodedata.category(char) == "Zs" else _escaped(char) for char in name
    )


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
