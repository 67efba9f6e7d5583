"""The pace: nothing is slowed without a 429, and after one everybody is, by what the endpoint lets through."""

from __future__ import annotations

import heapq
import itertools
import json
import math
import random
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditframe.client import Client, Retry
from auditframe.client._pace import FORGOTTEN, SLOWEST, Pace
from auditframe.errors import RateLimitError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "sk-admin-made-up-0123456789"
RETRY = Retry(attempts=8, wait_initial_s=0.5, wait_max_s=4.0, jitter_s=0)


class Asleep(Exception):  # noqa: N818 - no error: how a simulated worker gives its turn away
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


@dataclass(slots=True)
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds


def paced(clock: Clock, *, seed: int = 1, sleep: Callable[[float], object] | None = None) -> Pace:
    return Pace(RETRY, clock=clock, sleep=sleep or clock.sleep, dice=random.Random(seed))  # noqa: S311 - seeded


def limited(clock: Clock, *, retry_after_s: float | None = 1.0) -> Pace:
    """Return a pace that met a 429 just now, after ten requests within a tenth of a second."""
    pace = paced(clock)
    for _ in range(10):
        sent_s = pace.wait()
        clock.now_s += 0.01
    pace.refused(sent_s, retry_after_s=retry_after_s)
    return pace


# One after another


def test_without_a_429_nobody_ever_waits() -> None:
    clock = Clock()
    pace = paced(clock)
    for _ in range(5000):
        pace.answered(pace.wait())

    assert clock.now_s == 1000.0
    assert pace.rate is None


@pytest.mark.parametrize("retry_after_s", [0.2, 1.0, 300.0])
def test_nothing_starts_before_the_retry_after_is_over(retry_after_s: float) -> None:
    clock = Clock()
    pace = limited(clock, retry_after_s=retry_after_s)
    held_until_s = clock.now_s + retry_after_s

    assert pace.wait() >= held_until_s


def test_after_a_hold_requests_start_one_by_one_at_uneven_distances() -> None:
    pace = limited(Clock())
    starts = [pace.wait() for _ in range(20)]
    steps = [later - earlier for earlier, later in itertools.pairwise(starts)]

    assert min(steps) > 0
    assert len({round(step, 9) for step in steps}) == len(steps)
    assert sum(steps) / len(steps) == pytest.approx(1 / (pace.rate or 0), rel=0.3)


@pytest.mark.parametrize("retry_after_s", [None, 0.0])
def test_without_a_retry_after_the_hold_doubles_with_each_episode_up_to_its_bound(retry_after_s: float | None) -> None:
    clock = Clock()
    pace = paced(clock)
    holds = [pace.refused(pace.wait(), retry_after_s=retry_after_s) for _ in range(6)]

    assert holds == pytest.approx([0.5, 1.0, 2.0, 4.0, 4.0, 4.0])


def test_an_answer_ends_the_doubling() -> None:
    clock = Clock()
    pace = paced(clock)
    for _ in range(3):
        pace.refused(pace.wait(), retry_after_s=None)
    pace.answered(pace.wait())

    assert pace.refused(pace.wait(), retry_after_s=None) == pytest.approx(0.5)


def test_an_answer_to_what_was_sent_before_the_hold_does_not_end_the_doubling() -> None:
    clock = Clock()
    pace = paced(clock)
    early_s = pace.wait()
    clock.now_s += 0.01
    pace.refused(pace.wait(), retry_after_s=None)
    pace.answered(early_s)

    assert pace.refused(pace.wait(), retry_after_s=None) == pytest.approx(1.0)


def test_the_429s_of_requests_in_flight_slow_down_once() -> None:
    clock = Clock()
    pace = paced(clock)
    sent = [pace.wait() for _ in range(8)]
    clock.now_s += 0.05
    pace.refused(sent[0], retry_after_s=1.0)
    first = pace.rate
    for sent_s in sent[1:]:
        pace.refused(sent_s, retry_after_s=1.0)

    assert pace.rate == first
    assert first is not None


def test_a_429_of_the_same_episode_makes_the_hold_longer_and_never_shorter() -> None:
    clock = Clock()
    pace = paced(clock)
    sent = [pace.wait() for _ in range(3)]
    clock.now_s += 0.05
    holds = [pace.refused(sent_s, retry_after_s=asked_s) for sent_s, asked_s in zip(sent, (2.0, 5.0, 1.0), strict=True)]

    assert holds == pytest.approx([2.0, 5.0, 5.0])


