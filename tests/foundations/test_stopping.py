"""A command that is told to end puts its files in order first, and says by its status which signal it was."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import sys, time
from pathlib import Path
import signal
if sys.argv[2:] != ["nohup"]:  # whoever runs the tests in the background may ignore these
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
from snl_edge.__main__ import main
from snl_edge.atomic import replacing
from snl_edge.cli.app import app

@app.command()
def write(target: Path):
    with replacing(target) as temporary:
        temporary.write_text("half")
        print("ready", flush=True)
        time.sleep(60)

sys.argv = ["snl-edge", "write", sys.argv[1]]
main()
"""


def stopped(folder, *numbers, before=()):
    """Status and last words of a command that gets these signals while it writes a file."""
    process = subprocess.Popen(
        [*before, sys.executable, "-c", PROGRAM, folder / "file", *before],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for number in numbers:
        process.send_signal(number)
    _, said = process.communicate(timeout=30)
    return process.returncode, said


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
def test_a_stop_leaves_no_temporary_file_and_no_traceback(tmp_path, number, status):
    assert stopped(tmp_path, number) == (status, "snl-edge: interrupted.\n")
    assert not list(tmp_path.iterdir())


def test_a_second_request_does_not_cut_the_first_short(tmp_path):
    """A supervisor may send it to the process and to its group."""
    assert stopped(tmp_path, signal.SIGTERM, signal.SIGTERM) == (143, "snl-edge: interrupted.\n")
    assert not list(tmp_path.iterdir())


def test_nohup_holds(tmp_path):
    status, _ = stopped(tmp_path, signal.SIGHUP, signal.SIGTERM, before=("nohup",))
    assert status == 143


# While the command line is imported, while it reads its arguments, and when it has done its work.
MOMENTS = {
    "import": """
class Finder:
    def find_spec(self, name, *_):
        if name == 'typer': stop()
sys.meta_path.insert(0, Finder())
""",
    "arguments": """
from typer.core import TyperGroup
TyperGroup.parse_args = lambda *_: stop()
""",
    "end": """
import snl_edge.cli
app = sys.modules['snl_edge.cli.app']
app.app = lambda: None
class Stdout:
    def flush(self): stop()
app.open_stdout = lambda: setattr(sys, 'stdout', Stdout())
""",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_stop_around_a_command_is_no_traceback(moment):
    program = (
        "import os, signal, sys\n"
        "from snl_edge.__main__ import main\n"
        "def stop(): os.kill(os.getpid(), signal.SIGTERM)\n"
        f"{MOMENTS[moment]}\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (143, "snl-edge: interrupted.\n")
