"""From when to when: what people write for a time, and the shifts of a plant. All in this machine's local time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import pairwise

from ...errors import ConfigError

_DAY_S = 86_400.0
_LAST = 7_258_118_400.0
"""The year 2200: what is later is no time that anybody means, and calendars end."""
_LONGEST = 400
"""Days that shifts are listed for."""


@dataclass(frozen=True)
class Period:
    """From ``since`` on, before ``until``; seconds since 1970.

    Raises:
        ConfigError: it is empty, or no time at all.
    """

    since: float
    until: float

    def __post_init__(self) -> None:
        if not 0 <= self.since < self.until <= _LAST:  # NaN is not, either
            raise ConfigError(
                "there is no time between the two",
                f"from {_told(self.since)} until {_told(self.until)}",
                "give an earlier begin (since) or a later end (until)",
            )

    def __str__(self) -> str:
        first, last = (datetime.fromtimestamp(one).astimezone() for one in (self.since, self.until))
        offset = last.isoformat()[-6:]
        return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} (UTC{offset})"

    def overlap(self, since: float, until: float | None) -> float:
        """Seconds of it that lie between the two; ``until`` None: without end."""
        return max(0.0, min(self.until, self.until if until is None else until) - max(self.since, since))


def local(seconds: float) -> str:
    """A time as ISO 8601 in local time with its offset from UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="milliseconds")


def _told(seconds: float) -> str:
    return local(seconds) if 0 <= seconds <= _LAST else f"{seconds:g} s since 1970"


def asked_period(since: str | None, until: str | None, shifts: Sequence[time], now: float) -> Period:
    """What was asked for.

    Args:
        since: a time, see `moment`; None: 24 hours before ``until``.
        until: a time; None: now.
        shifts: when shifts begin; where neither time is given, the period is the last one that has ended.
        now: seconds since 1970.

    Raises:
        ConfigError: it is no time, or the period is empty.
    """
    first, last = (None if text is None else moment(text, now) for text in (since, until))
    return chosen_period(first, last, shifts, now)


def chosen_period(since: float | None, until: float | None, shifts: Sequence[time], now: float) -> Period:
    """As `asked_period`, of times in seconds since 1970."""
    if shifts and since is None and until is None:
        begun = [one for one in _beginnings(now - 3 * _DAY_S, now, shifts) if one <= now]
        return Period(begun[-2], begun[-1])
    end = now if until is None else until
    return Period(end - _DAY_S if since is None else since, end)


def moment(text: str, now: float) -> float:
    """Seconds since 1970 of ``2026-11-28T06:00``, of ``2026-11-28`` (midnight) or ``06:00`` (today).

    Without an offset (``+01:00``, ``Z``) it is local time.

    Raises:
        ConfigError: it is none of these.
    """
    try:
        today = datetime.fromtimestamp(now).date()
        if len(text) <= len("06:00:00") and ":" in text:
            return datetime.combine(today, time.fromisoformat(text)).timestamp()
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"{text!r} is no time", str(error), "write 2026-11-28T06:00, 2026-11-28, or 06:00 for today"
        ) from error


def shift_times(text: str) -> tuple[time, ...]:
    """When shifts begin, of ``06:00,14:00,22:00``.

    Raises:
        ConfigError: one is no time of a day, or given twice.
    """
    try:
        found = sorted(time.fromisoformat(one.strip()) for one in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{text!r} is no list of times", str(error), "write 06:00,14:00,22:00") from error
    if len(set(found)) < len(found) or any(one.tzinfo for one in found):
        raise ConfigError(f"{text!r} is no list of shifts", "two begin together", "write 06:00,14:00,22:00")
    return tuple(found)


def shifts_of(period: Period, shifts: Sequence[time]) -> list[Period]:
    """The period cut where shifts begin; the first and the last may be parts of a shift.

    Raises:
        ConfigError: it is too long for that.
    """
    if not shifts:
        return []
    if period.until - period.since > _LONGEST * _DAY_S:
        raise ConfigError(
            "shifts are listed for a year at most", f"asked for {period}", "give a later --since, or leave --shift out"
        )
    inner = [one for one in _beginnings(period.since, period.until, shifts) if period.since < one < period.until]
    edges = [period.since, *inner, period.until]
    return [Period(first, last) for first, last in pairwise(edges)]


def _beginnings(since: float, until: float, shifts: Sequence[time]) -> list[float]:
    """When shifts begin, from the day of ``since`` to that of ``until``; on the day the clock changes, by the clock."""
    day, last = datetime.fromtimestamp(since).date(), datetime.fromtimestamp(until).date()
    found: list[float] = []
    while day <= last:
        found += [datetime.combine(day, one).timestamp() for one in shifts]
        day += timedelta(days=1)
    return found
