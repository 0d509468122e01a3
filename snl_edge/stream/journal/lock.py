"""One line at a time writes to a journal: a lock that the kernel releases when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from ...errors import OutputError

FILE = "lock"


class JournalLock:
    """Holds a journal's folder until `release` or the end of the process.

    Raises:
        OutputError: another line holds it, or its disk has no locks.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / FILE
        self._file = path.open("a+", encoding="ascii")  # not emptied: it may be another line's
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._sign(folder)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.readline().strip() or "unknown"
            self._file.close()
            raise OutputError(
                f"the journal in {folder} is in use",
                f"a line that runs as process {holder} writes to it",
                "stop that line first, or give this one a journal.folder of its own",
            ) from None
        except OSError:
            self._file.close()
            raise

    def _sign(self, folder: Path) -> None:
        """Leaves our number for those who come next; a full disk is no reason not to run."""
        with suppress(OSError):
            if os.geteuid() == 0:  # an operator's command must not leave a file that the service may not open
                owner = folder.stat()
                os.fchown(self._file.fileno(), owner.st_uid, owner.st_gid)
            self._file.truncate(0)
            self._file.write(f"{os.getpid()}\n")
            self._file.flush()

    def release(self) -> None:
        """Lets go."""
        self._file.close()
