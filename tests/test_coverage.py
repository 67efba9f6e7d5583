"""Coverage: what was read whole and what is open add up, and every shortcoming is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import auditframe as af
from auditframe.coverage import COLUMNS, missing, shortcomings, spans, to_arrow
from auditframe.emulator import Behaviour, Emulator
from auditframe.errors import AuditFrameWarning, LakeNotFoundError, SnapshotInterrupted
from auditframe.flatten import flatten_events
from auditframe.lake.ledger import current_partitions
from auditframe.lake.records import Collected, Counts, Entry, Span, Status
from auditframe.lake.unread import Pass, Stretch, unread
from auditframe.window import Window, union
from tests.conftest import connected

if TYPE_CHECKING:
    from pathlib import Path

    from auditframe.sample import Sample

T0 = datetime(2026, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = T0 + timedelta(days=40)


def entry(*read: tuple[int, int], scope: str = "organization", status: Status = "complete") -> Entry:
    """An entry that read windows from one hour to another whole."""
    collected = Collected(
        scope=scope,
        status=status,
        windows=[Span(start=T0 + first * HOUR, end=T0 + last * HOUR) for first, last in read],
        pages=1,
        first_request_id=None,
        last_request_id=None,
    )
    return Entry(
        number=1,
        kind="snapshot",
        started_at=NOW,
        finished_at=NOW,
        collected=[collected],
        counts=Counts(),
        partitions=[],
        previous=None,
    )


hours = st.integers(0, 300)
windows = st.tuples(hours, hours).filter(lambda pair: pair[0] < pair[1])


@given(st.lists(windows, min_size=1, max_size=8))
def test_covered_windows_and_gaps_add_up_and_are_disjoint(read: list[tuple[int, int]]) -> None:
    organization, _ = spans([entry(*read)])
    first, last = min(pair[0] for pair in read), max(pair[1] for pair in read)
    parts = [*organization.covered, *organization.gaps]

    assert union(parts) == (Window(T0 + first * HOUR, T0 + last * HOUR),)
    assert sum(((each.end or T0) - (each.start or T0) for each in parts), timedelta()) == (last - first) * HOUR


def test_each_gap_is_said_with_and_without_an_age() -> None:
    entries = [entry((0, 5), (7, 9), (12, 13))]

    assert len(shortcomings(entries, now=NOW)) == 2
    assert "2026-10-12T05:00:00Z, 2026-10-12T07:00:00Z" in shortcomings(entries, now=NOW)[0]


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([], ["organization was never", "tenant was never"]),
        ([entry((0, 960)), entry((0, 960), scope="tenant")], []),
        ([entry((0, 900)), entry((0, 960), scope="tenant")], ["organization is stale"]),
        ([entry((0, 960)), entry(scope="tenant", status="not_permitted")], []),
        ([entry((0, 960)), entry((0, 9), scope="tenant"), entry(scope="tenant", status="not_permitted")], ["any more"]),
    ],
)
def test_a_scope_is_stale_when_it_could_be_read_and_was_not(entries: list[Entry], said: list[str]) -> None:
    found = shortcomings(entries, now=NOW + HOUR, max_age=2 * HOUR)

    assert len(found) == len(said)
    assert all(words in what for words, what in zip(said, found, strict=True))


def stretches(*read: tuple[int | None, int]) -> list[Stretch]:
    return [Stretch(None if first is None else T0 + first * HOUR, T0 + last * HOUR) for first, last in read]


def asked(start: int | None = None, end: int | None = None) -> Window:
    return Window(*(None if each is None else T0 + each * HOUR for each in (start, end)))


@pytest.mark.parametrize(
    ("window", "left"),
    [
        (asked(), [asked(20, 30)]),
        (asked(0, 20), []),
        (asked(10, 25), [asked(20, 25)]),
        (asked(30), []),
        (asked(25), [asked(25, 30)]),
        (asked(end=10), []),
        (asked(end=40), [asked(20, 30)]),
        (asked(-5, 10), [asked(-5, 0)]),
        (asked(end=-5), [asked(end=-5)]),
        (asked(-9, -5), [asked(-9, -5)]),
        (asked(90, 120), [asked(100, 120)]),
        (asked(90, 500), []),
        (asked(99), []),
        (asked(100), [asked(100)]),
        (asked(130, 500), [asked(130, 500)]),
    ],
    ids=str,
)
def test_what_nobody_has_read_of_a_window_is_told_but_not_an_end_that_no_snapshot_could_have_read(
    window: Window, left: list[Window]
) -> None:
    passes = [Pass("organization", stretches((0, 10), (8, 20))), Pass("organization", stretches((30, 100)))]
    passes += [Pass("tenant", stretches((0, 5)))]
    found = unread(passes, window, expired=(), is_empty=False, now=T0 + 124 * HOUR)

    assert list(found) == left


def test_an_open_end_asks_for_no_more_than_a_snapshot_a_day_reads_where_one_failed() -> None:
    passes = [Pass("organization", stretches((None, 100)))]
    found = [unread(passes, asked(50), expired=(), is_empty=False, now=T0 + n * HOUR) for n in (100, 147, 149)]

    assert found == [(), (), (asked(100),)]
    assert unread(passes, asked(), expired=(), is_empty=False, now=T0 + 999 * HOUR) == ()


def test_what_has_expired_or_was_never_claimed_is_not_unread() -> None:
    passes = [Pass("organization", stretches((0, 10), (20, 30)))]
    expired = unread(passes, asked(), expired=[asked(end=25)], is_empty=False, now=NOW)
    owed = unread([Pass("organization", [], stretches((0, 9)))], asked(), expired=(), is_empty=False, now=NOW)
    imported = [unread([], asked(0, 9), expired=(), is_empty=empty, now=NOW) for empty in (False, True)]

    assert expired == ()
    assert owed == (asked(0, 9),)
    assert imported == [(), (asked(0, 9),)]


def test_a_question_about_time_that_nobody_read_warns_once(organization: Sample, tmp_path: Path) -> None:
    lake, client = af.Lake(tmp_path / "lake"), connected(Emulator(organization.events))
    for day in (14, 20):
        af.snapshot(lake, client, start=f"2026-10-{day}", end=f"2026-10-{day + 4}")
    gap = r"Nobody has read \[2026-10-18T00:00:00Z, 2026-10-20T00:00:00Z\) whole"
    with pytest.warns(AuditFrameWarning, match=gap) as warned:
        inside = lake.window("2026-10-15", "2026-10-23")
    af.reports.findings(inside)
    for ask in (af.reports.findings, partial(af.backtest, af.reports.password_spray, days=3)):
        with pytest.warns(AuditFrameWarning, match=gap) as warned_too:
            ask(lake)
        assert len(warned_too) == 1

    assert (len(warned), warned[0].filename, inside.unread) == (1, __file__, (asked(144, 192),))
    assert lake.window("2026-10-14", "2026-10-18").unread == ()
    assert len(lake.to_pandas()) == len(lake.events.to_pandas())


def test_a_lake_of_imports_warns_only_where_it_holds_nothing(organization: Sample, tmp_path: Path) -> None:
    lake = af.Lake(tmp_path / "lake")
    lake.append(flatten_events(organization.events))
    af.reports.findings(lake)
    af.reports.findings(lake.window("2026-10-20", "2026-10-25"))

    with pytest.warns(AuditFrameWarning, match=r"Nobody has read \[2026-11-10T00:00:00Z, \+inf\) whole"):
        lake.window("2026-11-10")


def test_coverage_says_of_each_scope_what_was_read(organization: Sample, tmp_path: Path) -> None:
    lake = af.Lake(tmp_path / "lake")
    forbidden = Emulator(organization.events, behaviour=Behaviour(tenant="forbidden"))
    af.snapshot(lake, connected(forbidden), start="2026-10-10", end="2026-11-01")
    frame = af.coverage(lake)
    one, two = to_arrow(lake, now=NOW).to_pylist()

    assert list(frame.columns) == list(COLUMNS)
    assert frame["scope"].tolist() == ["organization", "tenant"]
    assert (one["status"], two["status"]) == ("complete", "not_permitted")
    assert (one["covered_until"], two["covered_until"]) == (datetime(2026, 11, 1, tzinfo=UTC), None)
    assert one["lag_s"] == (NOW - datetime(2026, 11, 1, tzinfo=UTC)).total_seconds()
    assert one["events"] == len(lake.to_arrow())
    assert (one["order"], one["gaps"], two["events"], two["lag_s"]) == ("newest_first", [], 0, None)


def test_coverage_counts_what_was_cut_short_what_vanished_and_what_is_held(tmp_path: Path) -> None:
    lake, at = af.Lake(tmp_path / "lake"), int(T0.timestamp())
    first = [{"id": f"e{n}", "type": "login.succeeded", "effective_at": at + n} for n in range(300)]
    af.snapshot(lake, connected(Emulator(first)), start=T0, end=T0 + 24 * HOUR)
    later = [{**first[0], "actor": None}, *first[2:], {"id": "e999", "effective_at": at}]
    af.snapshot(lake, connected(Emulator(later)), start=T0, end=T0 + 24 * HOUR)
    with pytest.raises(SnapshotInterrupted):
        af.snapshot(lake, connected(Emulator(later)), start=T0, end=T0 + 24 * HOUR, max_pages=1, workers=1)
    row = af.coverage(lake).iloc[0]

    assert (row["vanished"], row["mutations"], row["quarantined"], row["cut_short"]) == (1, 1, 1, 1)


def test_a_gap_that_has_expired_is_none_any_more(organization: Sample, tmp_path: Path) -> None:
    lake, client = af.Lake(tmp_path / "lake"), connected(Emulator(organization.events))
    for day in (12, 16, 20):
        af.snapshot(lake, client, start=f"2026-10-{day}", end=f"2026-10-{day + 1}")
    lake.expire("2026-10-18")

    assert af.coverage(lake)["gaps"].tolist() == [["[2026-10-18T00:00:00Z, 2026-10-20T00:00:00Z)"]] * 2
    assert len(shortcomings(lake.ledger(), now=NOW)) == len(lake.verify()) == 2


def test_a_partition_whose_file_is_gone_is_said_to_be_missing(organization: Sample, tmp_path: Path) -> None:
    lake = af.Lake(tmp_path / "lake")
    lake.append(flatten_events(organization.events))
    day, state = list(current_partitions(lake.ledger()).items())[3]
    whole = missing(lake, lake.ledger())
    (lake.path / f"events/date={day}/events.parquet").unlink()

    assert whole == ()
    assert missing(lake, lake.ledger()) == (
        f"The partition {day} is missing with its {state.rows} event(s). See: auditframe verify",
    )


def test_a_folder_that_is_no_lake_has_no_coverage(tmp_path: Path) -> None:
    with pytest.raises(LakeNotFoundError):
        af.coverage(af.Lake(tmp_path))
