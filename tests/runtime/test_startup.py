"""What a start of the command line imports: no more than it needs, or every call on a small device pays for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.everywhere

HEAVY = ("torch", "onnx", "onnxruntime", "openvino", "cv2", "numpy", "rich", "matplotlib", "jinja2")
"""Not pydantic: typer itself looks for it when it reads a command's options."""

PROGRAM = """
import sys
sys.argv = ["snl-edge", *sys.argv[1:]]
from snl_edge.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(",".join(sorted({name.split(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def start(*arguments: str) -> tuple[str, set[str]]:
    """What the command line prints, and the top-level modules that it imported."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, set(done.stderr.strip().splitlines()[-1].split(","))


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("train", "--help"), ("bench", "--help")])
def test_help_and_version_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    printed, modules = start(*arguments)
    assert printed.strip()
    assert "typer" in modules
    assert not modules & set(HEAVY)


def test_help_is_plain_and_shows_whole_sentences() -> None:
    printed, _ = start("--help")
    commands = printed.partition("Commands:")[2]
    assert commands
    assert "..." not in commands
    assert "Measure detection on a labelled test set and write an HTML report." in " ".join(commands.split())
    assert "[bold]" not in start("infer", "--help")[0]
