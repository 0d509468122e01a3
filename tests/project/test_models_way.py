"""The way from run to bundle, as the architecture page has it: traced while one is built."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import FrameType

import onnx
import torch
from pictures_way import OURS, ROOT, arguments_of

from snl_edge.workflow.bundles import build


def test_a_build_hands_its_graphs_to_no_file_that_the_page_leaves_out(run: Path, line: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    section = page.partition("## A model's way")[2].partition("\n## ")[0]
    named = re.findall(r"^\| \d+ \| `(.+?)` \|", section, re.MULTILINE)
    passed: set[str] = set()

    def watch(frame: FrameType, event: str, value: object) -> None:
        path = frame.f_code.co_filename
        if event not in ("call", "return") or not path.startswith(OURS):
            return
        if _holds(arguments_of(frame)) or (event == "return" and _holds(value)):
            file = Path(path).relative_to(ROOT).as_posix()
            passed.add(re.sub(r"^snl_edge/model/\w+\.py$", "snl_edge/model/…", file))

    sys.setprofile(watch)
    try:
        build(run, out=tmp_path / "bundle", precision="fp16", data=line, engine=False)
    finally:
        sys.setprofile(None)
    assert len(named) <= 12
    # Where it begins and ends the model is a folder: the run's, the bundle's.
    assert passed | {"snl_edge/workflow/bundles.py", "snl_edge/runtime/bundle_writer.py"} == set(named)


def _holds(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_holds, value))
    if isinstance(value, dict):
        return any(map(_holds, value.values()))
    return isinstance(value, torch.nn.Module | onnx.ModelProto | onnx.GraphProto)
