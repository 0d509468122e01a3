"""What this processor can compute without help, as its kernel tells."""

from __future__ import annotations

import re
from pathlib import Path

VNNI = frozenset({"avx512_vnni", "avx_vnni"})
"""Either multiplies INT8 into INT32 sums exactly; processors with neither saturate in between, or emulate it."""


def instruction_sets(root: Path = Path("/")) -> frozenset[str]:
    """Names of the processor's instruction sets, as Linux writes them; none on other systems."""
    try:
        text = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()
