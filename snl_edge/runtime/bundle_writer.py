"""Writing a bundle: built beside its place, then moved there, so that a half-written one never exists."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..atomic import replacing_folder
from ..errors import BundleError, SnlEdgeError
from ..progress import console
from ..provenance import now, who
from .bundle import Bundle
from .file_lock import locked
from .kept_files import keep_files, tell_what_is_gone
from .manifest import FILE, BundleContent, Manifest, Precision, sha256_of
from .manifest_file import manifest_text, read_manifest, root_of
from .signature import ANYBODY
from .threshold_history import FILE as HISTORY
from .threshold_history import Wanted, history_text
from .tuning import Tuning


def write_bundle(
    folder: Path,
    graphs: Mapping[Precision, Path],
    content: BundleContent,
    *,
    attachments: Mapping[str, str | bytes] | None = None,
    kept_tuning: Callable[[Bundle], Tuning] | None = None,
) -> Bundle:
    """Writes graphs, what goes with them (``attachments``: texts or bytes, by path) and a manifest of ``content``.

    An earlier bundle at ``folder`` is replaced as a whole; of the thresholds that were set in it stay those that
    ``kept_tuning`` says, as the first lines of the new bundle's history. Nobody can set one meanwhile.
    Engines and signature of an earlier bundle go with it, as they were made for its graphs; that is said. What else
    lies there is kept (`keep_files`), but for a report that tells of another model.

    Raises:
        BundleError: a graph is missing, the manifest would not be valid, or ``folder`` is no bundle, or holds what no
            build wrote under the name of a new file.
        OutputError: the place cannot be written.
    """
    folder = Path(folder)
    _check_replaceable(folder)
    with ExitStack() as until_it_is_there, replacing_folder(folder) as new:
        # Precisions that share a graph share its file.
        owners: dict[Path, str] = {}
        for precision, graph in graphs.items():
            owners.setdefault(graph, f"{precision}.onnx")
        for graph, file in owners.items():
            _copy_synced(graph, new / file)
        for file, attached in (attachments or {}).items():
            _write_synced(new / file, attached)
        manifest = Manifest.checked(
            **dict(content),
            created=now(),
            graphs={precision: owners[graph] for precision, graph in graphs.items()},
            files={name: sha256_of(new / name) for name in [*owners.values(), *(attachments or {})]},
        )
        text = _text(manifest)
        _write_synced(new / FILE, text)
        until_it_is_there.enter_context(_nobody_sets_thresholds(folder))
        earlier, known = _earlier(folder)
        tuning = kept_tuning(earlier) if kept_tuning and earlier and known else Tuning()
        kept = _kept(earlier, tuning) if earlier is not None else []
        _write_synced(new / HISTORY, history_text(json.loads(text)["digest"], manifest, kept))
        if earlier is not None:
            keep_files(earlier, Bundle.peek(new), known=known)
            tell_what_is_gone(earlier)
    return Bundle.open(folder, ANYBODY)  # nobody can have signed it yet


def _check_replaceable(folder: Path) -> None:
    """Only a bundle or an empty folder may be replaced: a mistyped path must not cost anyone their data."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        read_manifest(folder / FILE)
    except SnlEdgeError as error:
        raise BundleError(
            f"{folder} exists and is no bundle", error.why, "choose another folder, or remove it first"
        ) from error


@contextmanager
def _nobody_sets_thresholds(folder: Path) -> Iterator[None]:
    """A threshold set in the bundle ``folder`` while another takes its place would be lost: whoever sets one waits, and
    is then told."""
    if not (folder / HISTORY).is_file():
        yield
        return
    with locked(folder / HISTORY, os.O_RDONLY):
        yield


def _earlier(folder: Path) -> tuple[Bundle | None, bool]:
    """The bundle to be replaced, if there is one, and whether the thresholds in force in it are known.

    What damaged its history is said: a build is the remedy.
    """
    if not (folder / FILE).is_file():
        return None, True
    try:
        return Bundle.peek(folder), True
    except BundleError as error:
        console.print(f"thresholds set in the bundle {folder} are not kept: {error}", markup=False, highlight=False)
    manifest = read_manifest(folder / FILE)
    return Bundle(folder, manifest, root_of(folder / FILE, manifest)), False


def _kept(earlier: Bundle, tuning: Tuning) -> list[Wanted]:
    """What goes on record of each value that is kept: who set it, why and when, in the order in which they did."""
    found = [(earlier.history.last(one), one) for one in tuning.thresholds.single()]
    known = [(change.line, Wanted(one, "kept", change.by, change.why, change.time)) for change, one in found if change]
    unknown = f"it stood in the bundle of {earlier.built.created}, which does not say who set it"
    return [
        *(Wanted(one, "kept", who(), unknown) for change, one in found if change is None),
        *(wanted for _, wanted in sorted(known, key=lambda own: own[0])),
    ]


def _text(manifest: Manifest) -> str:
    try:
        return manifest_text(manifest)
    except ValueError as error:
        raise BundleError("this bundle would not be valid", str(error), "correct what is named") from error


def _copy_synced(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError as error:
        raise BundleError(f"graph {source} is missing", fix="give a graph that is there") from error
    with target.open("rb") as written:
        os.fsync(written.fileno())


def _write_synced(target: Path, content: str | bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
