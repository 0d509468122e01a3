"""References in docstrings, as ``:class:`x```, shown as Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|mod|meth|attr):(`[^`]+`)")


class Roles(griffe.Extension):
    """Takes the role away and leaves the name."""

    def on_instance(self, *, obj: griffe.Object, **options: Any) -> None:
        """Called for every object with a docstring."""
        if obj.docstring is not None:
            obj.docstring.value = ROLE.sub(r"\1", obj.docstring.value)
