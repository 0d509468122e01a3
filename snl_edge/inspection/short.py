"""What `snl-edge inspect` tells of a bundle first: what a technician at the line asks, on a screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from snl_edge.counted import counted

from ..runtime.bundle import Bundle
from ..runtime.engine_record import EngineRecord
from ..runtime.manifest import WITHOUT_DIGEST, Manifest
from ..runtime.thresholds import Thresholds
from ..runtime.tuning import standing_doubts, trained_threshold, unusual
from .text import columns, size_of_graph

PRODUCTS, DOUBTS, CHANGES, ENGINES = 10, 4, 3, 4
"""How many of each are named; the rest is counted."""
VERSIONS = ("snl-edge", "torch", "onnx")
"""Those that a bundle's graphs depend on most."""


def bundle_summary(
    bundle: Bundle, refused: str, engines: Sequence[tuple[EngineRecord, str]], signature: str
) -> list[str]:
    """A bundle whose files are as they were written.

    Args:
        bundle: the bundle.
        refused: why nothing may use it; empty if it may be used.
        engines: its engines, each with its state.
        signature: what is to be said of its signature.
    """
    manifest = bundle.manifest
    broken = sum(state != "intact" for _, state in engines)
    state = f"{broken} of {counted(len(engines), 'engine')} cannot be used" if broken else "intact"
    return [
        *([f"refused for use: {refused}"] if refused else []),
        f"bundle {bundle.path}: {state}",
        *([NOTHING_VOUCHES] if manifest.schema_version == WITHOUT_DIGEST else []),
        "",
        *_some("doubt", [*standing_doubts(manifest).values(), *manifest.doubts], DOUBTS),
        f"{counted(len(manifest.products), 'product')}, with the thresholds in force",
        *columns(_products(bundle)),
        "",
        *columns(
            [
                ("unknown", f"above a product distance of {manifest.unknown_limit:.3f}{_changed(bundle, None)}"),
                ("input", _input(manifest)),
                ("graphs", ", ".join(f"{name} {size_of_graph(bundle, name)}" for name in manifest.graphs)),
                *(
                    ("engine", f"{record.file} ({record.gpu or 'any GPU listed'}): {own}")
                    for record, own in _named(engines)
                ),
                *([("engines", f"and {len(engines) - ENGINES} more")] if len(engines) > ENGINES else []),
                ("gates", _gates(manifest)),
                ("signature", signature),
                *_lineage(bundle),
            ]
        ),
        "",
        _changes_counted(bundle),
        *(f"  {text}" for text in changes_told(bundle, CHANGES)),
        "",
        f"all of it: snl-edge inspect {bundle.path} --long",
    ]


NOTHING_VOUCHES = (
    f"nothing vouches for the numbers in its manifest (schema version {WITHOUT_DIGEST}): build it again from its run"
)


def _changes_counted(bundle: Bundle) -> str:
    kept = sum(own.kind == "kept" for own in bundle.history.changes)
    made = counted(len(bundle.history.changes) - kept, "change")
    return f"{made} of thresholds since the build{f', {kept} kept from before it' if kept else ''}"


def changes_told(bundle: Bundle, most: int | None = None) -> list[str]:
    """The last changes of the thresholds, the latest first; all if not told how many."""
    changes = list(reversed(bundle.history.changes))[:most]
    return [f"{own.time}  {own.kind} {own}, by {own.by}{f': {own.why}' if own.why else ''}" for own in changes]


def lineage(bundle: Bundle) -> list[tuple[str, str]]:
    """Where the bundle came from: data, run, build, and what vouches for all of it."""
    return list(_lineage(bundle))


def _lineage(bundle: Bundle) -> Iterator[tuple[str, str]]:
    manifest, run = bundle.manifest, bundle.manifest.lineage
    weights = f"weights {(manifest.weights_sha256 or 'not noted')[:16]}"
    if run is None:
        yield "run", f"{manifest.name}, {weights}; the bundle is from before more was noted"
    else:
        record = f"record {run.images_sha256[:16]}" if run.images_sha256 else "the run keeps no record of them"
        yield "data", f"{run.images} images, {run.trained_images} of them trained on; {record}"
        start = f", trained on from weights {run.start_weights[:16]}" if run.start_weights else ""
        yield "run", f"{manifest.name}, {run.steps} steps, seed {run.seed}, {run.trained}; {weights}{start}"
    versions = [f"{name} {manifest.versions[name]}" for name in VERSIONS if name in manifest.versions]
    where = f" on {run.host}" if run else ""
    yield "built", f"{manifest.created}{where}; {', '.join(versions) or 'versions not noted'}"
    yield "digest", bundle.root


def _products(bundle: Bundle) -> list[tuple[str, str]]:
    """Those that somebody changed or that are doubtful first."""
    manifest = bundle.manifest

    def own(product: str) -> bool:
        return bool(_changed(bundle, product)) or bool(unusual(manifest, product))

    named = sorted(manifest.products, key=lambda product: not own(product))
    rows = [
        (product, f"{manifest.threshold_for(product):.3f}{_changed(bundle, product)}") for product in named[:PRODUCTS]
    ]
    rest = named[PRODUCTS:]
    changed = sum(map(own, rest))
    return rows + ([("…", f"and {len(rest)} more, {changed} of them changed or doubtful")] if rest else [])


def _changed(bundle: Bundle, product: str | None) -> str:
    """Who set the threshold of ``product`` last, in words; None: the limit of unknown products."""
    if product is None:
        change = bundle.history.last(Thresholds(unknown_limit=bundle.manifest.unknown_limit))
        chosen = ""
    else:
        change = bundle.history.last(Thresholds(product_thresholds={product: None}))
        trained = trained_threshold(bundle.manifest, product)
        chosen = "" if bundle.manifest.threshold_for(product) == trained else f"; training chose {trained:.3f}"
    if change is None:
        return f" (set by hand{chosen})" if chosen else ""
    return f" ({'reset' if change.kind == 'reset' else 'set'} by {change.author}{chosen})"


def _input(manifest: Manifest) -> str:
    takes = "pictures of any size" if manifest.input.frame is None else f"frames of {manifest.input.frame} alone"
    return f"{manifest.input.width}x{manifest.input.height}, from {takes}; batch up to {manifest.input.max_batch}"


def _gates(manifest: Manifest) -> str:
    said = {True: "passed", False: "FAILED, and shipped with --force"}
    told = [f"{name} {said[manifest.passed(name)]}" for name in manifest.gates]
    return ", ".join(told) or "none was needed"


def _named(engines: Sequence[tuple[EngineRecord, str]]) -> list[tuple[EngineRecord, str]]:
    """Those that cannot be used first."""
    return sorted(engines, key=lambda own: own[1] == "intact")[:ENGINES]


def _some(name: str, lines: Sequence[str], most: int) -> list[str]:
    if not lines:
        return [f"no {name}s", ""]
    more = [f"  and {len(lines) - most} more"] if len(lines) > most else []
    return [f"{counted(len(lines), name)}:", *(f"  {text}" for text in lines[:most]), *more, ""]
