"""Kept pictures judged again by a bundle: does it say what the journal says, and if not, what is different since?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import SnlEdgeError
from ...image import read_image
from ...runtime.detector import Detector
from ...runtime.manifest import sha256_of
from ..journal.journal import Journal
from ..journal.soundness import damage_told, require_journal
from ..records.record import Entry

_AT_A_TIME = 200
SAME_SCORE = 1e-3
"""Backends and batches round differently, by less than this."""


@dataclass(frozen=True)
class Rejudged:
    """One record, and what is said of its picture now."""

    id: int
    camera: str
    image: str
    verdict: str
    score: float | None
    again: str | None
    """The verdict now; None where the picture could not be judged."""
    score_again: float | None
    differences: tuple[str, ...]
    """What is not as it was when the record was made, whether or not it changed the verdict."""

    @property
    def same(self) -> bool:
        """Whether verdict and score are those of the record."""
        if self.again != self.verdict or self.score is None or self.score_again is None:
            return False
        return abs(self.score_again - self.score) <= SAME_SCORE


def rejudge(folder: Path, detector: Detector, since: float = 0.0) -> Iterator[Rejudged]:
    """Judges the kept pictures of all records that a bundle judged, oldest first, as their cameras had them judged.

    Args:
        folder: the journal's; a line may be running.
        detector: of the bundle, which knows the records' products.
        since: seconds since 1970; older records are passed over.

    Raises:
        DataError: there is no journal, or it cannot be read.
    """
    require_journal(folder)
    journal = Journal(folder, existing=True)
    engine = sha256_of(detector.backend.artifact)
    cameras: dict[int, dict[str, dict[str, Any]]] = {}
    position = 0
    try:
        while True:
            wanted = "id > ? AND captured >= ? AND image IS NOT NULL AND verdict != 'failsafe' ORDER BY id LIMIT ?"
            with damage_told(folder):
                entries = journal.select(wanted, (position, since, _AT_A_TIME))
            if not entries:
                return
            position = entries[-1].id
            for entry in entries:
                if entry.run not in cameras:
                    cameras[entry.run] = _cameras(journal, entry.run)
                camera = cameras[entry.run].get(entry.record.camera, {})
                yield _rejudged(folder, entry, detector, engine, camera)
    finally:
        journal.close()


def _cameras(journal: Journal, run: int) -> dict[str, dict[str, Any]]:
    """The settings of a run's cameras by their names."""
    with journal.reading() as connection:
        row = connection.execute("SELECT config FROM run WHERE id = ?", (run,)).fetchone()
    config: dict[str, Any] = json.loads(row[0]) if row else {}
    return {camera["name"]: camera for camera in config.get("cameras", ())}


def _rejudged(folder: Path, entry: Entry, detector: Detector, engine: str, camera: dict[str, Any]) -> Rejudged:
    record = entry.record
    assert record.image is not None
    differences: list[str] = []
    if camera.get("ignore") or camera.get("ignore_mask"):
        differences.append("the camera ignores regions, and the whole picture was judged now")
    if Path(record.image).suffix.lower() in (".jpg", ".jpeg"):
        differences.append("kept as JPEG")
    if engine != record.engine:
        differences.append(f"another engine or graph ({record.engine[:12]} then, {engine[:12]} now)")
    again, score = None, None
    try:
        product, compare = camera.get("product"), camera.get("compare_product", True)
        verdict = detector.detect([read_image(folder / record.image)], product, compare=compare)[0]
    except SnlEdgeError as error:
        differences.append(str(error))
    else:
        again, score = verdict.kind, verdict.score
        if record.threshold is not None and verdict.threshold is not None and record.threshold != verdict.threshold:
            differences.append(f"threshold {record.threshold:.3f} then, {verdict.threshold:.3f} now")
    return Rejudged(
        entry.id, record.camera, record.image, record.verdict, record.score, again, score, tuple(differences)
    )
