"""The command line in a fork of a process that has loaded PyTorch: what a command does is the same, its start is not.

Loading PyTorch, timm and ONNX takes longer than most commands of the tests, and there are a hundred. ``python
tests/warm_commands.py`` loads them once, then forks for each command that it reads, a line of JSON, and answers with
its exit status, or nothing where it was killed as too slow.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

LOADED = ("torch", "timm", "torch.onnx", "onnxscript", "onnx", "onnxsim", "scipy.stats", "snl_edge.cli")
"""What commands need; none of it starts a thread by being loaded, so that a fork of it is whole."""


class WarmCommands:
    """Runs commands as ``python -m snl_edge`` would; starts the process that waits with the first one."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None

    def run(self, arguments: list[str], cwd: Path, timeout: float) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` with captured text.

        Raises:
            subprocess.TimeoutExpired: it was killed after ``timeout`` seconds.
        """
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            asked = {"arguments": arguments, "cwd": str(cwd), "timeout": timeout, "out": str(out), "err": str(err)}
            asked["environment"] = dict(os.environ)  # as it is by now
            self._server.stdin.write(json.dumps(asked) + "\n")
            self._server.stdin.flush()
            status = json.loads(self._server.stdout.readline())
            command = [sys.executable, "-m", "snl_edge", *arguments]
            if status is None:
                raise subprocess.TimeoutExpired(command, timeout, out.read_text(), err.read_text())
            return subprocess.CompletedProcess(command, status, out.read_text(), err.read_text())

    def close(self) -> None:
        """Ends the process that waits."""
        if self._server is not None:
            self._server.communicate()


def serve() -> None:
    """The process that waits; returns, in a fork, to run the command there."""
    for name in LOADED:
        with contextlib.suppress(ImportError):  # the tests that run without it need none of it
            importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        asked = json.loads(line)
        if (child := os.fork()) == 0:
            answers.close()
            _become(asked)
            return
        answers.write(json.dumps(_wait(child, asked["timeout"])) + "\n")
        answers.flush()
    os._exit(0)


def _become(asked: dict[str, object]) -> None:
    """Makes this process what a new one would be: its folder, its streams, its arguments."""
    environment = asked["environment"]
    assert isinstance(environment, dict)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(str(asked["cwd"]))
    for number, place, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, asked["out"], os.O_WRONLY | os.O_CREAT),
        (2, asked["err"], os.O_WRONLY | os.O_CREAT),
    ):
        opened = os.open(str(place), flags)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - the server's own may have read ahead
    arguments = asked["arguments"]
    assert isinstance(arguments, list)
    sys.argv = ["snl-edge", *arguments]
    sys.path[0] = str(asked["cwd"])


def _wait(child: int, timeout: float) -> int | None:
    """The child's exit status as `subprocess` gives it; None where it had to be killed."""
    end = time.monotonic() + timeout
    pause = 0.001
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def _run() -> int:
    """Runs the command that this process has become; its exit status as the interpreter makes it."""
    from snl_edge.__main__ import main

    try:
        main()
    except SystemExit as ended:
        if not isinstance(ended.code, str):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    serve()
    status = _run()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    # Not by the interpreter's end: libraries wait there for threads that a fork does not have.
    os._exit(status)
