"""Windows: half-open, in UTC, and what a person may write."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditframe.errors import WindowError
from auditframe.window import (
    EPOCH,
    Window,
    difference,
    intersection,
    parse_duration,
    parse_instant,
    parse_window,
    split_days,
    union,
)

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
FIRST_HOUR = EPOCH - timedelta(hours=4)
instants = st.datetimes(datetime(2020, 1, 1), datetime(2020, 3, 1), timezones=st.just(UTC))  # noqa: DTZ001


@st.composite
def windows(draw: st.DrawFn) -> Window:
    start = draw(instants)
    return Window(start, start + draw(st.timedeltas(timedelta(microseconds=1), timedelta(days=9))))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-07-01", datetime(2026, 7, 1, tzinfo=UTC)),
        (date(2026, 7, 1), datetime(2026, 7, 1, tzinfo=UTC)),
        ("2026-07-01T09:00:00Z", datetime(2026, 7, 1, 9, tzinfo=UTC)),
        ("2026-07-01T09:00:00+02:00", datetime(2026, 7, 1, 7, tzinfo=UTC)),
        (datetime(2026, 7, 1, 9, tzinfo=timezone(timedelta(hours=-5))), datetime(2026, 7, 1, 14, tzinfo=UTC)),
        ("-30d", datetime(2026, 10, 24, 12, 30, tzinfo=UTC)),
        ("-6h", datetime(2026, 11, 23, 6, 30, tzinfo=UTC)),
        ("-15m", datetime(2026, 11, 23, 12, 15, tzinfo=UTC)),
    ],
)
def test_every_way_to_write_an_instant_means_one_moment_in_utc(written: str | date, meant: datetime) -> None:
    assert parse_instant(written, now=NOW) == meant
    assert parse_instant(written, now=NOW).utcoffset() == timedelta(0)


@pytest.mark.parametrize("written", ["2026-07-01T09:00:00", "yesterday", "", "30d", "-30y", datetime(2026, 7, 1)])  # noqa: DTZ001
def test_what_is_no_instant_is_refused(written: str) -> None:
    with pytest.raises(WindowError):
        parse_instant(written)


@pytest.mark.parametrize("written", ["-999999d", "-99999999d", "-999999999d"])
def test_an_instant_before_the_year_1_lies_too_far_back(written: str) -> None:
    with pytest.raises(WindowError, match="too far back"):
        parse_instant(written, now=NOW)


@pytest.mark.parametrize("written", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-10:00"])
def test_an_instant_that_no_calendar_in_utc_holds_is_refused(written: str) -> None:
    for instant in (written, datetime.fromisoformat(written)):
        with pytest.raises(WindowError, match="years 1 to 9999"):
            parse_instant(instant)


def test_a_naive_end_is_refused_however_the_window_is_made() -> None:
    with pytest.raises(WindowError, match="no time zone"):
        Window(datetime(2026, 7, 1))  # noqa: DTZ001


@pytest.mark.parametrize("end", ["2026-07-01", "2026-06-30"])
def test_an_empty_window_is_refused(end: str) -> None:
    with pytest.raises(WindowError, match="empty"):
        parse_window("2026-07-01", end)


def test_a_window_holds_its_start_and_not_its_end() -> None:
    window = parse_window("2026-07-01", "2026-07-02")

    assert datetime(2026, 7, 1, tzinfo=UTC) in window
    assert datetime(2026, 7, 2, tzinfo=UTC) not in window


@given(windows())
def test_days_add_up_to_their_window_and_never_cross_midnight(window: Window) -> None:
    days = list(split_days(window))

    assert union(days) == (window,)
    assert [day.start for day in days[1:]] == [day.end for day in days[:-1]]
    assert all(
        day.start and day.end and day.start.date() == (day.end - timedelta(microseconds=1)).date() for day in days
    )


@given(st.lists(windows(), max_size=8), instants)
def test_a_union_holds_the_instants_that_its_windows_hold(parts: list[Window], instant: datetime) -> None:
    whole = union(parts)

    assert any(instant in part for part in parts) == (sum(instant in part for part in whole) == 1)
    assert list(whole) == sorted(whole, key=lambda window: window.start or EPOCH)


@given(st.lists(windows(), max_size=8))
def test_a_union_does_not_depend_on_order_and_adds_nothing_twice(parts: list[Window]) -> None:
    assert union(reversed(parts)) == union(parts) == union([*union(parts), *parts])


@given(windows(), windows(), instants)
def test_an_intersection_holds_what_both_hold(one: Window, other: Window, instant: datetime) -> None:
    try:
        shared = intersection(one, other)
    except WindowError:
        assert not (instant in one and instant in other)
    else:
        assert (instant in shared) == (instant in one and instant in other)


def test_open_ends_swallow_what_lies_beyond_them() -> None:
    since = Window(None, datetime(2026, 1, 2, tzinfo=UTC))
    until = Window(datetime(2026, 1, 2, tzinfo=UTC), None)

    assert union([until, since]) == (Window(None, None),)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("30d", timedelta(days=30)),
        ("2h", timedelta(hours=2)),
        (" 15m", timedelta(minutes=15)),
        ("90s", timedelta(seconds=90)),
    ],
)
def test_a_length_of_time_is_read(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize("text", ["", "0d", "-2h", "2", "2w", "1.5h", "2h30m"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(WindowError, match="length of time"):
        parse_duration(text)


@given(st.lists(st.tuples(st.none() | st.integers(0, 9), st.none() | st.integers(0, 9)), max_size=4), st.data())
def test_a_difference_holds_what_the_windows_hold_and_no_taken_one_does(
    ends: list[tuple[int | None, int | None]], data: st.DataObject
) -> None:
    windows = [_hours(start, end) for start, end in ends if start is None or end is None or start < end]
    taken = data.draw(st.lists(st.sampled_from(windows), max_size=2)) if windows else []
    others = data.draw(st.lists(st.integers(0, 8), max_size=2))
    taken += [_hours(hour, hour + 1) for hour in others]
    left = difference(windows, taken)
    for half_hour in range(-2, 22):
        instant = FIRST_HOUR + timedelta(minutes=30 * half_hour)
        is_held = any(instant in window for window in windows) and not any(instant in window for window in taken)

        assert any(instant in window for window in left) == is_held


def _hours(start: int | None, end: int | None) -> Window:
    return Window(*(None if hour is None else FIRST_HOUR + timedelta(hours=hour) for hour in (start, end)))
