"""When an actuator moves: the schedule, by time, by parts and by encoder, with a pin that notes what it is told."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from journals import record, until
from pydantic import TypeAdapter, ValidationError

from snl_edge.errors import ConfigError
from snl_edge.stream.journal.journal import Journal
from snl_edge.stream.outputs.actuators import Actuator, Actuators, GpioActuator, OutcomeLog, build_actuator
from snl_edge.stream.outputs.actuators.actuator_settings import ActuatorSettings
from snl_edge.stream.outputs.actuators.schedule import ActuationError, ActuatorThread
from snl_edge.stream.outputs.actuators.travel import ActuatedPart, Missed, Position, Travel
from snl_edge.stream.records.record import Record

PATIENT = 5_000.0
"""A tolerance that a busy machine keeps."""


class Pin:
    """An output that notes what it is told and when; it fails while ``broken``."""

    def __init__(self, beat_s: float | None = None) -> None:
        self.beat_s = beat_s
        self.told: list[tuple[str, float]] = []
        self.parts: list[int] = []
        self.broken = False
        self.slow_s = 0.0

    def _note(self, what: str) -> None:
        if self.broken:
            raise ActuationError("the wire is cut")
        self.told.append((what, time.monotonic()))

    def open(self) -> None:
        self._note("open")

    def on(self, record: Record) -> None:
        time.sleep(self.slow_s)
        self._note("on")
        self.parts.append(record.sequence)

    def off(self) -> None:
        self._note("off")

    def beat(self) -> None:
        self._note("beat")

    def close(self) -> None:
        self.told.append(("close", time.monotonic()))

    def times(self, what: str) -> list[float]:
        return [at for told, at in self.told if told == what]


def running(
    log: OutcomeLog, pin: Pin, fault: Callable[[], str | None] = lambda: None, **settings: object
) -> ActuatorThread:
    defaults = {"tolerance_ms": PATIENT, "pulse_ms": 20.0}
    actuator = ActuatorThread("ejector", ActuatorSettings(**{**defaults, **settings}), pin, log, fault)
    actuator.start()
    return actuator


def rejected(sequence: int, **changes: object) -> Record:
    return record(sequence, **{"verdict": "reject", "action": "reject", **changes})


def outcomes(journal: Journal) -> dict[int, str]:
    return {actuation.sequence: actuation.outcome for actuation in journal.actuations()}


def test_a_reject_moves_after_its_delay_and_goes_back(journal: Journal, log: OutcomeLog) -> None:
    pin = Pin()
    actuator = running(log, pin, travel={"by": "time", "delay_ms": 80})
    captured = time.monotonic()
    actuator.submit(rejected(7), journal.run, captured)
    until(lambda: pin.times("off"))
    actuator.stop(5)
    assert log.stop(5)
    (on,), (off,) = pin.times("on"), pin.times("off")
    assert on >= captured + 0.08
    assert off >= on + 0.02
    (actuation,) = journal.actuations()
    assert (actuation.run, actuation.camera, actuation.sequence) == (journal.run, "left", 7)
    assert (actuation.actuator, actuation.outcome, actuation.detail) == ("ejector", "done", "")
    assert actuation.late_ms is not None
    assert actuation.late_ms >= 0
    assert (actuator.done, actuator.late, actuator.failed) == (1, 0, 0)


def test_parts_move_in_the_order_of_their_times_not_of_their_verdicts(journal: Journal, log: OutcomeLog) -> None:
    pin = Pin()
    actuator = running(log, pin, travel={"by": "time", "delay_ms": 100})
    now = time.monotonic()
    for sequence in (3, 1, 2):
        actuator.submit(rejected(sequence), journal.run, now + sequence * 0.03)
    until(lambda: actuator.done == 3)
    actuator.stop(5)
    assert pin.parts == [1, 2, 3]


def test_a_part_whose_time_is_past_is_let_go_and_on_record(journal: Journal, log: OutcomeLog) -> None:
    pin = Pin()
    actuator = running(log, pin, tolerance_ms=20)
    actuator.submit(rejected(1), journal.run, time.monotonic() - 3)
    until(lambda: actuator.late)
    assert actuator.check().light == "warning"
    actuator.stop(5)
    assert log.stop(5)
    assert pin.parts == []
    (actuation,) = journal.actuations()
    assert (actuation.outcome, actuation.late_ms) == ("late", None)
    assert "not moved" in actuation.detail


def test_an_output_that_moves_too_slowly_says_so(journal: Journal, log: OutcomeLog) -> None:
    pin = Pin()
    pin.slow_s = 1.2
    actuator = running(log, pin, tolerance_ms=1000)
    actuator.submit(rejected(1), journal.run, time.monotonic())
    until(lambda: actuator.late)
    actuator.stop(5)
    assert log.stop(5)
    (actuation,) = journal.actuations()
    assert pin.parts == [1]
    assert actuation.late_ms is not None
    assert actuation.late_ms > 1000
    assert "look at the next part" in actuation.detail


def test_only_its_actions_and_cameras_move_it_and_never_in_shadow_mode(journal: Journal, log: OutcomeLog) -> None:
    pin = Pin()
    actuator = running(log, pin, actions=("hold",), cameras=("left",))
    now = time.monotonic()
    actuator.submit(rejected(1), journal.run, now)
    actuator.submit(rejected(2, action="hold", camera="right"), journal.run, now)
    actuator.submit(rejected(3, action="hold", shadow=True), journal.run, now)
    actuator.submit(record(5), journal.run, now)
    actuator.submit(rejected(4, action="hold"), journal.run, now)
    until(lambda: actuator.done)
    actuator.stop(5)
    assert log.stop(5)
    assert pin.parts == [4]
    assert outcomes(journal) == {4: "done"}


def test_pulses_that_overlap_become_one(journal: Journal, log: OutcomeLog) -> None:
    pin = Pin()
    actuator = running(log, pin, pulse_ms=1500)
    actuator.submit(rejected(1), journal.run, time.monotonic())
    until(lambda: actuator.done == 1)
    actuator.submit(rejected(2), journal.run, time.monotonic())
    until(lambda: pin.times("off"))
    actuator.stop(5)
    first, second = pin.times("on")
    assert second < first + 1.5
    assert len(pin.times("off")) == 1
    assert pin.times("off")[0] >= second + 1.5


def test_a_broken_output_fails_is_tried_again_and_works_again(journal: Journal, log: OutcomeLog) -> None:
    pin = Pin()
    actuator = running(log, pin)
    until(lambda: actuator.check().light == "ok")
    pin.broken = True
    actuator.submit(rejected(1), journal.run, time.monotonic())
    until(lambda: actuator.failed)
    assert actuator.check().light == "failed"
    assert "the wire is cut" in actuator.check().text
    pin.broken = False
    until(lambda: actuator.check().light == "warning")
    actuator.submit(rejected(2), journal.run, time.monotonic())
    until(lambda: actuator.done)
    actuator.stop(5)
    assert log.stop(5)
    assert outcomes(journal) == {1: "failed", 2: "done"}


def test_it_beats_while_connected(log: OutcomeLog) -> None:
    pin = Pin(beat_s=0.01)
    actuator = running(log, pin)
    until(lambda: len(pin.times("beat")) > 5)
    pin.broken = True
    until(lambda: actuator.check().light == "failed")
    actuator.stop(5)


def test_the_heartbeat_stands_still_while_the_line_gives_no_verdicts(log: OutcomeLog) -> None:
    pin = Pin(beat_s=0.01)
    faults: list[str | None] = ["the engine hangs"]
    actuator = running(log, pin, lambda: faults[0])
    until(lambda: pin.times("open"))
    time.sleep(0.1)
    assert pin.times("beat") == []
    faults[0] = None
    until(lambda: len(pin.times("beat")) > 3)
    actuator.stop(5)


def test_stopping_moves_for_the_parts_on_their_way_and_records_the_rest(journal: Journal, log: OutcomeLog) -> None:
    pin = Pin()
    actuator = running(log, pin, travel={"by": "time", "delay_ms": 300})
    now = time.monotonic()
    actuator.submit(rejected(1), journal.run, now)
    actuator.submit(rejected(2), journal.run, now + 60)
    actuator.stop(2)
    assert not actuator.is_alive()
    assert log.stop(5)
    assert pin.parts == [1]
    assert outcomes(journal) == {1: "done", 2: "failed"}
    assert pin.told[-1][0] == "close"


def test_by_parts_it_moves_when_the_nth_next_part_is_triggered(journal: Journal, log: OutcomeLog) -> None:
    pin = Pin()
    actuator = running(log, pin, travel={"by": "parts", "parts": 3, "delay_ms": 10})
    for sequence in range(3):
        actuator.moved("left", time.monotonic(), sequence)
    actuator.submit(rejected(0), journal.run, time.monotonic())
    actuator.moved("right", time.monotonic(), 9)
    assert pin.parts == []
    at = time.monotonic()
    actuator.moved("left", at, 3)
    until(lambda: actuator.done)
    assert pin.times("on")[0] >= at + 0.01
    # A verdict that comes after the part has arrived counts from its arrival.
    actuator.moved("left", time.monotonic(), 4)
    actuator.submit(rejected(1), journal.run, time.monotonic())
    until(lambda: actuator.done == 2)
    actuator.submit(rejected(2), journal.run, time.monotonic())
    actuator.stop(5)
    assert log.stop(5)
    assert pin.parts == [0, 1]
    assert outcomes(journal) == {0: "done", 1: "done", 2: "failed"}


def by_encoder(**settings: object) -> Travel:
    return Travel(ActuatorSettings(travel={"by": "encoder", "counts": 1000, "tolerance_counts": 50, **settings}))


def part(sequence: int, encoder: int | None) -> ActuatedPart:
    return ActuatedPart(1, rejected(sequence, encoder=encoder), 0.0)


def test_by_encoder_it_waits_for_the_counts_however_long_the_belt_stops() -> None:
    travel = by_encoder(delay_ms=500)
    assert travel.place(part(1, 200)) is None
    assert travel.moved("left", Position(10.0, encoder=1199)) == []
    assert travel.moved("left", Position(99.0, encoder=1210)) == [(part(1, 200), 99.5)]
    assert travel.moved("left", Position(100.0, encoder=1220)) == []


def test_by_encoder_a_part_that_went_by_unseen_is_late() -> None:
    travel = by_encoder()
    assert travel.place(part(1, 200)) is None
    ((_, missed),) = travel.moved("left", Position(1.0, encoder=1251))
    assert missed == Missed("late", "first seen 51 counts beyond the actuator")
    assert travel.place(part(2, None)) == Missed("failed", "its trigger came without an encoder count")
    assert travel.place(part(3, 205)) == 1.0


def test_by_encoder_the_counter_may_begin_again_at_0() -> None:
    travel = by_encoder()
    assert travel.place(part(1, 2**32 - 400)) is None
    assert travel.moved("left", Position(1.0, encoder=2**32 - 1)) == []
    assert travel.moved("left", Position(2.0, encoder=599)) == []
    assert travel.moved("left", Position(3.0, encoder=601)) == [(part(1, 2**32 - 400), 3.0)]


def test_outcomes_wait_while_the_journal_cannot_be_written(journal: Journal) -> None:
    log = OutcomeLog(journal)
    log.start()
    blocker = sqlite3.connect(journal.folder / "journal.sqlite", isolation_level=None)
    journal._writer.execute("PRAGMA busy_timeout = 0")
    blocker.execute("BEGIN IMMEDIATE")
    actuator = running(log, Pin())
    actuator.submit(rejected(1), journal.run, time.monotonic())
    until(lambda: actuator.done and "database is locked" in log.trouble)
    blocker.execute("ROLLBACK")
    actuator.stop(5)
    assert log.stop(5)
    assert outcomes(journal) == {1: "done"}


def test_a_machine_without_that_chip_says_so_at_once(log: OutcomeLog, tmp_path: Path) -> None:
    pytest.importorskip("gpiod", reason="gpiod is not installed: pip install 'snl-edge[gpio]'")
    with pytest.raises(ConfigError, match="is no GPIO chip"):
        build_actuator(GpioActuator(type="gpio", chip=tmp_path / "gpiochip9", line=3), log)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"type": "modbus", "host": "plc"}, "coil or register"),
        ({"type": "modbus", "host": "plc", "coil": 1, "register": 2}, "coil or register"),
        ({"type": "modbus", "host": "plc", "register": 2, "heartbeat_register": 2}, "the same"),
        ({"type": "modbus", "host": "plc", "coil": 1, "travel": {"by": "encoder", "counts": 5}}, "tolerance_counts"),
        ({"type": "gpio", "line": 1, "actions": ["pass"]}, "actions"),
        ({"type": "gpio", "line": 1, "actions": []}, "actions"),
        ({"type": "gpio"}, "line"),
        ({"type": "relay"}, "relay"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        TypeAdapter(Actuator).validate_python(settings)


def test_two_actuators_need_two_names() -> None:
    with pytest.raises(ValidationError, match="two actuators are named gpio"):
        TypeAdapter(Actuators).validate_python([{"type": "gpio", "line": 1}, {"type": "gpio", "line": "EJECT"}])
