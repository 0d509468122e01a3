"""Editing a bundle's manifest as its build would have written it: what is tested is what it says, not its digest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snl_edge.runtime.manifest import FILE
from snl_edge.runtime.manifest_file import digest_of


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], object] | None = None, **changes: Any) -> None:
    content = json.loads((folder / FILE).read_text()) | changes
    if edit is not None:
        edit(content)
    (folder / FILE).write_text(json.dumps(content | {"digest": digest_of(content)}))
