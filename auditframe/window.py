"""Windows of time: half-open, in UTC, and the ways to write their ends."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from auditframe.errors import WindowError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_EARLIEST = datetime.min.replace(tzinfo=UTC)
_AGO = re.compile(r"-(\d{1,9})(d|h|m)")  # Python's longest length of time is 999,999,999 days
_LENGTH = re.compile(r"(\d{1,6})(d|h|m|s)")
_AGO_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_LENGTH_UNITS = {**_AGO_UNITS, "s": "seconds"}

Instant = str | date | datetime
"""An end of a window as a person writes it: ISO date or time, aware datetime, ``-30d``, ``-6h``."""


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open interval ``[start, end)`` in UTC.

    Attributes:
        start: The first instant inside; None means since the log began.
        end: The first instant after; None means that the window has no end.
    """

    start: datetime | None = None
    end: datetime | None = None

    def __post_init__(self) -> None:
        for end in (self.start, self.end):
            if end is not None:
                _aware(end, repr(end))
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise WindowError(f"The window is empty: it starts at {self.start:%F %T} and ends at {self.end:%F %T}.")

    def __str__(self) -> str:
        return f"[{_iso(self.start, '-inf')}, {_iso(self.end, '+inf')})"

    def __contains__(self, instant: datetime) -> bool:
        return (self.start is None or self.start <= instant) and (self.end is None or instant < self.end)


ALWAYS = Window()
"""The window that holds every instant."""


def parse_instant(value: Instant, *, now: datetime | None = None) -> datetime:
    """Read one end of a window.

    Args:
        value: An ISO date (midnight UTC), an ISO time with zone, an aware datetime, or a time
            ago: ``-30d``, ``-6h``, ``-15m``.
        now: What ``-30d`` counts from; the clock when None.

    Returns:
        An aware datetime in UTC.

    Raises:
        WindowError: The text is none of these, the datetime has no zone, or no calendar reaches there.
    """
    if isinstance(value, datetime):
        return _aware(value, repr(value))
    if isinstance(value, date):
        return datetime.combine(value, time(), tzinfo=UTC)
    if not isinstance(value, str):
        raise WindowError(f"A time must be text or a datetime, not {type(value).__name__}.")
    if ago := _AGO.fullmatch(value.strip()):
        return before(now or datetime.now(UTC), timedelta(**{_AGO_UNITS[ago[2]]: int(ago[1])}))
    return _parse_iso(value.strip())


def before(now: datetime, length: timedelta) -> datetime:
    """Return the instant that lies so long before another.

    Raises:
        WindowError: It lies before the year 1.
    """
    try:
        return now - length
    except OverflowError:
        raise WindowError(f"{length.days:,} days ago lies too far back: it is before the year 1.") from None


def parse_duration(text: str) -> timedelta:
    """Read a length of time: ``30d``, ``2h``, ``15m``, ``90s``.

    Raises:
        WindowError: The text is none of these, or no time at all.
    """
    found = _LENGTH.fullmatch(text.strip())
    if not found or not int(found[1]):
        raise WindowError(
            f"{text[:40]!r} is no length of time. Write days, hours, minutes or seconds: 30d, 2h, 15m, 90s."
        )
    return timedelta(**{_LENGTH_UNITS[found[2]]: int(found[1])})


def parse_window(start: Instant | None, end: Instant | None, *, now: datetime | None = None) -> Window:
    """Read a window from its two ends; None leaves a side open.

    Raises:
        WindowError: An end cannot be read, or the window is empty.
    """
    now = now or datetime.now(UTC)
    return Window(
        None if start is None else parse_instant(start, now=now),
        None if end is None else parse_instant(end, now=now),
    )


def split_days(window: Window) -> Iterator[Window]:
    """Cut a window with two ends at every UTC midnight inside it, oldest first."""
    if window.start is None or window.end is None:
        raise WindowError(f"Only a window with two ends can be cut into days; this is {window}.")
    start = window.start
    while start < window.end:
        end = min(midnight(start) + DAY, window.end)
        yield Window(start, end)
        start = end


def midnight(instant: datetime) -> datetime:
    """Return the start of the UTC day that holds an instant."""
    return instant.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def difference(windows: Iterable[Window], taken: Iterable[Window]) -> tuple[Window, ...]:
    """Return what of some windows lies in none of the taken ones; each window stays apart, in the given order."""
    left = list(windows)
    for cut in union(taken):  # days that follow one another are one cut
        left = [part for window in left for part in _without(window, cut)]
    return tuple(left)


def union(windows: Iterable[Window]) -> tuple[Window, ...]:
    """Add windows up: the fewest disjoint windows that hold the same instants, oldest first."""
    oldest_first = sorted(windows, key=lambda window: window.start or _EARLIEST)
    merged: list[Window] = []
    for window in oldest_first:
        last = merged[-1] if merged else None
        if last and (last.end is None or window.start is None or window.start <= last.end):
            merged[-1] = Window(last.start, _later(last.end, window.end))
        else:
            merged.append(window)
    return tuple(merged)


def intersection(one: Window, other: Window) -> Window:
    """Return what two windows share.

    Raises:
        WindowError: They share nothing.
    """
    starts = [window.start for window in (one, other) if window.start is not None]
    ends = [window.end for window in (one, other) if window.end is not None]
    return Window(max(starts, default=None), min(ends, default=None))


def _without(window: Window, cut: Window) -> Iterator[Window]:
    """Yield what of a window lies before a cut, then what lies after it."""
    for side in (Window(None, cut.start) if cut.start else None, Window(cut.end, None) if cut.end else None):
        with contextlib.suppress(WindowError):
            if side is not None:
                yield intersection(window, side)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return None if one is None or other is None else max(one, other)


def _parse_iso(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise WindowError(
            f"{text[:40]!r} is no time. Write a date (2026-07-01), a time with its zone "
            "(2026-07-01T09:00:00Z), or a time ago (-30d, -6h)."
        ) from None
    is_date = len(text) <= len("2026-07-01") and "T" not in text
    return moment.replace(tzinfo=UTC) if is_date else _aware(moment, repr(text))


def _aware(moment: datetime, shown: str) -> datetime:
    if moment.tzinfo is None:
        raise WindowError(f"{shown} has no time zone, so it is no instant. Add one, for example 'Z' for UTC.")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise WindowError(f"{shown} lies outside of the years 1 to 9999 in UTC.") from None


def _iso(instant: datetime | None, none: str) -> str:
    return none if instant is None else instant.isoformat().replace("+00:00", "Z")
