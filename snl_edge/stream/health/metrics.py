"""What Prometheus is told. Counters and histograms grow with each part; everything else is asked when it scrapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ...version import __version__
from ..control.interface import Status
from ..pipeline.parts import Part
from ..records.record import FOREIGN, Record, VerdictName
from .sensors import powers, temperatures
from .tally import Tally

disable_created_metrics()  # a series for each series would say only when this process started
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
_LIGHTS = {"ok": 0, "warning": 1, "failed": 2}
_QUANTILES = (0.05, 0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Depths:
    """Queues and counts that other parts of the line hold."""

    pictures: dict[str, int]
    """Pictures read, by camera."""
    waiting: int
    undecided: int
    journal: int
    late: int
    acted_early: int
    pictures_missed: int
    disk_free: int
    """Bytes on the journal's disk."""
    sinks: dict[str, int]
    """Records that each sink has still to deliver."""
    outcomes: dict[tuple[str, str], int]
    """Parts of this run by actuator and what became of them there (``done``, ``late``, ``failed``)."""
    intents: int | None
    """Rejects whose outcome at an actuator is not known yet; None while the journal cannot be read."""


class Metrics:
    """All metrics of a line, in a registry of its own."""

    def __init__(
        self, tally: Tally, status: Callable[[], Status], depths: Callable[[], Depths], cameras: Sequence[str]
    ) -> None:
        self.registry = CollectorRegistry()
        self._parts = Counter("snl_edge_parts", "Verdicts", ["camera", "verdict"], registry=self.registry)
        for camera in cameras:  # from 0 on: of a series that begins with its first part Prometheus sees no increase
            for verdict in get_args(VerdictName):
                self._parts.labels(camera, verdict)
        self._failsafe = Counter(
            "snl_edge_failsafe", "Fail-safe verdicts", ["camera", "reason"], registry=self.registry
        )
        self._foreign = Counter(
            "snl_edge_foreign",
            "Parts that recognition did not take for their camera's product",
            ["camera", "reason"],
            registry=self.registry,
        )
        self._latency = Histogram(
            "snl_edge_latency_seconds", "From trigger to verdict", ["camera"], buckets=_BUCKETS, registry=self.registry
        )
        self._stages = Histogram(
            "snl_edge_stage_seconds", "Time in one stage", ["stage"], buckets=_BUCKETS, registry=self.registry
        )
        self.registry.register(_Scraped(tally, status, depths))

    def count(self, part: Part, record: Record) -> None:
        """Takes a decided part into account."""
        self._parts.labels(record.camera, record.verdict).inc()
        if record.verdict == "failsafe":
            self._failsafe.labels(record.camera, record.reason or "").inc()
        elif record.reason in FOREIGN:
            self._foreign.labels(record.camera, record.reason).inc()
        self._latency.labels(record.camera).observe(record.latency_ms / 1000)
        for stage, seconds in tuple(part.stages.items()):  # another thread may still add to them
            self._stages.labels(stage).observe(seconds)


class _Scraped(Collector):
    def __init__(self, tally: Tally, status: Callable[[], Status], depths: Callable[[], Depths]) -> None:
        self._tally, self._status, self._depths = tally, status, depths

    def describe(self) -> list[Metric]:
        """Nothing: asking needs a running line."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Everything that is a state and no event."""
        status, depths = self._status(), self._depths()
        yield InfoMetricFamily(
            "snl_edge",
            "Software, recipe and state",
            value={
                "version": __version__,
                "recipe": status.recipe,
                "engine": status.recipe_hash[:16],
                "state": status.state,
                "shadow": str(status.shadow).lower(),
            },
        )
        yield _counters("snl_edge_pictures", "Pictures read", "camera", depths.pictures)
        for name, text, value in (
            ("snl_edge_dropped", "Parts pushed out of the queue", status.dropped),
            ("snl_edge_deadline_missed", "Parts without a verdict at their deadline", status.deadline_missed),
            ("snl_edge_late_results", "Results after the fail-safe verdict", depths.late),
            ("snl_edge_acted_early", "Verdicts acted upon before they were on disk", depths.acted_early),
            ("snl_edge_pictures_missed", "Pictures that could not be kept", depths.pictures_missed),
        ):
            yield CounterMetricFamily(name, text, value=value)
        for name, text, value in (
            ("snl_edge_queue_depth", "Parts that wait for the engine", depths.waiting),
            ("snl_edge_undecided", "Parts without a verdict", depths.undecided),
            ("snl_edge_journal_backlog", "Verdicts that wait for the disk", depths.journal),
            ("snl_edge_disk_free_bytes", "Free on the journal's disk", depths.disk_free),
            (
                "snl_edge_unaccounted",
                "Rejects of unknown outcome that nobody has acknowledged",
                status.unaccounted.rejects if status.unaccounted else 0,
            ),
            ("snl_edge_parts_per_second", "Over the last ten seconds", status.parts_per_second),
            ("snl_edge_threshold_version", "Grows with each change of a threshold", status.threshold_version),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        outcomes = CounterMetricFamily("snl_edge_actuations", "Outcomes at actuators", labels=["actuator", "outcome"])
        for (actuator, outcome), count in depths.outcomes.items():
            outcomes.add_metric([actuator, outcome], count)
        yield outcomes
        if depths.intents is not None:
            yield GaugeMetricFamily("snl_edge_intents", "Rejects on their way to an actuator", value=depths.intents)
        yield _gauges("snl_edge_sink_backlog", "Records that a sink has to deliver", "sink", depths.sinks)
        lights = {check.name: _LIGHTS[check.light] for check in status.checks}
        yield _gauges("snl_edge_check", "0 well, 1 warning, 2 failed", "check", lights)
        yield _gauges("snl_edge_temperature_celsius", "Board and GPU", "sensor", dict(temperatures()))
        yield _gauges("snl_edge_power_watts", "Board and GPU", "sensor", dict(powers()))
        yield self._scores()

    def _scores(self) -> Metric:
        family = GaugeMetricFamily(
            "snl_edge_score", "Quantiles of the last 1,000 scores", labels=["product", "quantile"]
        )
        for product, values in self._tally.score_quantiles(*_QUANTILES).items():
            for quantile, value in zip(_QUANTILES, values, strict=True):
                family.add_metric([product, str(quantile)], value)
        return family


def _gauges(name: str, text: str, label: str, values: dict[str, int] | dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _counters(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
