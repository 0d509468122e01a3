"""A bundle: the folder that is all a device needs. Opening it checks every file."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from snl_edge.scoring.scale import DECISION

from ..arguments import require_kind, require_path
from ..errors import BundleError, ConfigError
from ..provenance import who
from .engine_record import EngineRecord, read_record
from .manifest import FILE, HIGHEST, KNOWN, WITHOUT_DIGEST, Manifest, Precision, sha256_of
from .manifest_file import read_manifest, root_of
from .origin import check_origin
from .remedies import build_again
from .signature import Signature, Trust, configured_trust, require_signed
from .threshold_history import UNCHANGED, History, Kind, Wanted, add_change, read_history
from .thresholds import Thresholds

ENGINES = "engines"
_USABLE = f"give a number above 0 and up to {HIGHEST:g}"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bundle:
    """An opened bundle; its graphs were whole when it was opened."""

    path: Path
    built: Manifest
    """As `manifest.json` says, which nothing rewrites."""
    root: str
    """What vouches for the whole bundle: the manifest's digest; of version 2 the SHA-256 of its file."""
    history: History = UNCHANGED
    """What changed of the thresholds since the build."""
    unsaved: tuple[Thresholds, Kind] | None = None
    """A change that is not yet in the history."""

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest with the thresholds in force, and with what is not saved yet."""
        saved = self.history.over(self.built)
        return saved if self.unsaved is None else self.unsaved[0].over(saved)

    signature: Signature | None = None
    """Checked; None where nobody asks for one."""

    @classmethod
    def open(cls, path: Path | str, trust: Trust | None = None) -> Bundle:
        """Reads manifest and history and checks that every file that the manifest lists is there and unchanged.

        Args:
            path: the bundle's folder.
            trust: whose signatures count; what the environment says if not given (`configured_trust`).

        Raises:
            BundleError: the folder is no bundle, a file is missing or damaged, it is of an earlier model of the
                run in whose folder it lies, or nobody who is trusted has signed it.
            ConfigError: signatures are asked for and cannot be checked.
        """
        if trust is not None:
            require_kind(trust, "trust", Trust, "leave it out, or give a Trust(keys=folder)")
        bundle = cls.peek(path)
        check_origin(bundle.path, bundle.built)
        signature = require_signed(bundle.path, bundle.root, configured_trust() if trust is None else trust)
        return replace(bundle._whole(), signature=signature)

    @classmethod
    def read(cls, path: Path) -> Bundle:
        """As `open`, to look at: one of an earlier model of its run is not refused, nor one that nobody signed.

        Raises:
            BundleError: the folder is no bundle, or a file is missing or damaged.
        """
        return cls.peek(path)._whole()

    @classmethod
    def peek(cls, path: Path | str) -> Bundle:
        """Manifest and history alone: what the bundle says, without a look at its graphs.

        Raises:
            BundleError: the folder is no bundle, or one of the two is missing or damaged.
        """
        folder = require_path(path, "the bundle's folder")
        file = folder / FILE
        manifest = read_manifest(file)
        root = root_of(file, manifest)
        history = read_history(folder, root, required=manifest.schema_version > WITHOUT_DIGEST)
        if history.torn:
            _log.warning("%s", torn_told(folder, history))
        return cls(folder, manifest, root, history)

    def _whole(self) -> Bundle:
        for name, expected in self.built.files.items():
            _check_file(self.path, name, expected)
        return self

    def graph(self, precision: Precision) -> Path:
        """The ONNX graph of this precision.

        Raises:
            BundleError: the bundle has none.
        """
        if precision not in self.manifest.graphs:
            raise BundleError(
                f"bundle {self.path} has no {precision} graph",
                f"it has {', '.join(self.manifest.graphs)}",
                f"use one of these, or build it again from its run, with --precision {precision}",
            )
        return self.path / self.manifest.graphs[precision]

    def graph_sha256(self, precision: Precision) -> str:
        """SHA-256 of the graph, as checked at opening."""
        self.graph(precision)
        return self.manifest.files[self.manifest.graphs[precision]]

    def engines(self) -> list[EngineRecord]:
        """What the side files in ``engines/`` say, by file name; reading an engine checks it (`read_engine`).

        Raises:
            EngineError: a side file cannot be read or is damaged, or signatures are asked for and none covers it.
        """
        return [read_record(path, self.signature) for path in sorted((self.path / ENGINES).glob("*.json"))]

    def engine_path(self, record: EngineRecord) -> Path:
        """Where the engine of this record lies."""
        return self.path / ENGINES / record.file

    def set_threshold(
        self, value: float, product: str | None = None, *, by: str | None = None, why: str = ""
    ) -> Bundle:
        """Sets the threshold in force, for products without one of their own or for one, and puts it on record.

        A running detector keeps the threshold it was loaded with.

        Raises:
            ConfigError, BundleError, OutputError: see `with_threshold` and `save`.
        """
        return self.with_threshold(value, product).save(by=by, why=why)

    def with_threshold(self, value: float, product: str | None = None) -> Bundle:
        """The bundle as `set_threshold` makes it, not yet written.

        Raises:
            ConfigError: the value is not above 0 and up to ``HIGHEST``, or the product is unknown.
        """
        self.manifest.threshold_for(product)  # refuses a product that was not learned
        change = {"threshold": value} if product is None else {"product_thresholds": {product: value}}
        return self._with(change, f"{value} cannot be a threshold", f"{_USABLE}, such as 0.5")

    def set_unknown_limit(self, value: float, *, by: str | None = None, why: str = "") -> Bundle:
        """Sets the product distance above which a product is unknown, as `set_threshold` sets a threshold.

        Raises:
            ConfigError, BundleError, OutputError: see `with_unknown_limit` and `save`.
        """
        return self.with_unknown_limit(value).save(by=by, why=why)

    def with_unknown_limit(self, value: float) -> Bundle:
        """The bundle as `set_unknown_limit` makes it, not yet written.

        Raises:
            ConfigError: the value is not above 0 and up to ``HIGHEST``.
        """
        wrong = f"{value} cannot be the limit of unknown products"
        return self._with({"unknown_limit": value}, wrong, f"{_USABLE}, such as 1.0")

    def with_tuning_reset(self, product: str | None = None) -> Bundle:
        """The bundle with the thresholds that training chose, of ``product`` or all of them; not yet written.

        Raises:
            ConfigError: the product is unknown.
        """
        trained = self.built.score_scale.product_thresholds
        change: dict[str, Any]
        if product is None:
            own = {name: trained.get(name) for name in {**self.manifest.product_thresholds, **trained}}
            change = {"threshold": DECISION, "unknown_limit": KNOWN, "product_thresholds": own}
        else:
            self.manifest.threshold_for(product)
            change = {"product_thresholds": {product: trained.get(product, DECISION)}}
        return self._with(change, "the thresholds of training cannot be set", "build the bundle again", "reset")

    def save(self, *, by: str | None = None, why: str = "", over: Bundle | None = None) -> Bundle:
        """Puts what is not saved into the history, whole or not at all, and with it into force.

        Changes of others meanwhile stay in force, unless they are of the same threshold.

        Args:
            by: whose change it is; this process's user and host if not given.
            why: in his words.
            over: refuse the change if the thresholds in force are not those of this bundle any more.

        Returns:
            the bundle with the thresholds in force now.

        Raises:
            ConfigError: others were set meanwhile, or ``by`` or ``why`` cannot be put on record.
            BundleError: the history is damaged, or the bundle was built again since it was opened.
            OutputError: it cannot be written.
        """
        if self.unsaved is None:
            return self
        values, kind = self.unsaved

        def allowed(present: Manifest) -> None:
            if over is not None and present != over.manifest:
                raise changed_elsewhere(self.path)

        wanted = Wanted(values, kind, who() if by is None else by, why)
        return replace(self, history=add_change(self.path, self.root, self.built, wanted, allowed), unsaved=None)

    def _with(self, change: dict[str, Any], wrong: str, fix: str, kind: Kind = "set") -> Bundle:
        before = {} if self.unsaved is None else self.unsaved[0].plain()
        products = {**before.get("product_thresholds", {}), **change.get("product_thresholds", {})}
        try:
            values = Thresholds.model_validate({**before, **change, "product_thresholds": products})
        except ValidationError as error:
            raise ConfigError(wrong, "all parts would be above it, or none", fix) from error
        return replace(self, unsaved=(values, kind))


def changed_elsewhere(bundle: Path) -> ConfigError:
    """What is said where somebody set thresholds that whoever sets one now has not seen."""
    return ConfigError(
        f"the thresholds in {bundle} were changed while the line runs, and are not in force",
        "setting one here would undo that without a word",
        "change over to this recipe again, or restart the line: then they are in force",
    )


def torn_told(bundle: Path, history: History) -> str:
    """What is to be said of a last line that was never finished."""
    return (
        f"the last change of the thresholds of {bundle} was cut off as it was written, as by a power cut "
        f"({history.torn} bytes): it was never in force, and the next change removes it"
    )


def _check_file(bundle: Path, name: str, expected: str) -> None:
    path = bundle / name
    try:
        found = sha256_of(path)
    except FileNotFoundError as error:
        raise BundleError(f"{path} is missing", f"{FILE} lists it", build_again(bundle)) from error
    except OSError as error:
        raise BundleError(f"cannot read {path}", error.strerror or str(error), "check path and permissions") from error
    if found != expected:
        raise BundleError(f"{path} is damaged", f"its SHA-256 is not the one in {FILE}", build_again(bundle))