def test_each_episode_slows_down_and_answers_raise_the_rate_slowly() -> None:
    clock = Clock()
    pace = limited(clock)
    before = pace.rate or 0
    pace.refused(pace.wait(), retry_after_s=1.0)
    lowered = pace.rate or 0
    pace.answered(pace.wait())
    raised = pace.rate or 0

    assert lowered < before
    assert lowered < raised < before


def test_the_rate_never_falls_to_a_standstill() -> None:
    clock = Clock()
    pace = paced(clock)
    for _ in range(100):
        pace.refused(pace.wait(), retry_after_s=0.01)

    assert pace.rate == SLOWEST


def test_a_limit_that_is_gone_is_forgotten() -> None:
    clock = Clock()
    pace = limited(clock)
    refused = pace.rate or 0
    answered = 0
    while pace.rate is not None and answered < 100_000:
        sent_s = pace.wait()
        clock.now_s += 0.05  # one worker asks for 20 requests a second at most
        pace.answered(sent_s)
        answered += 1
    calm_s = clock.now_s
    pace.wait()

    assert pace.rate is None
    assert answered > FORGOTTEN * refused
    assert clock.now_s == calm_s


def test_a_hold_beyond_the_deadline_is_told_at_once() -> None:
    clock = Clock()
    pace = limited(clock, retry_after_s=3600.0)
    asked_s = clock.now_s
    with pytest.raises(RateLimitError, match=r"360[01] s") as caught:
        pace.wait(deadline_s=asked_s + 600)

    assert clock.now_s == asked_s
    assert (caught.value.status_code, caught.value.retryable) == (429, True)
    assert caught.value.retry_after_s == pytest.approx(3600, abs=2)


def test_a_closed_pace_lets_nobody_through() -> None:
    clock = Clock()
    pace = limited(clock)
    pace.close()

    with pytest.raises(RequestError, match="closed"):
        pace.wait()
    with pytest.raises(RequestError, match="closed"):
        pace.rest(1.0)


steps = st.lists(
    st.tuples(st.sampled_from(["start", "answer", "refuse"]), st.floats(0, 3), st.none() | st.floats(0, 100)),
    max_size=60,
)


@given(steps, st.integers(0, 1000))
def test_whatever_comes_no_start_lies_in_a_hold_or_before_the_last(
    told: list[tuple[str, float, float | None]], seed: int
) -> None:
    clock = Clock()
    pace = paced(clock, seed=seed)
    flying: list[float] = []
    held_until_s, last_s = -math.inf, -math.inf
    for what, passes_s, retry_after_s in told:
        clock.now_s += passes_s
        if what == "start" or not flying:
            flying.append(pace.wait())
            assert flying[-1] >= max(held_until_s - 1e-6, last_s)
            last_s = flying[-1]
        elif what == "answer":
            pace.answered(flying.pop(0))
        else:
            held_until_s = max(held_until_s, clock.now_s + pace.refused(flying.pop(0), retry_after_s=retry_after_s))
            assert held_until_s >= clock.now_s + (retry_after_s or 0) - 1e-6

    assert pace.rate is None or pace.rate >= SLOWEST


# Eight workers, simulated


@dataclass(slots=True)
class Bucket:
    """An endpoint that allows so many requests a second, and a burst.

    Attributes:
        rate: Requests that it allows [1/s].
        burst: How many at once.
        tells: How a refusal names the wait: in whole seconds, exactly, or not.
    """

    rate: float
    burst: int
    tells: str
    left: float = field(default=0.0)
    at_s: float = -math.inf

    def refusal(self, now_s: float) -> tuple[bool, float | None]:
        self.left = min(self.burst, self.left + (now_s - self.at_s) * self.rate)
        self.at_s = now_s
        if self.left >= 1:
            self.left -= 1
            return False, None
        wait_s = (1 - self.left) / self.rate
        return True, {"whole": float(math.ceil(wait_s)), "exact": wait_s, "": None}[self.tells]


