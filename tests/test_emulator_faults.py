"""What goes wrong on request: each fault as it looks on the wire, and what the client makes of it."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, get_args

import httpx
import pytest

from auditframe.client import Client, Filters, Retry
from auditframe.client._refusals import parse_retry_after
from auditframe.emulator import Behaviour, Emulator, Fault, RateLimit, random_behaviour, serve
from auditframe.emulator.behaviour import FaultKind
from auditframe.emulator.limits import TokenBucket
from auditframe.errors import (
    ApiError,
    AuthError,
    EventError,
    NetworkError,
    PageError,
    RateLimitError,
    RequestError,
    ServerError,
)
from auditframe.window import Window
from tests.conftest import HASTY, KEY, connected

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROUTE = "/organization/audit_logs"
T0 = 1_785_000_000
ONCE = Retry(attempts=1)
BEARER = {"Authorization": f"Bearer {KEY}"}
PLAIN = {**BEARER, "Accept-Encoding": "identity"}


def event(number: int, **fields: Any) -> dict[str, Any]:
    """Number 3 happens in second 3 and is called e003."""
    return {"id": f"e{number:03d}", "type": "project.archived", "effective_at": T0 + number, **fields}


TEN = tuple(event(number) for number in range(10))
NEWEST_FIRST = [each["id"] for each in reversed(TEN)]


def emulator(*faults: Fault, **behaviour: Any) -> Emulator:
    return Emulator(TEN, behaviour=Behaviour(faults=faults, **behaviour))


@contextmanager
def asked(app: Emulator, headers: Mapping[str, str] = BEARER) -> Iterator[httpx.Client]:
    """Ask in process, without the auditframe client."""
    transport = httpx.WSGITransport(app=app)
    with httpx.Client(transport=transport, base_url="http://emulator/v1", headers=headers) as client:
        yield client


def page_of(app: Emulator, **parameters: Any) -> dict[str, Any]:
    with asked(app) as client:
        response = client.get(ROUTE, params=parameters)
    response.raise_for_status()
    page: dict[str, Any] = response.json()
    return page


def status_of(app: Emulator, **parameters: Any) -> int:
    with asked(app) as client:
        return client.get(ROUTE, params=parameters).status_code


def ids(page: Mapping[str, Any]) -> list[str]:
    return [each["id"] for each in page["data"]]


def walked(client: Client, *, limit: int = 4, **how: Any) -> list[str | None]:
    """Let the auditframe client follow the pages to the end."""
    with client:
        return [id_ for fetched in client.fetch_pages(limit=limit, **how) for id_ in fetched.page.ids]


def over_a_socket(base_url: str, retry: Retry = HASTY) -> Client:
    return Client(KEY, base_url=base_url, retry=retry)


def in_process(app: Emulator, retry: Retry) -> Client:
    return Client(KEY, base_url="http://emulator/v1", transport=httpx.WSGITransport(app=app), retry=retry)


# Connections and bodies.


def test_a_reset_connection_is_seen_as_one() -> None:
    with (
        serve(emulator(Fault(0, kind="reset"))) as base_url,
        pytest.raises((httpx.ReadError, httpx.RemoteProtocolError), match=r"(?i)reset"),
    ):
        httpx.get(base_url + ROUTE, headers=PLAIN)


def test_an_overlong_content_length_leaves_the_body_incomplete() -> None:
    with (
        serve(emulator(Fault(0, kind="overlong"))) as base_url,
        pytest.raises(httpx.RemoteProtocolError, match="complete message body"),
    ):
        httpx.get(base_url + ROUTE, headers=PLAIN)


def test_an_underlong_content_length_hides_half_of_the_body() -> None:
    with serve(emulator(Fault(0, kind="underlong"))) as base_url:
        half, whole = (httpx.get(base_url + ROUTE, headers=PLAIN) for _ in range(2))

    assert half.status_code == 200
    assert half.content == whole.content[: len(whole.content) // 2]


def test_an_answer_that_hangs_never_comes() -> None:
    app = emulator(Fault(0, kind="hang", seconds=0.02))
    with serve(app) as base_url, pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        httpx.get(base_url + ROUTE, headers=BEARER)

    assert [request.status for request in app.requests] == [0]


def test_an_answer_that_hangs_longer_than_the_client_waits_is_a_timeout_and_holds_up_no_end() -> None:
    began_s = time.monotonic()
    with serve(emulator(Fault(0, kind="hang", seconds=3600.0))) as base_url, pytest.raises(httpx.ReadTimeout):
        httpx.get(base_url + ROUTE, headers=BEARER, timeout=0.05)

    assert time.monotonic() - began_s < 60


CONNECTION_FAULTS: tuple[tuple[FaultKind, type[ApiError]], ...] = (
    ("drop", NetworkError),
    ("reset", NetworkError),
    ("overlong", NetworkError),
    ("hang", NetworkError),
    ("underlong", PageError),
    ("truncate", PageError),
)


@pytest.mark.parametrize(("kind", "error"), CONNECTION_FAULTS)
def test_the_client_names_a_broken_answer_and_calls_it_worth_another_try(
    kind: FaultKind, error: type[ApiError]
) -> None:
    with serve(emulator(Fault(0, kind=kind))) as base_url, pytest.raises(error) as raised:
        walked(over_a_socket(base_url, ONCE))

    assert raised.value.retryable
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("kind", [kind for kind, _ in CONNECTION_FAULTS])
def test_the_client_heals_a_broken_answer_by_asking_again(kind: FaultKind) -> None:
    app = emulator(Fault(0, kind=kind), Fault(2, kind=kind))
    with serve(app) as base_url:
        seen = walked(over_a_socket(base_url))

    assert seen == NEWEST_FIRST
    assert len(app.requests) == 5


@pytest.mark.parametrize("kind", ["hang", "reset"])
def test_in_process_a_lost_connection_is_a_network_error(kind: FaultKind) -> None:
    with pytest.raises(NetworkError, match="asked to lose the connection"):
        walked(connected(emulator(*(Fault(at, kind=kind) for at in range(3)))))


@pytest.mark.parametrize("kind", ["hang", "reset", "drop", "truncate", "overlong", "underlong"])
def test_in_process_a_lost_connection_heals_too(kind: FaultKind) -> None:
    assert walked(connected(emulator(Fault(1, kind=kind)))) == NEWEST_FIRST


@pytest.mark.parametrize("kind", get_args(FaultKind))
def test_a_wrong_key_gets_no_event_from_any_fault(kind: FaultKind) -> None:
    with asked(emulator(Fault(0, kind=kind)), headers={}) as client:
        try:
            said = client.get(ROUTE).content
        except httpx.HTTPError:
            said = b""

    assert b"e009" not in said


# Errors instead of an answer.


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(0, status=503), ServerError),
        (Fault(0, status=429), RateLimitError),
        (Fault(0, status=502, kind="html"), ServerError),
        (Fault(0, status=200, kind="html"), PageError),
        (Fault(0, status=404), RequestError),
    ],
)
def test_the_client_names_a_refusal(fault: Fault, error: type[ApiError]) -> None:
    with pytest.raises(error) as raised:
        walked(in_process(emulator(fault), ONCE))

    assert raised.value.status_code == fault.status


@pytest.mark.parametrize("retry_after", [None, "0", "0.005", "Tue, 15 Nov 1994 08:12:31 GMT"])
@pytest.mark.parametrize("status", [429, 503])
def test_the_client_waits_as_asked_and_heals(status: int, retry_after: str | None) -> None:
    assert walked(connected(emulator(Fault(1, status, retry_after)))) == NEWEST_FIRST


# Pages that lie.


def test_a_page_comes_twice_whatever_other_walks_asked_for_in_between() -> None:
    app = emulator(Fault(2, kind="repeat_page"))
    first = page_of(app, limit=3)
    page_of(app, limit=3, **{"effective_at[lt]": T0 + 4})
    again = page_of(app, limit=3, after=first["last_id"])

    assert again == first


def test_a_first_page_has_none_before_it_to_repeat() -> None:
    assert ids(page_of(emulator(Fault(0, kind="repeat_page")), limit=3)) == NEWEST_FIRST[:3]


def test_a_loop_is_the_first_page_again_with_more_to_come() -> None:
    app = emulator(Fault(0, kind="loop"))
    page = page_of(app, limit=3, after="e002")

    assert ids(page) == NEWEST_FIRST[:3]
    assert page["has_more"] is True


def test_one_page_may_lack_the_ids_of_its_envelope() -> None:
    app = emulator(Fault(0, kind="null_ids"))
    without, whole = page_of(app), page_of(app)

    assert without == {**whole, "first_id": None, "last_id": None}
    assert whole["last_id"] == "e000"


def test_one_page_may_hold_each_row_twice() -> None:
    assert ids(page_of(emulator(Fault(0, kind="doubled")), limit=2)) == ["e009", "e009", "e008", "e008"]


@pytest.mark.parametrize("kind", ["repeat_page", "loop"])
def test_the_client_ends_a_walk_that_goes_round_with_an_error(kind: FaultKind) -> None:
    with pytest.raises(PageError, match="makes no progress after page 0"):
        walked(connected(emulator(Fault(1, kind=kind))))


@pytest.mark.parametrize("kind", ["empty_page", "null_ids"])
def test_the_client_gets_past_a_page_that_leads_nowhere(kind: FaultKind) -> None:
    assert walked(connected(emulator(Fault(0, kind=kind), Fault(2, kind=kind)))) == NEWEST_FIRST


def test_the_client_walks_on_after_a_page_that_holds_each_row_twice() -> None:
    seen = walked(connected(emulator(Fault(1, kind="doubled"))))

    assert list(dict.fromkeys(seen)) == NEWEST_FIRST
    assert len(seen) == 14


# Limits on requests, keys and cursors.


def test_a_bucket_gives_its_burst_and_then_as_much_as_comes_back() -> None:
    now = [100.0]
    bucket = TokenBucket(RateLimit(per_second=2.0, burst=2), clock=lambda: now[0])
    at_once = [bucket.take() for _ in range(3)]
    now[0] += 0.5
    later = [bucket.take(), bucket.take()]
    now[0] += 60.0
    refilled = [bucket.take() for _ in range(3)]

    assert at_once == [0.0, 0.0, 0.5]
    assert later == [0.0, 0.5]
    assert refilled == [0.0, 0.0, 0.5]


def test_a_bucket_gives_no_token_to_two_threads() -> None:
    bucket = TokenBucket(RateLimit(per_second=0.0, burst=50))
    with ThreadPoolExecutor(8) as threads:
        waits = list(threads.map(lambda _: bucket.take(), range(400)))

    assert waits.count(0.0) == 50


@pytest.mark.parametrize(
    ("per_second", "retry_after", "header"),
    [(0.01, "auto", "100"), (0.0, "auto", None), (0.01, "7", "7"), (0.01, None, None)],
)
def test_a_request_beyond_the_rate_limit_is_told_when_to_come_back(
    per_second: float, retry_after: str | None, header: str | None
) -> None:
    app = emulator(rate_limit=RateLimit(per_second, 1, retry_after))
    with asked(app) as client:
        let_in, refused = client.get(ROUTE), client.get(ROUTE)

    assert (let_in.status_code, refused.status_code) == (200, 429)
    assert refused.headers.get("retry-after") == header
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"


def test_the_client_stays_with_a_rate_limit_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    limit, ticks = RateLimit(1.0, 2, "0.01"), itertools.count(0.0, 0.4)
    app = emulator(rate_limit=limit)
    monkeypatch.setattr(app, "_bucket", TokenBucket(limit, clock=lambda: next(ticks)))  # a token for 2.5 requests
    patient = Retry(attempts=20, timeout_s=30, wait_initial_s=0.005, wait_max_s=0.05, jitter_s=0)

    assert walked(in_process(app, patient), limit=1) == NEWEST_FIRST
    assert Counter(request.status for request in app.requests)[429] > len(NEWEST_FIRST)


def test_a_key_may_be_revoked_in_the_middle_of_a_walk() -> None:
    app = emulator(revoked_after=2)
    with connected(app) as client:
        pages = client.fetch_pages(limit=4)
        seen = [*next(pages).page.ids, *next(pages).page.ids]
        with pytest.raises(AuthError):
            next(pages)

    assert seen == NEWEST_FIRST[:8]
    assert [request.status for request in app.requests] == [200, 200, 401]


def test_a_revoked_key_comes_before_the_rate_limit_and_that_before_a_fault() -> None:
    app = emulator(Fault(1, 503), Fault(2, 503), revoked_after=2, rate_limit=RateLimit(0.0, 1))

    assert [status_of(app) for _ in range(3)] == [200, 429, 401]


def test_a_cursor_is_refused_when_too_many_requests_came_in_between() -> None:
    app = emulator(cursor_life=1)
    page_of(app, limit=2)
    page_of(app, limit=1, after="e009")
    fresh, old = status_of(app, after="e008"), status_of(app, after="e009")

    assert (fresh, old) == (200, 400)


def test_a_cursor_that_was_on_no_page_is_refused_where_cursors_age() -> None:
    assert status_of(emulator(cursor_life=9), after="e005") == 400
    assert status_of(emulator(), after="e005") == 200


@pytest.mark.parametrize("shape", [{}, {"foreign_last_id": True}, {"null_ids": True}, {"concatenated": True}])
def test_a_walk_without_a_break_never_uses_a_cursor_that_is_too_old(shape: dict[str, bool]) -> None:
    assert walked(connected(emulator(cursor_life=0, **shape))) == NEWEST_FIRST


def test_the_client_starts_over_where_its_cursor_has_aged() -> None:
    app = emulator(cursor_life=0)
    with connected(app) as client:
        first = next(client.fetch_pages(limit=4))
        next(client.fetch_pages(limit=1))
        again = next(client.fetch_pages(limit=4, resume=first.next_cursors))

    assert again.cursor is None
    assert again.page.ids == first.page.ids


# Clocks, orders and windows.


@pytest.mark.parametrize("offset_s", [-3600.0, 0.0, 86_400.0])
def test_the_endpoints_clock_may_be_off(offset_s: float) -> None:
    with asked(emulator(clock_offset_s=offset_s)) as client:
        told = parsedate_to_datetime(client.get(ROUTE).headers["date"])

    assert abs(told - datetime.now(UTC) - timedelta(seconds=offset_s)) < timedelta(seconds=60)


def test_the_order_turns_and_a_cursor_still_stands_for_its_event() -> None:
    app = emulator(turned_at=1)
    before, after = page_of(app, limit=3), page_of(app, limit=3, after="e007")

    assert ids(before) == ["e009", "e008", "e007"]
    assert (ids(after), after["has_more"]) == (["e008", "e009"], False)


def test_a_foreign_cursor_outlives_a_turn() -> None:
    app = emulator(turned_at=1, foreign_last_id=True)
    cursor = page_of(app, limit=3)["last_id"]

    assert ids(page_of(app, limit=3, after=cursor)) == ["e008", "e009"]


def test_the_client_ends_a_walk_that_turns_with_an_error() -> None:
    with pytest.raises(PageError):
        walked(connected(emulator(turned_at=2)), limit=3)


def test_a_window_may_be_ignored_though_not_unchecked() -> None:
    app = emulator(ignores_window=True)

    assert ids(page_of(app, **{"effective_at[gte]": T0 + 8})) == NEWEST_FIRST
    assert status_of(app, **{"effective_at[gte]": "soon"}) == 400


def test_the_client_hands_on_what_lies_outside_its_window() -> None:
    window = Window(datetime.fromtimestamp(T0 + 8, UTC), None)

    assert walked(connected(emulator(ignores_window=True)), filters=Filters(window=window)) == NEWEST_FIRST


def test_a_page_may_repeat_the_last_rows_of_the_page_before() -> None:
    app = emulator(overlapping_rows=2)
    pages = [page_of(app, limit=4), page_of(app, limit=4, after="e006"), page_of(app, limit=4, after="e000")]

    assert ids(pages[0]) == ["e009", "e008", "e007", "e006"]
    assert ids(pages[1]) == ["e007", "e006", "e005", "e004"]
    assert (ids(pages[2]), pages[2]["has_more"]) == (["e001", "e000"], False)


def test_backwards_a_page_repeats_rows_of_the_page_after_it() -> None:
    page = page_of(emulator(overlapping_rows=1), limit=3, before="e005")

    assert (ids(page), page["has_more"]) == (["e007", "e006", "e005"], True)


@pytest.mark.parametrize("order", ["newest_first", "oldest_first"])
def test_rows_from_outside_the_window_are_never_repeated(order: str) -> None:
    bounds = {"effective_at[gte]": T0 + 3, "effective_at[lt]": T0 + 7}
    cursor = "e008" if order == "newest_first" else "e001"
    page = page_of(emulator(overlapping_rows=5, order=order), after=cursor, **bounds)

    assert sorted(ids(page)) == ["e003", "e004", "e005", "e006"]


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
def test_the_client_gets_every_event_once_overlaps_are_dropped(limit: int) -> None:
    seen = walked(connected(emulator(overlapping_rows=5)), limit=limit)

    assert list(dict.fromkeys(seen)) == NEWEST_FIRST


@pytest.mark.parametrize("events", [(), TEN[:1], TEN])
def test_the_client_reaches_the_end_of_bodies_that_are_two_documents(events: Any) -> None:
    app = Emulator(events, behaviour=Behaviour(concatenated=True))

    assert walked(connected(app)) == [each["id"] for each in reversed(events)]


# Events that come and go.


def test_added_events_are_listed_from_the_next_page_on() -> None:
    app = Emulator(TEN[:4])
    first = page_of(app, limit=2)
    app.add([event(5), json.dumps(event(1) | {"id": "late"}).encode()])
    rest = page_of(app, after=first["last_id"])

    assert ids(first) == ["e003", "e002"]
    assert ids(rest) == ["late", "e001", "e000"]
    assert ids(page_of(app, limit=1)) == ["e005"]


def test_a_foreign_cursor_stands_for_its_event_when_others_come_and_go() -> None:
    app = Emulator(TEN[:6], behaviour=Behaviour(foreign_last_id=True))
    cursor = page_of(app, limit=2)["last_id"]
    app.add(TEN[6:])
    app.withdraw(["e005", "e000"])

    assert ids(page_of(app, after=cursor)) == ["e003", "e002", "e001"]


def test_withdrawn_events_are_listed_no_more_and_refused_as_cursors() -> None:
    app = Emulator(TEN)
    app.withdraw(["e008", "e000", "nobody"])

    assert ids(page_of(app)) == [each for each in NEWEST_FIRST if each not in {"e008", "e000"}]
    assert status_of(app, after="e008") == 400


def test_a_replaced_event_keeps_its_cursor_and_shows_its_new_payload() -> None:
    app = Emulator(TEN, behaviour=Behaviour(foreign_last_id=True))
    cursor = page_of(app, limit=3)["last_id"]
    app.replace(event(7, project={"id": "proj_b"}))

    assert page_of(app, **{"project_ids[]": "proj_b"})["data"] == [event(7, project={"id": "proj_b"})]
    assert ids(page_of(app, limit=1, after=cursor)) == ["e006"]
    assert len(page_of(app)["data"]) == 10


@pytest.mark.parametrize("unknown", [event(77), b'{"type":"project.archived"}'])
def test_an_event_that_is_not_listed_cannot_be_replaced(unknown: Any) -> None:
    with pytest.raises(EventError, match="add it first"):
        Emulator([*TEN, {"type": "without.id"}]).replace(unknown)


def test_threads_may_add_events_while_others_read_pages() -> None:
    app, started = Emulator(()), threading.Barrier(4)

    def add(worker: int) -> None:
        started.wait()
        for number in range(25):
            app.add([event(25 * worker + number)])
            page_of(app, limit=1)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(add, range(4)))

    assert sorted(ids(page_of(app, limit=100))) == [f"e{number:03d}" for number in range(100)]
    assert len(app.requests) == 101


# Endpoints drawn at random.


def test_a_seed_draws_the_same_behaviour_each_time() -> None:
    drawn = [random_behaviour(seed, requests=40) for seed in range(50)]

    assert drawn == [random_behaviour(seed, requests=40) for seed in range(50)]
    assert len(set(map(repr, drawn))) == 50


def test_every_kind_and_every_habit_is_drawn_at_some_time() -> None:
    drawn = [random_behaviour(seed, requests=40) for seed in range(500)]
    plain = Behaviour()

    assert {fault.kind for each in drawn for fault in each.faults} == set(get_args(FaultKind))
    fixed = {name for name in Behaviour.__slots__ if all(getattr(each, name) == getattr(plain, name) for each in drawn)}
    assert fixed == {"latency_s"}


def test_no_drawn_behaviour_makes_a_client_wait_for_long() -> None:
    drawn = [random_behaviour(seed, requests=40) for seed in range(500)]
    faults = [fault for each in drawn for fault in each.faults]
    limits = [each.rate_limit for each in drawn if each.rate_limit is not None]

    assert max(fault.seconds for fault in faults) <= 0.01
    assert min(limit.per_second for limit in limits) >= 200
    asked_for = {fault.retry_after for fault in faults} | {limit.retry_after for limit in limits}
    waits = {parse_retry_after(value) for value in asked_for - {None}}
    assert waits <= {0.0, 0.005}


@pytest.mark.parametrize("requests", [0, 1, 5])
def test_faults_strike_only_requests_that_are_to_come(requests: int) -> None:
    drawn = [random_behaviour(seed, requests=requests) for seed in range(100)]

    assert {fault.at for each in drawn for fault in each.faults} == set(range(requests))


def outcome(app: Emulator) -> tuple[set[str | None], type[ApiError] | None]:
    """Return what a walk brings, and how it fails; None when it reaches the end."""
    seen: set[str | None] = set()
    with connected(app) as client:
        try:
            for fetched in client.fetch_pages(limit=3):
                seen.update(fetched.page.ids)
        except ApiError as error:
            return seen, type(error)
    return seen, None


def test_in_a_random_world_a_walk_brings_every_event_or_ends_with_an_error() -> None:
    # A listing that turns after the first page looks whole from where the client stands.
    drawn = (random_behaviour(seed, requests=8) for seed in range(60))
    outcomes = [outcome(Emulator(TEN, behaviour=each)) for each in drawn if each.turned_at is None]

    assert {len(seen) for seen, failure in outcomes if failure is None} == {10}
    assert {None, PageError} <= {failure for _, failure in outcomes}
