"""A window that was cut short goes on from its cursor; where that is refused it is read anew, in parts."""

from __future__ import annotations

import contextlib
import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import auditframe as af
from auditframe.client import Retry
from auditframe.coverage import shortcomings
from auditframe.emulator import Behaviour, Emulator, Fault
from auditframe.errors import SnapshotInterrupted, WindowError
from auditframe.flatten import flatten_events
from auditframe.lake.journal import Walk
from auditframe.lake.ledger import gaps
from auditframe.lake.writer import Writer
from auditframe.snapshot._budget import MOST_PAGES, Budget
from auditframe.snapshot._plan import Asked, halves, in_turn, plan_walks
from auditframe.window import ALWAYS, Window, difference, union
from tests.conftest import KEY, connected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditframe.client import Order
    from auditframe.sample import Sample

START, END = "2026-10-10", "2026-11-01"
T0 = datetime(2026, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> af.Lake:
    return af.Lake(tmp_path / "lake")


def ids(lake: af.Lake) -> list[str]:
    return sorted(map(str, lake.arrow("SELECT id FROM events")["id"].to_pylist())) if lake.exists() else []


def truth(events: Any) -> list[str]:
    return sorted(event["id"] for event in events)


def one_day(count: int, *, in_a_second: int = 1) -> list[dict[str, Any]]:
    """Events of one day, so many of them in the same second."""
    at = int(T0.timestamp()) + 3600
    return [{"id": f"e{n:04d}", "type": "login.succeeded", "effective_at": at + n // in_a_second} for n in range(count)]


def run_until_covered(lake: af.Lake, emulators: Iterator[Emulator], *, window: Window, **bounds: Any) -> None:
    """Run snapshots with bounds until the window is covered; each must bring the lake forward."""
    before = state(lake)
    for _ in range(150):
        with contextlib.suppress(SnapshotInterrupted):
            af.snapshot(lake, connected(next(emulators)), start=window.start, end=window.end, **bounds)
        if all(lake.coverage(scope) == (window,) for scope in ("organization", "tenant")):
            return
        now = state(lake)
        assert now != before
        before = now
    raise AssertionError("not covered after 150 runs")


def state(lake: af.Lake) -> tuple[Any, ...]:
    """Return what tells whether a run has brought a lake forward."""
    if not lake.exists():
        return ()
    walks = [(walk.scope, walk.window, walk.cursors) for walk in lake.walks()]
    return (ids(lake), walks, lake.coverage("organization"), lake.coverage("tenant"))


@pytest.mark.parametrize("order", ["newest_first", "oldest_first"])
def test_a_window_cut_short_goes_on_from_its_cursor(lake: af.Lake, order: Order) -> None:
    emulator = Emulator(one_day(1_000), behaviour=Behaviour(order=order))
    with pytest.raises(SnapshotInterrupted, match="4 page"):
        af.snapshot(lake, connected(emulator), start=T0, end=T0 + timedelta(days=1), max_pages=4, workers=1)
    (walk,) = lake.walks()
    before = len(emulator.requests)
    result = af.snapshot(lake, connected(emulator), start=T0, end=T0 + timedelta(days=1), workers=1)
    asked = [request.query["after"][0] for request in emulator.requests[before:] if "after" in request.query]

    assert walk.cursors[0] == ("e0600" if order == "newest_first" else "e0399")
    assert asked[0] == walk.cursors[0]
    assert (result.new, result.known, result.pages) == (600, 0, 6 + 1)
    assert ids(lake) == truth(one_day(1_000))
    assert lake.walks() == ()
    assert lake.verify() == ()
    assert lake.coverage("organization") == (Window(T0, T0 + timedelta(days=1)),)


def test_a_window_goes_on_though_nobody_asks_for_it_by_name(lake: af.Lake) -> None:
    emulator = Emulator(one_day(500))
    with pytest.raises(SnapshotInterrupted):
        af.snapshot(lake, connected(emulator), start=T0, end=T0 + timedelta(days=1), max_pages=2, workers=1)
    before = len(emulator.requests)
    af.snapshot(lake, connected(emulator))

    asked = [request.query["after"][0] for request in emulator.requests[before:] if "after" in request.query]

    assert asked[0] == "e0300"
    assert ids(lake) == truth(one_day(500))
    assert lake.walks() == ()


@pytest.mark.parametrize("order", ["newest_first", "oldest_first"])
@pytest.mark.parametrize(("pages", "workers"), [(1, 1), (3, 8), (9, 2)])
def test_every_run_brings_the_lake_forward(
    organization: Sample, lake: af.Lake, order: Order, pages: int, workers: int
) -> None:
    window, emulator = Window(T0, T0 + 8 * DAY), Emulator(organization.events, behaviour=Behaviour(order=order))
    run_until_covered(lake, itertools.repeat(emulator), window=window, max_pages=pages, workers=workers)

    assert ids(lake) == truth(
        each for each in organization.events if datetime.fromtimestamp(each["effective_at"], UTC) in window
    )
    assert lake.verify() == ()
    assert all(entry.counts.received == entry.counts.accounted for entry in lake.ledger())


@pytest.mark.parametrize("order", ["newest_first", "oldest_first"])
@pytest.mark.parametrize(("pages", "in_a_second"), [(1, 1), (1, 90), (3, 30)])
def test_runs_get_there_even_where_no_cursor_outlives_its_run(
    lake: af.Lake, order: Order, pages: int, in_a_second: int
) -> None:
    events, window = one_day(500, in_a_second=in_a_second), Window(T0, T0 + DAY)
    forgetful = (Emulator(events, behaviour=Behaviour(order=order, cursor_life=1_000)) for _ in itertools.count())
    run_until_covered(lake, forgetful, window=window, max_pages=pages, workers=1)

    assert ids(lake) == truth(events)
    assert lake.verify() == ()


def test_a_refused_cursor_begins_its_own_window_anew_and_no_other(organization: Sample, lake: af.Lake) -> None:
    events = [*organization.events, *one_day(900)]
    with pytest.raises(SnapshotInterrupted):
        af.snapshot(lake, connected(Emulator(events)), start=T0 - 2 * DAY, end=END, max_pages=9, workers=1)
    (covered,), (walk,) = lake.coverage("organization"), lake.walks()
    again = Emulator(events, behaviour=Behaviour(cursor_life=1_000))
    af.snapshot(lake, connected(again), end=END, workers=1)
    (restarted,) = [each for each in lake.ledger()[-1].collected[0].windows if each.end == T0 + DAY]

    assert (covered.end, walk.window) == (T0, Window(T0, T0 + DAY))
    assert T0 < (restarted.start or T0) < T0 + DAY
    assert ids(lake) == truth(events)
    assert lake.walks() == ()


class Shrugging(httpx.BaseTransport):
    """A way to an emulator on which a refusal becomes a walk that ends without an event, after so many empty pages."""

    def __init__(self, emulator: Emulator, *, empty_pages: int) -> None:
        self._inner = httpx.WSGITransport(emulator)
        self._left = empty_pages

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        if response.status_code != 400:
            return response
        self._left -= 1
        return httpx.Response(200, json={"data": [], "last_id": f"nothing-{self._left}", "has_more": self._left > 0})


@pytest.mark.parametrize("empty_pages", [1, 2])
@pytest.mark.parametrize("max_pages", [None, 1, 2])
def test_a_cursor_that_leads_to_nothing_proves_nothing_and_its_window_is_read_anew(
    lake: af.Lake, empty_pages: int, max_pages: int | None
) -> None:
    events, window = one_day(300), Window(T0, T0 + DAY)
    with pytest.raises(SnapshotInterrupted):
        af.snapshot(lake, connected(Emulator(events)), start=window.start, end=window.end, max_pages=2, workers=1)
    for _ in range(20):
        emulator = Emulator(events, behaviour=Behaviour(cursor_life=1_000))
        shrugging = Shrugging(emulator, empty_pages=empty_pages)
        client = af.Client(KEY, base_url="http://emulator.example/v1", transport=shrugging)
        with contextlib.suppress(SnapshotInterrupted):
            af.snapshot(lake, client, start=window.start, end=window.end, max_pages=max_pages, workers=1)
            break

    assert ids(lake) == truth(events)
    assert lake.coverage("organization") == (window,)
    assert lake.verify() == ()


def test_a_cursor_is_not_followed_in_another_direction_than_before(lake: af.Lake) -> None:
    events, end = one_day(1_000), T0 + timedelta(days=1)
    with pytest.raises(SnapshotInterrupted):
        af.snapshot(lake, connected(Emulator(events)), start=T0, end=end, max_pages=4, workers=1)
    turned = Emulator(events, behaviour=Behaviour(order="oldest_first"))
    af.snapshot(lake, connected(turned), start=T0, end=end, workers=1)

    assert ids(lake) == truth(events)
    assert lake.verify() == ()


def test_an_endpoint_that_turns_inside_a_walk_is_an_error_and_the_next_run_heals_it(lake: af.Lake) -> None:
    events, end = one_day(1_000), T0 + timedelta(days=1)
    turning = Emulator(events, behaviour=Behaviour(turned_at=4))
    with pytest.raises(SnapshotInterrupted):
        af.snapshot(lake, connected(turning), start=T0, end=end, workers=1)
    assert lake.coverage("organization") == ()
    af.snapshot(lake, connected(turning), start=T0, end=end, workers=1)

    assert ids(lake) == truth(events)


def test_a_window_that_always_fails_does_not_keep_the_others_from_being_read(
    organization: Sample, lake: af.Lake
) -> None:
    looping = tuple(Fault(at, kind="loop") for at in range(2, 8))
    with pytest.raises(SnapshotInterrupted):
        af.snapshot(
            lake, connected(Emulator(organization.events, behaviour=Behaviour(faults=looping))), start=START, workers=1
        )
    af.snapshot(lake, connected(Emulator(organization.events)), start=START, end=END)

    assert ids(lake) == truth(organization.events)
    assert lake.walks() == ()


class Ailing(httpx.BaseTransport):
    """A way to an emulator that fails for windows that begin before an instant."""

    def __init__(self, emulator: Emulator, *, before: datetime) -> None:
        self._inner = httpx.WSGITransport(emulator)
        self._before_s = before.timestamp()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if float(request.url.params.get("effective_at[gte]", "0")) >= self._before_s:
            return self._inner.handle_request(request)
        time.sleep(0.5)  # so that other windows are read before the first failure ends the run
        return httpx.Response(500)


class Killed(BaseException):
    """Stands for SIGKILL: nothing handles it."""


@pytest.mark.parametrize("start", [None, "2026-10-12"])
@pytest.mark.parametrize("ending", ["interrupted", "killed"])
def test_an_oldest_window_that_failed_is_a_gap_until_a_run_without_a_start_reads_it(
    organization: Sample, lake: af.Lake, monkeypatch: pytest.MonkeyPatch, start: str | None, ending: str
) -> None:
    emulator, edge = Emulator(organization.events), T0 + DAY if start else NOW - 365 * DAY
    ailing = Ailing(emulator, before=edge)
    client = af.Client(KEY, base_url="http://emulator.example/v1", transport=ailing, retry=Retry(attempts=1))
    if ending == "killed":
        monkeypatch.setattr(Writer, "commit", kill)
    with pytest.raises(Killed if ending == "killed" else SnapshotInterrupted):
        af.snapshot(lake, client, start=start, workers=3)
    monkeypatch.undo()
    lake.append(flatten_events([]))
    gap = gaps(lake.ledger(), "organization")[0]
    wrong = shortcomings(lake.ledger(), now=NOW)
    af.snapshot(lake, connected(emulator))

    assert gap.start == (T0 if start else None)
    assert "gap" in wrong[0]
    assert ids(lake) == truth(organization.events)
    assert shortcomings(lake.ledger(), now=NOW) == ()
    assert lake.verify() == ()


def kill(*_: object, **__: object) -> None:
    raise Killed


def test_a_revoked_key_keeps_the_cursor(organization: Sample, lake: af.Lake) -> None:
    revoked = Emulator(one_day(800), behaviour=Behaviour(revoked_after=3))
    with pytest.raises(SnapshotInterrupted, match="key"):
        af.snapshot(lake, connected(revoked), start=T0, end=T0 + timedelta(days=1), workers=1)

    assert [walk.cursors[0] for walk in lake.walks()] == ["e0500"]
    assert len(ids(lake)) == 300


def test_a_rate_limit_that_never_heals_is_an_interruption_that_says_so(lake: af.Lake) -> None:
    refusing = Emulator([], behaviour=Behaviour(faults=tuple(Fault(at, status=429) for at in range(99))))
    with pytest.raises(SnapshotInterrupted, match="429") as caught:
        af.snapshot(lake, connected(refusing), start=START, end=END)

    assert (caught.value.collected, caught.value.number) == (0, None)
    assert caught.value.remaining == 44
    assert not lake.path.exists()


def test_pages_are_counted_exactly_by_any_number_of_workers(organization: Sample, lake: af.Lake) -> None:
    emulator = Emulator(organization.events)
    with pytest.raises(SnapshotInterrupted) as caught:
        af.snapshot(lake, connected(emulator), start=START, end=END, max_pages=17)

    assert len(emulator.requests) == 17
    assert sum(each.pages for each in lake.ledger()[-1].collected) == 17
    assert caught.value.number == 1


def test_a_run_that_needs_no_more_pages_than_allowed_is_complete(lake: af.Lake) -> None:
    result = af.snapshot(lake, connected(Emulator(one_day(300))), start=T0, end=T0 + timedelta(days=1), max_pages=4)

    assert (result.pages, result.new) == (4, 300)


def test_time_that_is_over_ends_a_run_with_what_arrived(lake: af.Lake) -> None:
    emulator = Emulator(one_day(1_000), behaviour=Behaviour(latency_s=0.05))
    with pytest.raises(SnapshotInterrupted, match=r"0\.2 s"):
        af.snapshot(lake, connected(emulator), start=T0, end=T0 + timedelta(days=1), max_seconds=0.2, workers=1)

    assert 0 < len(ids(lake)) < 1_000
    assert len(lake.walks()) == 1
    assert af.snapshot(lake, connected(emulator)).known < 1_000
    assert ids(lake) == truth(one_day(1_000))


@pytest.mark.parametrize("bound", ["max_pages", "max_seconds"])
def test_a_bound_that_lets_nothing_through_is_refused(lake: af.Lake, bound: str) -> None:
    with pytest.raises(WindowError, match=bound):
        af.snapshot(lake, connected(Emulator([])), **{bound: 0})  # type: ignore[arg-type]


instants = st.datetimes(datetime(2026, 10, 12), datetime(2026, 10, 13), timezones=st.just(UTC))  # noqa: DTZ001


@given(instants, instants, st.sampled_from(["newest_first", "oldest_first"]))
def test_halves_add_up_to_their_window(one: datetime, other: datetime, order: Order) -> None:
    walk = Walk(
        scope="organization",
        start=T0,
        end=T0 + timedelta(days=1),
        asked_at=NOW,
        number=1,
        order=order,
        oldest_at=min(one, other),
        newest_at=max(one, other),
    )
    parts = halves(walk)

    assert union(part.window for part in parts) == (walk.window,)
    assert len(parts) == 2
    assert all(part.start is None or part.start.microsecond == 0 for part in parts)
    assert (parts[0].end == walk.end) == (order == "newest_first")


def test_one_second_is_not_cut() -> None:
    walk = Walk(
        scope="tenant",
        start=T0,
        end=T0 + timedelta(seconds=1),
        asked_at=NOW,
        number=1,
        oldest_at=T0,
        newest_at=T0,
    )

    assert [part.window for part in halves(walk)] == [walk.window]


def test_what_was_cut_short_is_read_first_and_its_window_not_twice() -> None:
    day = timedelta(days=1)
    left = Walk(scope="tenant", start=T0 + day, end=T0 + 2 * day, asked_at=NOW, number=3, cursors=["c"])
    troubled = Walk(
        scope="tenant", start=T0 + 3 * day, end=T0 + 4 * day, asked_at=NOW, number=3, oldest_at=T0 + 3 * day
    )
    elsewhere = Walk(scope="organization", start=T0, end=None, asked_at=NOW, number=3, cursors=["d"])
    asked = Asked(Window(T0, T0 + 5 * day), NOW)
    planned = list(in_turn([plan_walks("tenant", asked, leftovers=[troubled, left, elsewhere])]))

    assert (planned[0], planned[-1]) == (left, troubled)
    assert union(walk.window for walk in planned) == (asked.window,)
    assert all(
        a.end <= b.start or b.end <= a.start
        for a, b in itertools.combinations([Window(w.start, w.end) for w in planned], 2)
        if a.end and b.end and a.start and b.start
    )


def test_an_open_window_is_taken_up_only_as_far_as_it_had_been_asked_for() -> None:
    left = Walk(scope="tenant", start=T0, end=None, asked_at=T0 + timedelta(hours=5), number=1, cursors=["c"])
    planned = list(in_turn([plan_walks("tenant", Asked(ALWAYS, NOW), leftovers=[left])]))

    assert planned[0] == left
    assert union(walk.window for walk in planned[1:]) == (Window(None, T0), Window(T0 + timedelta(hours=5), None))


def test_after_a_clock_was_set_back_what_is_owed_of_the_future_waits_until_it_has_come(lake: af.Lake) -> None:
    with pytest.raises(SnapshotInterrupted):
        af.snapshot(lake, connected(Emulator(one_day(150))), start=T0, end=T0 + 3 * DAY, max_pages=2, workers=1)
    entries, now = lake.ledger(), T0 + timedelta(hours=12)
    early = union(walk.window for walk in plan_walks("organization", Asked(ALWAYS, now), entries=entries))
    late = union(walk.window for walk in plan_walks("organization", Asked(ALWAYS, NOW), entries=entries))

    assert lake.coverage("organization") == (Window(T0, T0 + DAY),)
    assert [window.end for window in early] == [None]
    assert all(window.start is None or window.start < now for window in early)
    assert difference([Window(T0 + DAY, T0 + 3 * DAY)], late) == ()


def test_early_pages_are_handed_over_early_and_later_ones_in_ever_larger_batches() -> None:
    budget, batches, held = Budget(pages=None, seconds=None), [], 0
    for _ in range(1_000):
        held += 1
        if budget.is_due(held):
            budget.hand_over(held)
            batches.append(held)
            held = 0

    assert batches[:5] == [1, 2, 4, 8, 16]
    assert max(batches) == MOST_PAGES