def simulate(bucket: Bucket, *, requests: int, latency_s: float, seed: int) -> tuple[int, float]:
    """Return how many 429s eight workers met and how long they took [s]."""
    clock, dice = Clock(), random.Random(seed)  # noqa: S311 - seeded on purpose

    def sleep(seconds: float) -> None:
        raise Asleep(seconds)

    pace = paced(clock, seed=seed, sleep=sleep)
    ties = itertools.count()
    turns: list[tuple[float, int, Callable[[], None]]] = []
    left, refusals, last_s = requests, 0, clock.now_s

    def later(seconds: float, turn: Callable[[], None]) -> None:
        heapq.heappush(turns, (clock.now_s + seconds, next(ties), turn))

    def ask() -> None:
        nonlocal left
        if not left:
            return
        try:
            sent_s = pace.wait()
        except Asleep as asleep:
            later(asleep.seconds + 1e-9, ask)
            return
        left -= 1
        is_refused, wait_s = bucket.refusal(clock.now_s)
        later(latency_s * dice.uniform(0.7, 1.4), lambda: hear(sent_s, wait_s, is_refused=is_refused))

    def hear(sent_s: float, wait_s: float | None, *, is_refused: bool) -> None:
        nonlocal left, refusals, last_s
        if is_refused:
            pace.refused(sent_s, retry_after_s=wait_s)
            refusals += 1
            left += 1
        else:
            pace.answered(sent_s)
            last_s = clock.now_s
        ask()

    for _ in range(8):
        ask()
    while turns:
        clock.now_s, _, turn = heapq.heappop(turns)
        turn()
    return refusals, last_s - 1000.0


@pytest.mark.parametrize("tells", ["whole", "exact", ""])
@pytest.mark.parametrize("rate", [20, 50])
@pytest.mark.parametrize("burst", [5, 10])
@pytest.mark.parametrize("latency_s", [0.01, 0.05])
def test_eight_workers_meet_few_429s_and_use_most_of_what_is_allowed(
    tells: str, rate: int, burst: int, latency_s: float
) -> None:
    ran = [simulate(Bucket(rate, burst, tells), requests=600, latency_s=latency_s, seed=seed) for seed in range(3)]

    assert max(refusals for refusals, _ in ran) <= 60
    assert max(took_s for _, took_s in ran) <= 1.6 * 600 / rate


@settings(max_examples=25, deadline=None)
@given(
    st.integers(2, 200),
    st.integers(1, 20),
    st.sampled_from(["whole", "exact", ""]),
    st.floats(0.002, 0.3),
    st.integers(),
)
def test_under_any_limit_the_work_is_done(rate: int, burst: int, tells: str, latency_s: float, seed: int) -> None:
    refusals, took_s = simulate(Bucket(rate, burst, tells), requests=200, latency_s=latency_s, seed=seed)

    assert refusals <= 200
    assert took_s <= 10 * (200 / rate + 200 * latency_s / 8) + 20


# Threads


@contextmanager
def allowing(bucket: Bucket) -> Iterator[tuple[str, list[int]]]:
    """Serve pages of one event at a bucket's rate; the second value fills with the statuses sent."""
    statuses: list[int] = []
    lock = threading.Lock()
    page = json.dumps({"data": [{"id": "a"}], "has_more": False}).encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            with lock:
                is_refused, wait_s = bucket.refusal(time.monotonic())
                statuses.append(429 if is_refused else 200)
            self.send_response(429 if is_refused else 200)
            if wait_s is not None:
                self.send_header("Retry-After", f"{wait_s:.3f}")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    server.daemon_threads = True
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", statuses
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_eight_threads_over_sockets_share_the_rate() -> None:
    found: list[int] = []
    patience = Retry(attempts=10, timeout_s=60, wait_initial_s=0.1, wait_max_s=1.0, jitter_s=0)
    with allowing(Bucket(50, 10, "")) as (base, statuses), Client(KEY, base_url=base, retry=patience) as client:

        def work() -> None:
            for _ in range(15):
                found.extend(len(fetched.page.events) for fetched in client.fetch_pages())

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert found == [1] * 120
    assert 0 < statuses.count(429) <= 30


@pytest.mark.parametrize("kind", ["hold", "backoff"])
def test_closing_the_client_ends_the_waits_of_other_threads(kind: str) -> None:
    waits = threading.Event()
    raised: list[Exception] = []
    pace = Pace(Retry(wait_initial_s=500, wait_max_s=500))

    def work() -> None:
        try:
            if kind == "hold":
                pace.refused(pace.wait(), retry_after_s=None)
                waits.set()
                pace.wait()
            else:
                waits.set()
                pace.rest(500)
        except RequestError as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    waits.wait(10)
    pace.close()
    thread.join(10)

    assert not thread.is_alive()
    assert [str(error) for error in raised] == ["The client is closed. Make a new one."]
