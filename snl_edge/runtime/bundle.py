"""A bundle: the folder that is all a device needs. Opening it checks every file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from snl_edge.calibration.score import DECISION

from ..atomic import write_text
from ..errors import BundleError, ConfigError
from .engine_record import EngineRecord, read_record
from .manifest import FILE, HIGHEST, KNOWN, Manifest, Precision, first_faults, read_manifest, sha256_of
from .origin import check_origin

ENGINES = "engines"


@dataclass(frozen=True)
class Bundle:
    """An opened bundle; its graphs were whole when it was opened."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> Bundle:
        """Reads the manifest and checks that every file it lists is there and unchanged.

        Raises:
            BundleError: the folder is no bundle, a file is missing or damaged, or it is of an earlier model of the
                run in whose folder it lies.
        """
        manifest = read_manifest(Path(path) / FILE)
        check_origin(Path(path), manifest)
        return cls._whole(Path(path), manifest)

    @classmethod
    def read(cls, path: Path) -> Bundle:
        """As `open`, to look at: one of an earlier model of its run is not refused.

        Raises:
            BundleError: the folder is no bundle, or a file is missing or damaged.
        """
        return cls._whole(Path(path), read_manifest(Path(path) / FILE))

    @classmethod
    def _whole(cls, path: Path, manifest: Manifest) -> Bundle:
        for name, expected in manifest.files.items():
            _check_file(path / name, expected)
        return cls(path, manifest)

    def graph(self, precision: Precision) -> Path:
        """The ONNX graph of this precision.

        Raises:
            BundleError: the bundle has none.
        """
        if precision not in self.manifest.graphs:
            raise BundleError(
                f"bundle {self.path} has no {precision} graph",
                f"it has {', '.join(self.manifest.graphs)}",
                f"use one of these, or build it again with --precision {precision}",
            )
        return self.path / self.manifest.graphs[precision]

    def graph_sha256(self, precision: Precision) -> str:
        """SHA-256 of the graph, as checked at opening."""
        self.graph(precision)
        return self.manifest.files[self.manifest.graphs[precision]]

    def engines(self) -> list[EngineRecord]:
        """What the side files in ``engines/`` say, by file name; reading an engine checks it (`read_engine`).

        Raises:
            EngineError: a side file cannot be read or is damaged.
        """
        return [read_record(path) for path in sorted((self.path / ENGINES).glob("*.json"))]

    def engine_path(self, record: EngineRecord) -> Path:
        """Where the engine of this record lies."""
        return self.path / ENGINES / record.file

    def set_threshold(self, value: float, product: str | None = None) -> Bundle:
        """Sets the threshold in force, for all products or for one, and rewrites the manifest in one step.

        A running detector keeps the threshold it was loaded with.

        Raises:
            ConfigError: the value is not above 0 and up to ``HIGHEST``, or the product is unknown.
            OutputError: the bundle cannot be written.
        """
        return self.with_threshold(value, product).save()

    def with_threshold(self, value: float, product: str | None = None) -> Bundle:
        """The bundle as `set_threshold` makes it, not yet written.

        Raises:
            ConfigError: the value is not above 0 and up to ``HIGHEST``, or the product is unknown.
        """
        manifest = self.manifest
        manifest.threshold_for(product)  # refuses a product that was not learned
        change = (
            {"threshold": value}
            if product is None
            else {"product_thresholds": {**manifest.product_thresholds, product: value}}
        )
        return self._with(
            change, f"{value} cannot be a threshold", f"give a number above 0 and up to {HIGHEST:g}, such as 0.5"
        )

    def set_unknown_limit(self, value: float) -> Bundle:
        """Sets the product distance above which a product is unknown, as `set_threshold` sets a threshold.

        Raises:
            ConfigError: the value is not above 0 and up to ``HIGHEST``.
            OutputError: the bundle cannot be written.
        """
        return self.with_unknown_limit(value).save()

    def with_unknown_limit(self, value: float) -> Bundle:
        """The bundle as `set_unknown_limit` makes it, not yet written.

        Raises:
            ConfigError: the value is not above 0 and up to ``HIGHEST``.
        """
        wrong = f"{value} cannot be the limit of unknown products"
        return self._with({"unknown_limit": value}, wrong, f"give a number above 0 and up to {HIGHEST:g}, such as 1.0")

    def with_tuning_reset(self, product: str | None = None) -> Bundle:
        """The bundle with the thresholds that training chose, of ``product`` or all of them; not yet written.

        Raises:
            ConfigError: the product is unknown.
        """
        manifest, calibrated = self.manifest, self.manifest.calibration.product_thresholds
        if product is not None:
            manifest.threshold_for(product)
            return self.with_threshold(calibrated.get(product, DECISION), product)
        change = {"threshold": DECISION, "unknown_limit": KNOWN, "product_thresholds": calibrated}
        return self._with(change, "the thresholds of training cannot be set", "build the bundle again")

    def save(self) -> Bundle:
        """Writes the manifest, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        write_text(self.path / FILE, self.manifest.model_dump_json(indent=2) + "\n")
        return self

    def _with(self, change: dict[str, Any], wrong: str, fix: str) -> Bundle:
        try:
            changed = Manifest.model_validate({**self.manifest.model_dump(), **change})
        except ValidationError as error:
            raise ConfigError(wrong, first_faults(error), fix) from error
        return replace(self, manifest=changed)


def _check_file(path: Path, expected: str) -> None:
    anew = "copy the bundle again from where it was built, or run `snl-edge build` again"
    try:
        found = sha256_of(path)
    except FileNotFoundError as error:
        raise BundleError(f"{path} is missing", f"{FILE} lists it", anew) from error
    except OSError as error:
        raise BundleError(f"cannot read {path}", error.strerror or str(error), "check path and permissions") from error
    if found != expected:
        raise BundleError(f"{path} is damaged", f"its SHA-256 is not the one in {FILE}", anew)
