"""Snapshot: both scopes, window by window, and a ledger entry that claims no more than was read."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import auditframe as af
from auditframe.client import Retry
from auditframe.emulator import Behaviour, Emulator, Fault, RateLimit
from auditframe.errors import AuthError, LakeError, NetworkError, SnapshotInterrupted, WindowError
from auditframe.fingerprints import Fingerprints
from auditframe.flatten import place
from auditframe.lake.journal import Walk
from auditframe.lake.records import Counts, Entry
from auditframe.snapshot import _plan
from auditframe.snapshot._passes import Passes
from auditframe.snapshot._plan import MOST_OVERLAP, OVERLAP, Plan, overlap_after, plan_windows
from auditframe.snapshot._reading import Piece, Reach, Restart
from auditframe.window import ALWAYS, Window, union
from tests.conftest import HASTY, KEY, connected

if TYPE_CHECKING:
    from pathlib import Path

    from auditframe.sample import Sample
    from auditframe.snapshot import Progress

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
START = "2026-10-10"


@pytest.fixture
def lake(tmp_path: Path) -> af.Lake:
    return af.Lake(tmp_path / "lake")


def ids(lake: af.Lake) -> list[str]:
    return sorted(map(str, lake.to_arrow()["id"].to_pylist()))


def test_a_snapshot_brings_every_event_and_the_next_one_nothing(organization: Sample, lake: af.Lake) -> None:
    client = connected(Emulator(organization.events))
    first, second = af.snapshot(lake, client), af.snapshot(lake, client)

    assert ids(lake) == sorted(event["id"] for event in organization.events)
    assert (first.new, first.received, second.new, second.quarantined) == (2_000, 2_000, 0, 0)
    assert (first.number, second.number) == (1, 2)
    assert second.head == lake.ledger()[-1].hash
    assert lake.verify() == ()


def test_a_snapshot_reads_the_overlap_again(organization: Sample, lake: af.Lake) -> None:
    emulator = Emulator(organization.events)
    af.snapshot(lake, connected(emulator), start=START, end="2026-10-20T06:00:00Z")
    result = af.snapshot(lake, connected(emulator), end="2026-10-21")

    again = [
        event
        for event in organization.events
        if _at("2026-10-19T06:00:00Z") <= event["effective_at"] < _at("2026-10-20T06:00:00Z")
    ]
    assert result.known == len(again) > 0


def test_an_event_that_comes_late_is_merged_and_counted(organization: Sample, lake: af.Lake) -> None:
    late = next(event for event in organization.events if event["effective_at"] >= _at("2026-10-19T12:00:00Z"))
    punctual = [event for event in organization.events if event is not late]
    af.snapshot(lake, connected(Emulator(punctual)), start=START, end="2026-10-20")
    result = af.snapshot(lake, connected(Emulator(organization.events)), end="2026-10-21")

    assert result.late == 1
    assert late["id"] in ids(lake)


def test_each_scope_is_covered_as_far_as_it_was_read(organization: Sample, lake: af.Lake) -> None:
    af.snapshot(lake, connected(Emulator(organization.events)), start=START, end="2026-10-20")

    for scope in ("organization", "tenant"):
        assert lake.coverage(scope) == (Window(_time(START), _time("2026-10-20")),)


def test_nobody_claims_to_have_read_the_future_nor_the_second_that_was_not_over(lake: af.Lake) -> None:
    before = datetime.now(UTC) - timedelta(seconds=3)  # the endpoint's Date has whole seconds, rounded down
    af.snapshot(lake, connected(Emulator([])), start="-2d", end=datetime.now(UTC) + timedelta(days=9))
    (covered,) = lake.coverage("organization")

    assert covered.end is not None
    assert before <= covered.end <= datetime.now(UTC)
    assert covered.end.microsecond == 0


def test_a_tenant_scope_that_is_not_permitted_is_recorded_and_not_covered(organization: Sample, lake: af.Lake) -> None:
    client = connected(Emulator(organization.events, behaviour=Behaviour(tenant="forbidden")))
    result = af.snapshot(lake, client, start=START, end="2026-11-01")

    assert result.not_permitted == ("tenant",)
    assert lake.coverage("tenant") == ()
    assert [each.status for each in lake.ledger()[-1].collected] == ["complete", "not_permitted"]


def test_a_wrong_key_leaves_no_trace(organization: Sample, lake: af.Lake) -> None:
    with pytest.raises(AuthError, match="admin key"):
        af.snapshot(lake, connected(Emulator(organization.events), key="sk-wrong"))
    assert not lake.path.exists()


def test_no_server_leaves_no_trace(lake: af.Lake) -> None:
    with pytest.raises(NetworkError):
        af.snapshot(lake, af.Client("sk-test", base_url="http://127.0.0.1:9/v1", retry=HASTY))
    assert not lake.path.exists()


def test_an_outage_keeps_what_arrived_and_the_next_run_completes_it(organization: Sample, lake: af.Lake) -> None:
    outage = tuple(Fault(at, status=503) for at in range(12, 40))
    emulator = Emulator(organization.events, behaviour=Behaviour(faults=outage))
    with pytest.raises(SnapshotInterrupted, match="run it again") as caught:
        af.snapshot(lake, connected(emulator), start=START, end="2026-11-01")

    assert caught.value.collected == len(ids(lake)) > 0
    assert caught.value.remaining > 0
    assert [each.status for each in lake.ledger()[-1].collected] == ["interrupted", "interrupted"]
    assert [fault for fault in lake.verify() if "a gap in coverage" not in fault.what] == []

    af.snapshot(lake, connected(Emulator(organization.events)), start=START, end="2026-11-01")
    assert ids(lake) == sorted(event["id"] for event in organization.events)


def test_coverage_ends_where_an_outage_began_and_gaps_are_read_next(organization: Sample, lake: af.Lake) -> None:
    outage = tuple(Fault(at, status=503) for at in range(12, 40))
    with pytest.raises(SnapshotInterrupted):
        af.snapshot(
            lake,
            connected(Emulator(organization.events, behaviour=Behaviour(faults=outage))),
            start=START,
            end="2026-11-01",
            workers=1,  # of several, some may have read on while one failed
        )
    (covered,) = lake.coverage("organization")
    assert covered.end is not None
    assert covered.end < _time("2026-11-01")

    af.snapshot(lake, connected(Emulator(organization.events)), end="2026-11-01")
    assert lake.coverage("organization") == (Window(_time(START), _time("2026-11-01")),)


def test_pieces_that_arrive_together_are_put_down_in_their_order(lake: af.Lake) -> None:
    walk = Walk(scope="organization", start=_time("2026-11-01"), end=_time("2026-11-03"), asked_at=NOW, number=0)
    parts = tuple(
        replace(walk, start=_time(start), end=_time(end))
        for start, end in (("2026-11-01", "2026-11-02"), ("2026-11-02", "2026-11-03"))
    )
    passes = Passes({"organization": Plan(begun=(), new=(walk,), again=(), troubled=())})
    arrived: list[Piece | Restart] = [
        _piece(replace(walk, pages=1), "first"),
        Restart(walk, parts),
        _piece(replace(parts[0], pages=1), "second"),
        _piece(replace(parts[0], pages=2, is_whole=True), "third"),
    ]
    with lake.writer() as writer:
        passes.take(arrived, writer)

        assert [left.window for left in writer.walks()] == [parts[1].window]
        assert (passes.windows_done, passes.windows_total) == (1, 2)
        assert writer.counts.new == 3


def _piece(walk: Walk, id_: str) -> Piece:
    event = {"id": id_, "type": "login.failed", "effective_at": _at("2026-11-01T12:00:00Z")}
    return Piece(walk, place([json.dumps(event).encode()], scope=walk.scope), Reach(walk), Fingerprints(), is_all=False)


def test_a_stop_by_hand_keeps_what_arrived(organization: Sample, lake: af.Lake) -> None:
    def stop(progress: Progress) -> None:
        if progress.windows_done >= 5:
            raise KeyboardInterrupt

    with pytest.raises(SnapshotInterrupted, match="by hand") as caught:
        af.snapshot(lake, connected(Emulator(organization.events)), start=START, end="2026-11-01", progress=stop)
    assert caught.value.collected == len(ids(lake))
    assert [fault for fault in lake.verify() if "a gap in coverage" not in fault.what] == []


def test_progress_counts_up_to_the_total(organization: Sample, lake: af.Lake) -> None:
    seen: list[Progress] = []
    result = af.snapshot(
        lake, connected(Emulator(organization.events)), start=START, end="2026-11-01", progress=seen.append
    )

    assert seen[-1].windows_done == seen[-1].windows_total == result.windows == 44
    assert seen[-1].new == result.new


def test_no_thread_outlives_a_snapshot_that_fails_though_its_error_is_kept(organization: Sample, lake: af.Lake) -> None:
    def fail(_: Progress) -> None:
        raise RuntimeError("the caller's own")

    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="own") as kept:
        af.snapshot(lake, connected(Emulator(organization.events)), start=START, progress=fail)
    deadline_s = time.monotonic() + 30
    while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline_s:
        time.sleep(0.05)

    assert left == set()
    assert kept.tb is not None


def test_what_cannot_be_placed_is_quarantined_once_and_counted_each_time(lake: af.Lake) -> None:
    emulator = Emulator([b'{"id":"a","type":"t","effective_at":1793000000}', b'{"id":"b","effective_at":1793000000}'])
    results = [af.snapshot(lake, connected(emulator), start="2026-10-01", end="2026-11-01") for _ in range(2)]

    assert [(one.new, one.known, one.quarantined) for one in results] == [(1, 0, 1), (0, 1, 1)]
    assert lake.quarantine()["event_id"].tolist() == ["b"]


def test_an_event_that_a_window_does_not_return_any_more_is_named_once_and_stays(
    organization: Sample, lake: af.Lake
) -> None:
    gone = next(event for event in organization.events if event["effective_at"] >= _at("2026-10-19T12:00:00Z"))
    rest = [event for event in organization.events if event is not gone]
    af.snapshot(lake, connected(Emulator(organization.events)), start=START, end="2026-10-20")
    found = [af.snapshot(lake, connected(Emulator(rest)), end="2026-10-20").vanished for _ in range(2)]
    named = [each.vanished for each in lake.ledger()[1].collected]
    af.snapshot(lake, connected(Emulator(organization.events)), end="2026-10-20")

    assert found == [1, 0]
    assert [gone["id"]] in named
    assert gone["id"] in ids(lake)
    assert [gone["id"]] in [each.returned for each in lake.ledger()[-1].collected]


def test_an_event_that_moved_to_another_day_is_a_mutation_and_does_not_vanish_again_and_again(lake: af.Lake) -> None:
    start_s = _at("2026-10-19T12:00:00Z")
    events = [{"id": f"e{n}", "type": "logout.succeeded", "effective_at": start_s + n * 3600} for n in range(20)]
    emulator = Emulator(events)
    af.snapshot(lake, connected(emulator), start="2026-10-19", end="2026-10-21", workers=1)
    emulator.replace({**events[0], "effective_at": start_s + 86_400})
    runs = [af.snapshot(lake, connected(emulator), start="2026-10-19", end="2026-10-21", workers=1) for _ in range(3)]
    named = [[each.vanished + each.returned for each in entry.collected] for entry in lake.ledger()]

    assert [run.mutated for run in runs] == [1, 1, 1]
    assert named[3] == [[], []]
    assert len(ids(lake)) == 20


def test_a_resweep_reads_further_back_than_the_overlap(organization: Sample, lake: af.Lake) -> None:
    late = organization.events[0]
    end = datetime.fromtimestamp(max(event["effective_at"] for event in organization.events), UTC) + timedelta(days=1)
    start = datetime.fromtimestamp(late["effective_at"], UTC) - timedelta(days=1)
    punctual = [event for event in organization.events if event is not late]
    af.snapshot(lake, connected(Emulator(punctual)), start=start, end=end)
    without = af.snapshot(lake, connected(Emulator(organization.events)), end=end)
    back = datetime.now(UTC) - start
    deep = af.snapshot(lake, connected(Emulator(organization.events)), end=end, resweep=back)

    assert (without.late, deep.late) == (0, 1)
    assert deep.lateness_s is not None
    assert deep.lateness_s > 86_400


@pytest.mark.parametrize("retry_after", [None, "auto"])
def test_a_rate_limit_costs_at_most_a_tenth_more_requests(lake: af.Lake, retry_after: str | None) -> None:
    days, requests = 120, 240  # a page a day and scope: what the first meeting costs eight workers is a small part
    start_s = int(datetime(2026, 8, 1, tzinfo=UTC).timestamp())
    events = [{"id": f"e{n}", "type": "logout.succeeded", "effective_at": start_s + n * 3600} for n in range(days * 24)]
    limit = RateLimit(per_second=50, burst=5, retry_after=retry_after)
    emulator = Emulator(events, behaviour=Behaviour(rate_limit=limit, latency_s=0.02))
    transport, retry = httpx.WSGITransport(emulator), Retry(wait_initial_s=0.1, wait_max_s=1.0)
    with af.Client(KEY, base_url="http://emulator/v1", transport=transport, retry=retry) as client:
        af.snapshot(lake, client, start="2026-08-01", end="2026-11-29", workers=8)
    statuses = [request.status for request in emulator.requests]

    assert len(lake.to_arrow()) == len(events)
    assert statuses.count(200) == requests
    assert 0 < statuses.count(429) <= requests / 10


def test_a_resweep_reads_as_far_back_as_it_says_though_a_start_is_given(
    organization: Sample, lake: af.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_plan, "MOST_DAYS", 30)  # the rest of the 9,999 is one window
    client = connected(Emulator(organization.events))
    deep = af.snapshot(lake, client, start="-1d", resweep="9999d")

    assert deep.new == len(organization.events)


@pytest.mark.parametrize("resweep", ["999999d", timedelta(days=999_999)])
def test_a_resweep_that_reaches_before_the_calendar_is_refused(lake: af.Lake, resweep: timedelta | str) -> None:
    with pytest.raises(WindowError, match="too far back"):
        af.snapshot(lake, connected(Emulator([])), resweep=resweep)


def test_the_overlap_grows_with_how_late_events_came() -> None:
    def entry(lateness_s: int | None) -> Entry:
        return Entry(
            number=1,
            kind="snapshot",
            started_at=NOW,
            finished_at=NOW,
            collected=[],
            counts=Counts(),
            lateness_s=lateness_s,
            partitions=[],
            previous=None,
        )

    assert overlap_after([], now=NOW) == OVERLAP
    assert overlap_after([entry(None), entry(60)], now=NOW) == OVERLAP
    assert overlap_after([entry(3 * 86_400)], now=NOW) == timedelta(days=6)
    assert overlap_after([entry(3 * 86_400)], now=NOW + timedelta(days=91)) == OVERLAP
    assert overlap_after([entry(99 * 86_400)], now=NOW) == MOST_OVERLAP


instants = st.datetimes(datetime(2026, 6, 1), datetime(2026, 11, 23), timezones=st.just(UTC))  # noqa: DTZ001


@given(st.none() | instants, st.none() | instants)
def test_planned_windows_are_disjoint_and_add_up_to_what_was_asked(
    start: datetime | None, end: datetime | None
) -> None:
    if start and end and start >= end:
        start, end = end - timedelta(days=1), end
    plan = plan_windows((), Window(start, end), now=NOW)

    assert union(plan) == (Window(start, end),)
    assert [window.start for window in plan[1:]] == [window.end for window in plan[:-1]]
    assert all(window.start is None or (window.end or NOW) - window.start <= timedelta(days=1) for window in plan)


def test_a_start_long_ago_does_not_make_a_window_of_every_day_since() -> None:
    plan = plan_windows((), Window(datetime(1970, 1, 1, tzinfo=UTC)), now=NOW)

    assert union(plan) == (Window(datetime(1970, 1, 1, tzinfo=UTC), None),)
    assert len(plan) == 402


def test_a_plan_goes_on_before_the_end_of_the_oldest_coverage() -> None:
    covered = (Window(_time("2026-11-01"), _time("2026-11-10")), Window(_time("2026-11-12"), _time("2026-11-20")))

    assert union(plan_windows(covered, ALWAYS, now=NOW)) == (Window(_time("2026-11-10") - OVERLAP, None),)


def test_the_future_cannot_be_collected(lake: af.Lake) -> None:
    with pytest.raises(WindowError, match="future"):
        af.snapshot(lake, connected(Emulator([])), start=datetime.now(UTC) + timedelta(days=1))


def _time(text: str) -> datetime:
    return (
        datetime.fromisoformat(text).astimezone(UTC)
        if "T" in text
        else datetime.fromisoformat(text).replace(tzinfo=UTC)
    )


def _at(text: str) -> float:
    return _time(text).timestamp()


def test_the_path_of_a_lake_is_no_lake_and_the_message_says_how_it_becomes_one(lake: af.Lake) -> None:
    path: Any = str(lake.path)
    with pytest.raises(LakeError, match=r"Give snapshot auditframe\.Lake"):
        af.snapshot(path, connected(Emulator(())))

    assert not lake.path.exists()
