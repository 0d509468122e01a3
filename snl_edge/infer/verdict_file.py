"""`verdicts.jsonl`: a line of each picture as soon as it is judged; a call goes on where another was stopped."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from ..atomic import require_replaceable, write_text
from ..errors import DataError, OutputError
from ..outside.json_text import faults, read_model
from .kept_lines import read_lines
from .lines import Line, Run, Settings, Summary
from .names import text_of

VERDICTS = "verdicts.jsonl"
RUN = "infer.json"
_CAUSES = {
    "snl_edge": "another version of snl-edge",
    "bundle": "another bundle",
    "digest": "a bundle of another digest",
    "thresholds": "other thresholds of the bundle",
    "unknown_limit": "another limit of what is unknown",
    "graph": "another graph",
    "engine": "another engine",
    "backend": "another backend or precision",
    "batch": "another batch",
    "threshold": "another --threshold",
    "product": "another --product",
    "compare": "another --compare",
    "overlays": "other overlays",
    "pictures": "more or fewer pictures",
    "paths": "other pictures",
}


def digest_of(paths: Sequence[Path]) -> str:
    """SHA-256 of paths, in their order, wherever the call is made from."""
    return hashlib.sha256(b"\0".join(os.fsencode(os.path.abspath(path)) for path in paths)).hexdigest()  # noqa: PTH100


class VerdictFile:
    """The lines of one call in ``folder``. A context manager.

    Args:
        folder: made if it is not there.
        settings: what the verdicts follow from.
        resume: go on after the lines that an interrupted call with the same settings left; from the beginning where
            there are none.

    Attributes:
        lines: those on disk, in the order of the pictures.

    Raises:
        DataError: what is there is of other settings, or is no file of ours.
        OutputError: ``folder`` cannot be written, is written to by another call, or holds the lines of an interrupted
            one and ``resume`` is not said.
    """

    def __init__(self, folder: Path, settings: Settings, *, resume: bool) -> None:
        self.path, self._run = folder / VERDICTS, folder / RUN
        self._settings = settings
        self.lines: list[Line] = []
        require_replaceable(self.path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            why = error.strerror or str(error)
            raise OutputError(f"cannot write {self.path}", why, "choose a folder you may write to") from error
        self._file = os.fdopen(handle, "r+b", buffering=0)
        try:
            self._end = self._begun(folder, resume=resume)
        except BaseException:
            self._file.close()
            raise

    def _begun(self, folder: Path, *, resume: bool) -> int:
        """Makes the file ready for the next line; returns the bytes of those that stay."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"another call is writing to {folder}", "both would be mixed", "wait for it, or give another --out"
            ) from error
        except OSError:
            pass  # a file system without locks
        before = read_run(self._run)
        size = os.fstat(self._file.fileno()).st_size
        if size and before is None:  # a line's sink writes a file of the same name
            raise OutputError(
                f"{self.path} would be overwritten",
                f"no {RUN} beside it says that infer wrote it",
                "give another --out",
            )
        kept = 0
        if before is not None and resume:
            _require_same(self._run, before.settings, self._settings)
            self.lines, kept = read_lines(self.path, self._settings.pictures)
        elif size and before is not None and before.summary is None:
            raise OutputError(
                f"{folder} holds the verdicts of a call that was interrupted",
                "they would be lost",
                f"go on with --resume, give another --out, or remove {VERDICTS} to begin again",
            )
        if not self.lines:
            write_text(self._run, _json_of(Run(settings=self._settings, summary=None)))
        try:
            self._file.truncate(kept)
            self._file.seek(kept)
        except OSError as error:
            raise self._lost(error) from error
        return kept

    def append(self, line: Line) -> None:
        """Adds a line; it is the kernel's when this returns, and so outlives this process.

        Raises:
            OutputError: it cannot be written; what was there before is whole.
        """
        content = memoryview(json.dumps(line).encode() + b"\n")
        try:
            # A full disk takes a part of a line and refuses the rest.
            while content:
                content = content[self._file.write(content) :]
        except OSError as error:
            with suppress(OSError):  # what stays of it is a torn last line, which --resume knows
                self._file.truncate(self._end)
            raise self._lost(error) from error
        self._end = self._file.tell()
        self.lines.append(line)

    def finish(self, summary: Summary) -> None:
        """Notes that all pictures are judged.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._lost(error) from error
        write_text(self._run, _json_of(Run(settings=self._settings, summary=summary)))

    def _lost(self, error: OSError) -> OutputError:
        there = f"it holds the verdicts of {len(self.lines)} of {self._settings.pictures} pictures"
        return OutputError(
            f"stopped: cannot write {self.path}",
            f"{error.strerror or error}; {there}",
            "make room, then go on with --resume",
        )

    def __enter__(self) -> VerdictFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()


def _json_of(run: Run) -> str:
    return run.model_dump_json(indent=1) + "\n"


def read_run(path: Path) -> Run | None:
    """What stands beside the lines of an earlier call; None if nothing does.

    Raises:
        DataError: it cannot be read, or is not what `infer` writes.
    """
    try:
        return read_model(Run, path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(f"cannot read {path}", error.strerror or str(error)) from error
    except ValueError as error:
        raise DataError(
            f"{path} is not what infer writes", faults(error, limit=1), "give another --out, or remove it"
        ) from error


def _require_same(path: Path, before: Settings, now: Settings) -> None:
    different = [cause for name, cause in _CAUSES.items() if getattr(before, name) != getattr(now, name)]
    if different:
        raise DataError(
            f"cannot go on after what {text_of(path.parent)} holds",
            f"it is now {', '.join(different)}",
            "call it as it was called then, or begin again with another --out",
        )
