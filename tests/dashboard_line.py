"""A small line for the dashboard's tests and pictures: drawn parts, a real journal, verdicts by a real threshold.

No model runs: map and score are made from the mask of the defect that was drawn.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from snl_edge.atomic import replacing
from snl_edge.data.synthetic import DEFECTS, render_part
from snl_edge.errors import ConfigError, SnlEdgeError
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.overlay import draw_overlay, draw_unknown
from snl_edge.runtime.tuning import require_confirmed
from snl_edge.runtime.verdict import Blob
from snl_edge.stream.control.interface import Check, Latest, Status
from snl_edge.stream.journal.journal import Journal
from snl_edge.stream.records.actuation import Unaccounted
from snl_edge.stream.records.record import NO_ORDER, Entry, Order, Record

NAME = "hall2-press4"
CONFIG = f'{{"name": "{NAME}"}}'
ENGINE = hashlib.sha256(b"drawn").hexdigest()
CHECKS = (
    Check("camera left", "ok", "12.5 pictures a second, sharp and well lit"),
    Check("camera right", "ok", "12.5 pictures a second, sharp and well lit"),
    Check("engine", "ok", "drawn line, no model runs"),
    Check("journal", "ok", "41.2 GB free, room for 190 days of rejects"),
    Check("sink mqtt", "ok", "connected to broker.hall2, nothing waiting"),
    Check("self-test", "ok", "12 of 12 golden samples as expected, at 06:00"),
    Check("drift gear", "ok", "scores as in the reference (KS 0.04)"),
    Check("drift blister", "ok", "scores as in the reference (KS 0.06)"),
)


USUAL = (0.15, 0.85)
"""Thresholds that need no confirmation."""


class DrawnLine:
    """Implements `snl_edge.stream.control.interface.Line`; `produce` makes one part after the other."""

    def __init__(
        self,
        journal: Journal,
        *,
        products: tuple[str, ...] = ("gear", "hex_nut"),
        cameras: tuple[str, ...] = ("left", "right"),
        size: int = 128,
        seed: int = 1,
    ) -> None:
        self.journal, self.products, self.cameras, self.size = journal, products, cameras, size
        self.threshold, self.own, self.version = 0.5, {products[0]: 0.55}, 3
        self.paused = self.shadow = False
        self.recipe = "hall2-mixed"
        self.checks = CHECKS
        self.order = NO_ORDER
        self.frozen = False
        self._rng = np.random.default_rng(seed)
        self._latest: dict[str, Latest] = {}
        self._sequence: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._latencies = [11.0]
        self._first, self._last = float("inf"), 0.0
        self._lock = threading.RLock()
        journal.begin("snl-edge test", CONFIG)

    def status(self) -> Status:
        with self._lock:
            return Status(
                NAME,
                "paused" if self.paused else "running",
                self.shadow,
                self.recipe,
                ENGINE,
                self.threshold,
                dict(self.own),
                self.products,
                self.version,
                self.cameras,
                {name: self._counts[name] for name in ("good", "reject", "unknown", "failsafe")},
                0,
                0,
                self._counts.total() / max(self._last - self._first, 1.0),
                float(np.percentile(self._latencies, 50)),
                float(np.percentile(self._latencies, 99)),
                self.checks,
                self.order,
                dict.fromkeys((None, *self.products), USUAL),
                self.journal.unaccounted(),
            )

    def latest(self, camera: str) -> Latest | None:
        return self._latest.get(camera)

    def trigger(self, camera: str, part: str | None, encoder: int | None) -> int | None:
        self._sequence[camera] += 1
        return self._sequence[camera]

    def set_threshold(self, value: float, product: str | None, actor: str, *, confirmed: bool = False) -> Check | None:
        with self._lock:
            if product is not None and product not in self.products:
                raise ConfigError(f"unknown product {product!r}", fix=f"give one of {', '.join(self.products)}")
            require_confirmed("" if USUAL[0] <= value <= USUAL[1] else f"{value} is odd", confirmed)
            before = self.threshold if product is None else self.own.get(product, self.threshold)
            if product is None:
                self.threshold = value
            else:
                self.own[product] = value
            self.version += 1
        self.journal.audit(actor, "threshold", product=product, before=before, after=value)
        return Check("self-test", "ok", "12 samples judged rightly") if confirmed else None

    def pause(self, paused: bool, actor: str) -> None:
        self.paused = paused
        self.journal.audit(actor, "pause" if paused else "resume")

    def set_shadow(self, shadow: bool, actor: str) -> None:
        self.shadow = shadow
        self.journal.audit(actor, "shadow", on=shadow)

    def set_order(self, order: Order, actor: str) -> None:
        self.order = order
        self.journal.audit(actor, "order", **order.plain())

    def change_recipe(self, bundle: Path, actor: str, order: Order = NO_ORDER) -> Check:
        manifest = Bundle.open(bundle).manifest
        with self._lock:
            before, self.recipe = self.recipe, manifest.name
            self.order = order
            self.products, self.threshold, self.own = manifest.products, manifest.threshold, {}
        self.journal.audit(actor, "recipe", before=before, after=manifest.name)
        return Check("self-test", "ok", "12 samples judged rightly")

    def refused(self, change: str, error: SnlEdgeError, actor: str) -> None:
        self.journal.audit(actor, "refused", change=change, why=str(error))

    def acknowledge(self, last: int, actor: str) -> Unaccounted | None:
        return self.journal.acknowledge_unknown(last, actor)

    def self_test(self, actor: str) -> Check:
        check = Check("self-test", "ok", "12 of 12 golden samples as expected")
        self.journal.audit(actor, "self-test", light=check.light)
        return check

    def produce(
        self, camera: str, product: str, defect: str = "good", *, when: float | None = None, stranger: bool = False
    ) -> Entry:
        """Draws, judges, records and shows one part.

        Args:
            camera, product, defect: what to draw.
            when: its moment, seconds since 1970; now if not given.
            stranger: the part is of no learned product.
        """
        rng = self._rng
        image, mask = render_part(product, defect, rng, self.size)
        with self._lock:
            limit = self.own.get(product, self.threshold)
        heat = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), self.size / 40)
        strength = rng.gamma(4, 0.2) if mask.any() else 0.0
        texture = cv2.GaussianBlur(rng.normal(0, 1, mask.shape).astype(np.float32), (0, 0), self.size / 24)
        ordinary = float(0.12 + rng.gamma(3.5, 0.045))
        anomaly = np.maximum(heat / max(float(heat.max()), 1e-6) * strength, 0)
        anomaly = (anomaly + ordinary * (0.6 + 0.4 * texture / np.abs(texture).max())).astype(np.float32)
        score = float(anomaly.max())
        when = time.time() if when is None else when
        latency = float(rng.gamma(20, 0.55))
        self._latencies = [*self._latencies[-999:], latency]
        record = Record(
            camera=camera,
            sequence=self._sequence[camera],
            captured=when,
            decided=when + latency / 1000,
            latency_ms=latency,
            verdict="good",
            action="pass",
            part=f"A{24_000_000 + sum(self._sequence.values())}",
            encoder=1_048_000 + 412 * self._sequence[camera],
            product=product,
            product_distance=float(rng.uniform(0.2, 0.7)),
            score=score,
            threshold=limit,
            engine=ENGINE,
            recipe=self.recipe,
            threshold_version=self.version,
            shadow=self.shadow,
            order=self.order.order,
            lot=self.order.lot,
            operator=self.order.operator,
            fields=self.order.fields,
        )
        if self.paused:
            record = replace(record, verdict="failsafe", action="hold", reason="paused", product=None, score=None)
            record = replace(record, product_distance=None, threshold=None)
        elif stranger:
            record = replace(record, verdict="unknown", action="hold", product=None, product_distance=2.7)
        elif score > limit:
            record = replace(record, verdict="reject", action="reject", blobs=_blobs(anomaly, limit))
        self._sequence[camera] += 1
        if record.verdict != "good":
            record = self._kept(record, image, anomaly, limit)
        entry = self._append(record)
        if not self.frozen:
            self._latest[camera] = Latest(entry, image, None if self.paused else anomaly)
        return entry

    def lose(self, camera: str, reason: str, when: float | None = None) -> Entry:
        """A part that got no picture."""
        when = time.time() if when is None else when
        record = Record(camera, self._sequence[camera], when, when + 0.08, 80.0, "failsafe", "hold", reason)
        self._sequence[camera] += 1
        entry = self._append(replace(record, recipe=self.recipe, engine=ENGINE))
        self._latest[camera] = Latest(entry, None, None)
        return entry

    def run(self, stop: threading.Event, interval: float) -> None:
        """Makes parts until ``stop``: one in ten is defective."""
        while not stop.wait(interval):
            for camera in self.cameras:
                product = str(self._rng.choice(self.products))
                defect = str(self._rng.choice(DEFECTS[product])) if self._rng.random() < 0.1 else "good"
                self.produce(camera, product, defect)

    def _append(self, record: Record) -> Entry:
        number = self.journal.append([record])[0]
        self._counts[record.verdict] += 1
        self._first, self._last = min(self._first, record.captured), max(self._last, record.captured)
        return Entry(number, self.journal.run, record, f"{self.journal.id}:{number}")

    def _kept(self, record: Record, image: np.ndarray, anomaly: np.ndarray, limit: float) -> Record:
        stem = f"pictures/{record.camera}-{record.sequence:06}"
        drawn = draw_overlay(image, anomaly, limit)
        pictures = {"image": image, "heatmap": draw_unknown(drawn) if record.verdict == "unknown" else drawn}
        for kind, picture in pictures.items():
            with replacing(self.journal.folder / f"{stem}-{kind}.png") as temporary:
                cv2.imwrite(str(temporary), picture[..., ::-1])
        return replace(record, image=f"{stem}-image.png", heatmap=f"{stem}-heatmap.png")


def fill(line: DrawnLine, parts: int, *, strangers: int = 0, lost: int = 0, span: float = 3600.0) -> None:
    """Puts ``parts`` parts into the journal, spread over the last ``span`` seconds, every ninth defective."""
    start = time.time() - span
    every = max(1, parts // (strangers + 1))
    for i in range(parts):
        camera = line.cameras[i % len(line.cameras)]
        when = start + span * i / parts
        product = line.products[(i // 3) % len(line.products)]
        defect = DEFECTS[product][(i // 9) % len(DEFECTS[product])] if i % 9 == 5 else "good"
        stranger = strangers > 0 and i % every == every // 2
        line.produce(
            camera, "circuit" if stranger else product, "good" if stranger else defect, when=when, stranger=stranger
        )
        if lost and i == parts // 2:
            for reason in ("camera", "deadline", "black")[:lost]:
                line.lose(camera, reason, when)


def _blobs(anomaly: np.ndarray, limit: float) -> tuple[Blob, ...]:
    height, width = anomaly.shape
    count, labels, stats, _ = cv2.connectedComponentsWithStats((anomaly > limit).astype(np.uint8))
    blobs = [
        Blob(
            *(float(v) for v in (x / width, y / height, w / width, h / height, area / anomaly.size)),
            float(anomaly[labels == i].max()),
        )
        for i, (x, y, w, h, area) in enumerate(stats[1:count].tolist(), start=1)
    ]
    return tuple(sorted(blobs, key=lambda blob: -blob.peak))
