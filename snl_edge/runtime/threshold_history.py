"""``thresholds.jsonl``: each change of the thresholds in force since the build, in the order in which they were made.

A line says what was changed, by whom and why, and carries the digest of the line before it; the first that of the
manifest. So no line can be changed, taken out or put elsewhere unseen, and none belongs to another bundle. What the
chain cannot show is that its last lines were cut off as whole lines.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..errors import BundleError, ConfigError, OutputError
from ..outside.files import MOST_TEXT, readable_size
from ..outside.json_text import faults, parse_json
from ..provenance import now
from .file_lock import locked
from .manifest import FILE as MANIFEST
from .manifest import Manifest, Sha256
from .manifest_file import canonical, read_manifest, root_of
from .thresholds import Thresholds

FILE = "thresholds.jsonl"
LONGEST = 500
"""Of a name or a reason, in characters."""
LONGEST_LINE = 1 << 20
"""Bytes. What a power cut left of a line is no longer either."""
Kind = Literal["set", "reset", "kept"]
"""``reset``: back to what training chose; ``kept``: taken over by a build from the bundle that it replaced, with the
name, the reason and the time of whoever set it. Builds of before put one such line of their own, for all values."""


def _readable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it holds characters that cannot be shown")
    return text


Words = Annotated[str, Field(max_length=LONGEST), AfterValidator(_readable)]


class Change(BaseModel):
    """A line of the history."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    line: int = Field(ge=1)
    time: str
    """ISO 8601, UTC."""
    by: Words
    why: Words = ""
    kind: Kind
    before: Thresholds = Field(alias="from")
    after: Thresholds = Field(alias="to")
    previous: Sha256
    """Digest of the line before, or what the bundle's chain begins from."""
    digest: Sha256

    @classmethod
    def make(cls, **said: Any) -> Change:
        """The line with its digest.

        Raises:
            ValidationError: it cannot be.
        """
        unsigned = cls(digest="0" * 64, **said)
        return unsigned.model_copy(update={"digest": _digest(unsigned)})

    def plain(self) -> dict[str, Any]:
        """As data, in the order of the file."""
        own = {"line": self.line, "time": self.time, "by": self.by, "why": self.why, "kind": self.kind}
        values = {"from": self.before.plain(), "to": self.after.plain()}
        return own | values | {"previous": self.previous, "digest": self.digest}

    def __str__(self) -> str:
        """As ``gear 0.412 → 0.510``, whichever of them it changed."""
        return self.after.changed_from(self.before)

    @property
    def author(self) -> str:
        """Who made it and when, in words."""
        return f"{self.by} on {self.time}{', kept by a build' if self.kind == 'kept' else ''}"

    def text(self) -> str:
        """As it stands in the file, without the end of the line."""
        return json.dumps(self.plain(), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True)
class History:
    """What `read_history` found."""

    changes: tuple[Change, ...] = ()
    torn: int = 0
    """Bytes of a last line that a power cut left unfinished: it was never in force."""

    def over(self, built: Manifest) -> Manifest:
        """The manifest with the thresholds in force.

        Raises:
            ConfigError: a change is of a product that the manifest does not know.
        """
        values: dict[str, Any] = {}
        products: dict[str, float | None] = {}
        for change in self.changes:
            said = change.after.plain()
            products |= said.pop("product_thresholds", {})
            values |= said
        return Thresholds(**values, product_thresholds=products).over(built)

    def last(self, single: Thresholds) -> Change | None:
        """What changed last the one that ``single`` speaks of."""
        return next((own for own in reversed(self.changes) if own.after.names(single)), None)


UNCHANGED = History()


class Wanted(NamedTuple):
    """A change that somebody asks for."""

    after: Thresholds
    kind: Kind
    by: str
    why: str
    time: str | None = None
    """ISO 8601, UTC; now if not given."""


def history_text(root: str, built: Manifest, kept: Sequence[Wanted]) -> str:
    """The history of a new bundle: a line for each value kept from the one before it."""
    history = History()
    for wanted in kept:
        history = History((*history.changes, _next(root, history, history.over(built), wanted)))
    return "".join(change.text() + "\n" for change in history.changes)


def read_history(bundle: Path, root: str, *, required: bool) -> History:
    """Reads the history of the bundle ``bundle`` and checks its chain from ``root`` on.

    Args:
        bundle: its folder.
        root: what the chain begins from (`manifest_file.root_of`).
        required: whether there must be one: a bundle whose build wrote one has lost its thresholds without it.

    Raises:
        BundleError: it is missing, cannot be read, or a line is damaged, missing or of another bundle.
    """
    path = bundle / FILE
    try:
        with locked(path, os.O_RDONLY) as file:
            content = _content(file)
    except FileNotFoundError as error:
        if not required:
            return History()
        raise BundleError(f"{path} is missing", "the thresholds in force are unknown without it", _FIX) from error
    except OSError as error:
        raise BundleError(f"cannot read {path}", error.strerror or str(error), "check path and permissions") from error
    return parse_history(path, content, root)


