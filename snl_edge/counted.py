"""Numbers with their nouns, in sentences for people."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """As in ``1 image`` and ``2,000 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
