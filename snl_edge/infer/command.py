"""The whole of `snl-edge infer`: what is judged, by what, where it is written and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from snl_edge.version import __version__

from ..counted import counted
from ..errors import EngineError
from ..opencv import silence
from ..outside.shown import shown
from ..progress import console, progress_bar
from ..runtime.arguments import require_threshold
from ..runtime.backend import backend_kind
from ..runtime.detector import Detector
from ..runtime.manifest import sha256_of
from ..runtime.tuning import standing_doubts, unusual
from .csv_file import write_csv
from .kept_lines import require_own_lines
from .lines import Line, Settings, Summary, doubtful_depth, summarise
from .names import overlay_names, text_of
from .outputs import require_csv_place, require_room
from .overlay_file import OverlayStyle
from .pipeline import Overlays, Pipeline, Rules
from .sources import find_pictures
from .table import View, print_summary, print_verdicts, warn
from .unchanged import require_unchanged
from .verdict_file import VERDICTS, VerdictFile, digest_of

LARGEST_BATCH = 8
"""More gains nothing and is longer made ready."""


def infer_files(
    arguments: Sequence[str],
    bundle: Path,
    out: Path | None,
    *,
    backend: str = "auto",
    precision: str = "auto",
    threshold: float | None = None,
    product: str | None = None,
    as_json: bool = False,
    compare: bool = True,
    csv: Path | None = None,
    resume: bool = False,
    overlays: OverlayStyle = OverlayStyle(),  # noqa: B008
    view: View = View(),  # noqa: B008
) -> Summary:
    """Judges every image that ``arguments`` (files, folders, globs) name; returns what they say together.

    Prints a table, or with ``as_json`` a JSON line for each as soon as it is judged. With ``out``, that line goes to
    ``verdicts.jsonl`` there first, and an overlay of each beside it. What is wrong with a picture is said in its line.

    Left out, and told, are heatmaps of a line, overlays of infer, and hidden files of folders.

    Args:
        arguments: files, folders, globs.
        bundle: folder.
        out: folder for lines and overlays; None for none.
        backend, precision: as `select_backend`.
        threshold, product, compare: as `Detector.detect`.
        as_json: print JSON lines instead of a table.
        csv: file for a row of each picture, written at the end; None for none.
        resume: go on where a call with the same ``out`` was interrupted.
        overlays: how they are drawn.
        view: what the table shows.

    Raises:
        DataError: an argument names nothing, nothing is left to judge, or ``resume`` finds other settings, lines that
            are not of these pictures, or a picture that was changed since it was judged.
        BundleError, BackendError, EngineError: the bundle cannot be loaded or run.
        ConfigError: the threshold cannot be one, or the product is unknown.
        OutputError: ``out`` or ``csv`` cannot be written or holds what infer did not write; what is there
            is whole.
    """
    silence()
    rules = Rules(None if threshold is None else require_threshold(threshold), product, compare)
    found = find_pictures(arguments)
    for words in found.left_out():
        console.print(words, markup=False, highlight=False)
    drawing = None if out is None else Overlays(out, overlay_names(found.paths, overlays.suffix), overlays)
    if drawing is not None:
        require_room(drawing, bundle)
    if csv is not None:
        require_csv_place(csv, found.paths, bundle, drawing)
    batch = min(LARGEST_BATCH, len(found.paths))
    with Detector.load(bundle, backend=backend, precision=precision, max_batch=batch) as detector:
        console.print(detector.backend_reason)
        for words in _odd(detector, rules):
            console.print(f"doubtful: {shown(words)}", soft_wrap=True, markup=False)
        lines = _judge(detector, found.paths, rules, drawing, as_json=as_json, resume=resume)
    if csv is not None:
        write_csv(csv, lines)
    summary = summarise(lines)
    if not as_json:
        print_verdicts(lines, view)
        print_summary(lines, summary)
    if out is not None:
        overlaid = sum("overlay" in line for line in lines)
        console.print(
            f"{counted(len(lines), 'verdict')} in {shown(out / VERDICTS)}, {counted(overlaid, 'overlay')} beside it",
            soft_wrap=True,
            markup=False,
            highlight=False,
        )
    if (depth := doubtful_depth(lines)) is not None:
        warn(depth)
    return summary


def _judge(
    detector: Detector, paths: Sequence[Path], rules: Rules, overlays: Overlays | None, *, as_json: bool, resume: bool
) -> list[Line]:
    """The lines of all pictures; each is on disk, where ``overlays`` says, before anyone hears of it."""
    lines: list[Line] = []
    with ExitStack() as stack:
        kept: VerdictFile | None = None
        if overlays is not None:
            settings = _settings(detector, paths, rules, overlays.style)
            kept = stack.enter_context(VerdictFile(overlays.folder, settings, resume=resume))
            judge = detector.bundle.manifest, detector.backend.precision
            require_own_lines(kept.lines, paths, *judge, rules, overlays, kept.path)
            require_unchanged(kept.lines, paths, overlays.folder)
            lines += kept.lines
        if lines:
            console.print(f"going on after {len(lines)} of {len(paths)} images")
        report = stack.enter_context(progress_bar("inspecting"))
        # Closed at once where something ends it: its threads go on with nothing.
        coming = stack.enter_context(closing(Pipeline(detector, rules, overlays).lines(paths, len(lines))))
        try:
            for line in _all(lines, coming, kept):
                if as_json:
                    print(json.dumps(line), flush=True)  # noqa: T201
                report(len(lines), len(paths))
        except (KeyboardInterrupt, EngineError):
            if kept is not None:
                warn(f"{len(lines)} of {len(paths)} images are judged and in {text_of(kept.path)}; --resume goes on")
            raise
        if kept is not None:
            kept.finish(summarise(lines))
    return lines


def _odd(detector: Detector, rules: Rules) -> list[str]:
    """What is doubtful of the thresholds that will decide."""
    manifest = detector.bundle.manifest
    manifest.threshold_for(rules.product)  # refuses a product that was not learned, before anything is written
    if rules.threshold is None:
        return list(standing_doubts(manifest).values())
    names = manifest.products if rules.product is None else (rules.product,)
    return [words for name in names if (words := unusual(manifest, name, rules.threshold))]


def _settings(detector: Detector, paths: Sequence[Path], rules: Rules, overlays: OverlayStyle) -> Settings:
    bundle, backend = detector.bundle, detector.backend
    manifest, sha256 = bundle.manifest, sha256_of(backend.artifact)
    is_engine = backend_kind(backend.name).flavour is not None
    return Settings(
        snl_edge=__version__,
        bundle=manifest.name,
        digest=bundle.root,
        thresholds={name: manifest.threshold_for(name, backend.precision) for name in manifest.products},
        unknown_limit=manifest.unknown_limit,
        graph=None if is_engine else sha256,
        engine=sha256 if is_engine else None,
        backend=backend.description,
        batch=backend.max_batch,
        threshold=rules.threshold,
        product=rules.product,
        compare=rules.compare,
        overlays=f"{overlays.format}, {overlays.longest}",
        pictures=len(paths),
        paths=digest_of(paths),
    )


def _all(lines: list[Line], coming: Iterator[Line], kept: VerdictFile | None) -> Iterator[Line]:
    """The lines that are there already, then those that come, which go to the file before anyone hears of them."""
    yield from tuple(lines)
    for line in coming:
        if kept is not None:
            kept.append(line)
        lines.append(line)
        yield line