def parse_history(path: Path, content: bytes, root: str) -> History:
    """What the content of the file ``path`` says, its chain beginning from ``root``.

    Raises:
        BundleError: as `read_history`.
    """
    *lines, rest = content.split(b"\n")
    if len(rest) > LONGEST_LINE:
        raise BundleError(f"{path} is damaged", f"its last line has {len(rest):,} bytes, and no end", _FIX)
    changes: list[Change] = []
    for number, line in enumerate(lines, 1):
        previous = changes[-1].digest if changes else root
        change = _line(line)
        if isinstance(change, str):
            raise BundleError(f"line {number} of {path} is damaged", change, _FIX)
        if change.line != number or change.previous != previous:
            why = "lines before it are missing or changed" if changes or change.line != 1 else _OTHER
            raise BundleError(f"line {number} of {path} does not follow", why, _FIX)
        changes.append(change)
    # A line that is whole but for its end was not torn: its end was changed.
    if rest and isinstance(_line(rest[:-1]), Change):
        raise BundleError(f"line {len(lines) + 1} of {path} is damaged", "it does not end as a line", _FIX)
    return History(tuple(changes), len(rest))


def add_change(
    bundle: Path, root: str, built: Manifest, wanted: Wanted, allowed: Callable[[Manifest], object]
) -> History:
    """Puts a change on record, which is what puts it into force; returns the history with it.

    One writer at a time, and each goes on from what the one before it wrote. What changes nothing is not recorded.

    Args:
        bundle: its folder.
        root: as for `read_history`, as it was when the bundle was opened.
        built: its manifest.
        wanted: the change.
        allowed: is told the thresholds in force, under the lock, and raises if the change may not be made over these.

    Raises:
        ConfigError: the change cannot be: its product is unknown, or its name or reason too long.
        BundleError: the history is damaged, or the bundle was built again since it was opened.
        OutputError: it cannot be written.
    """
    path = bundle / FILE
    try:
        with locked(path, os.O_RDWR | os.O_APPEND | os.O_CREAT) as file:
            _require_same(bundle, root)
            history = parse_history(path, _content(file), root)
            present = history.over(built)
            allowed(present)
            if wanted.after.over(present) == present:
                return history
            change = _next(root, history, present, wanted)
            if not history.changes:
                _sync_folder(bundle)  # the file may be new
            _append(file, history.torn, (change.text() + "\n").encode())
    except OSError as error:
        raise OutputError(
            f"cannot write {path}", error.strerror or str(error), "check permissions and free space"
        ) from error
    return History((*history.changes, change))


_FIX = (
    f"copy {FILE} again from a whole copy of the bundle, or go back to the thresholds of the build: put an empty file "
    "in its place"
)


def _next(root: str, history: History, present: Manifest, wanted: Wanted) -> Change:
    try:
        return Change.make(
            line=len(history.changes) + 1,
            time=wanted.time or now(),
            by=wanted.by,
            why=wanted.why,
            kind=wanted.kind,
            before=wanted.after.same_of(present),
            after=wanted.after,
            previous=history.changes[-1].digest if history.changes else root,
        )
    except ValidationError as error:
        raise ConfigError("this change cannot be put on record", faults(error), "say it otherwise") from error


def _digest(change: Change) -> str:
    said = {name: value for name, value in change.plain().items() if name != "digest"}
    return hashlib.sha256(canonical(said)).hexdigest()


_OTHER = f"it belongs to another bundle, or {MANIFEST} is another since"


def _line(line: bytes) -> Change | str:
    """A line, or why it is none."""
    try:
        change = Change.model_validate(parse_json(line))
        if change.text().encode() != line:
            return "it is not as it was written"
    except ValidationError as error:
        return faults(error)
    except ValueError as error:  # no UTF-8, no JSON
        return str(error)
    return change if change.digest == _digest(change) else "its digest is not that of what it says"


def _content(file: int) -> bytes:
    if (size := os.fstat(file).st_size) > MOST_TEXT:
        raise OSError(errno.EFBIG, f"it has {readable_size(size)}, and a history may have {readable_size(MOST_TEXT)}")
    os.lseek(file, 0, os.SEEK_SET)
    with os.fdopen(os.dup(file), "rb") as reader:
        return reader.read()


def _append(file: int, torn: int, line: bytes) -> None:
    """The line as a whole, on the disk, in the place of what a power cut left; or the file as it was."""
    end = os.fstat(file).st_size - torn
    os.ftruncate(file, end)
    try:
        written = os.write(file, line)
        if written < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file)
    except BaseException:
        os.ftruncate(file, end)
        raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _require_same(bundle: Path, root: str) -> None:
    path = bundle / MANIFEST
    if root_of(path, read_manifest(path)) != root:
        raise BundleError(
            f"bundle {bundle} was built again since it was opened",
            "a threshold chosen for the earlier one means nothing in it",
            "look at the new one, and set it again",
        )
