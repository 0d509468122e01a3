"""One end of a worker: starts the process that a contender lives in, and asks it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from snl_edge import errors
from snl_edge.errors import SnlEdgeError

from .worker import SubjectSpec

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Contender:
    """A process with something to measure in it; a context manager that ends it.

    Args:
        name: how people call it.
        spec: what is measured.
        threads: of its libraries, equal for all contenders.
        python: another environment's interpreter.

    Attributes:
        about: what the worker said of itself.

    Raises:
        SnlEdgeError: it could not be loaded; of the class that the worker raised.
    """

    def __init__(self, name: str, spec: SubjectSpec, threads: int, python: Path | None = None) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  closed in close()
        what = type(spec)
        worker = [str(python or sys.executable), "-m", "snl_edge.benchmarks.worker"]
        self._process = subprocess.Popen(
            [*worker, what.__module__, what.__qualname__, spec.model_dump_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))},
        )
        try:
            self.about = self._read()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The worker's process."""
        return self._process.pid

    def ask(self, question: str, **arguments: Any) -> dict[str, Any]:
        """The worker's answer.

        Raises:
            SnlEdgeError: it failed, or the process ended.
        """
        assert self._process.stdin is not None
        try:
            print(json.dumps({"ask": question, **arguments}), file=self._process.stdin, flush=True)
        except BrokenPipeError as error:
            raise self._ended() from error
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        answer = json.loads(line)
        if "error" in answer:
            name, what, why, fix = answer["error"]
            error_class = getattr(errors, name, SnlEdgeError)
            raise error_class(what if error_class is not SnlEdgeError else f"{self.name} failed", why, fix)
        return answer

    def _ended(self) -> SnlEdgeError:
        code = self._process.wait()
        self._errors.seek(0)
        last = [line for line in self._errors.read().splitlines() if line.strip()][-1:]
        reason = f"signal {-code}: out of memory?" if code < 0 else f"exit code {code}"
        return SnlEdgeError(f"the process of {self.name} ended", " ".join([reason, *last]), "look at `dmesg`")

    def close(self) -> None:
        """Ends the process; a second call does nothing."""
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with suppress(BrokenPipeError):  # it has died with a question unread
                    stream.close()
        try:
            self._process.wait(timeout=10)  # a worker ends when its questions do
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Contender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
