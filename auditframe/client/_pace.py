"""One rate of requests for all threads that share a client."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from auditframe.errors import RateLimitError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditframe.client._records import Retry

RECENT_S = 1.0
"""How far back starts are counted to tell the present rate [s]."""

KEPT = 0.8
"""The part of the rate that is left after an episode of refusals."""

RISE_HOLDS = 10
"""What an episode took is given back over so many times its hold, so that holds cost about a tenth of the time."""

RISE_ANSWERS = 25
"""Nor is it given back in fewer answers than this, so that refusals stay few where holds are short."""

FORGOTTEN = 2.0
"""A limit is forgotten at this multiple of both the rate last refused and the rate that is asked for."""

SLOWEST = 0.5
"""The learned rate never falls below this; a hold may [1/s]."""

_LONGEST_SLEEP_S = 3600.0


class Pace:
    """When the next request may start: at once until the endpoint answers 429, then by what was learned.

    The refusals of requests that were sent before a hold began are one episode, and slow down once.

    Args:
        retry: The waits of a hold for which the endpoint names no time.
        clock: Tells the time [s]; it never goes back.
        sleep: Waits so many seconds or less; until the pace is closed when None.
        dice: What makes the jitter.
    """

    def __init__(
        self,
        retry: Retry,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        dice: random.Random | None = None,
    ) -> None:
        self._retry = retry
        self._clock = clock
        self._closed = threading.Event()
        self._sleep = sleep or self._closed.wait
        self._dice = dice or random.Random()  # noqa: S311 - jitter, no secret
        self._lock = threading.Lock()
        self._starts: deque[float] = deque(maxlen=1024)
        self._rate: float | None = None
        self._refused_rate = 0.0
        self._episodes = 0
        self._hold_s = 0.0
        self._hold_began_s = self._hold_end_s = self._next_start_s = -math.inf

    @property
    def rate(self) -> float | None:
        """The learned rate of requests [1/s]; None while no limit is known."""
        return self._rate

    def wait(self, *, deadline_s: float = math.inf) -> float:
        """Wait until a request may start.

        Args:
            deadline_s: The end of the caller's time [s].

        Returns:
            The moment of the start [s], for `answered` or `refused`.

        Raises:
            RateLimitError: The request may not start before the deadline.
            RequestError: The client is closed.
        """
        while True:
            self._check_open()
            with self._lock:
                now_s = self._clock()
                left_s = max(self._hold_end_s, self._next_start_s) - now_s
                if left_s <= 0:
                    return self._start(now_s)
            if now_s + left_s > deadline_s:
                raise _too_late(left_s)
            self._sleep(min(left_s, _LONGEST_SLEEP_S))

    def answered(self, sent_s: float) -> None:
        """Learn that the request that was sent at a moment was let through."""
        if self._rate is None and not self._episodes:
            return
        with self._lock:
            if sent_s >= self._hold_end_s:
                self._episodes = 0
            self._rise()

    def refused(self, sent_s: float, *, retry_after_s: float | None) -> float:
        """Learn that the request that was sent at a moment met a 429.

        Returns:
            How long no request will start [s].
        """
        with self._lock:
            now_s = self._clock()
            if sent_s > self._hold_began_s:
                self._slow_down(now_s, sent_s)
                self._hold(now_s, retry_after_s or self._backoff_s())
            elif retry_after_s:
                self._hold(now_s, retry_after_s)
            return max(0.0, self._hold_end_s - now_s)

    def rest(self, seconds: float) -> None:
        """Wait for a reason that concerns one request alone.

        Raises:
            RequestError: The client is closed.
        """
        end_s = self._clock() + seconds
        while (left_s := end_s - self._clock()) > 0 and not self._closed.is_set():
            self._sleep(min(left_s, _LONGEST_SLEEP_S))
        self._check_open()

    def close(self) -> None:
        """End all waits."""
        self._closed.set()

    def _start(self, now_s: float) -> float:
        self._starts.append(now_s)
        if self._rate is not None:
            self._next_start_s = now_s + self._dice.uniform(0.5, 1.5) / self._rate
        return now_s

    def _slow_down(self, now_s: float, sent_s: float) -> None:
        """Lower the rate once for an episode.

        Before the first refusal a burst may start at many times the rate that lasts. The starts within a
        second are a count that lies near it, so the way down from far above goes half of the orders of magnitude.
        """
        recent = [start_s for start_s in self._starts if start_s >= min(now_s - RECENT_S, sent_s)] or [sent_s]
        span_s = now_s - recent[0]
        top = len(recent) / max(span_s, 0.001) if self._rate is None else self._rate
        lasting = len(recent) / max(span_s, RECENT_S)
        lower = math.sqrt(top * lasting) if self._rate is None or lasting < top / 2 else top
        self._rate = max(SLOWEST, min(lower, top * KEPT))
        self._refused_rate = top
        self._hold_began_s = now_s
        self._episodes += 1

    def _hold(self, now_s: float, seconds: float) -> None:
        if now_s + seconds <= self._hold_end_s:
            return
        self._hold_s = seconds
        self._hold_end_s = now_s + seconds
        if self._rate is not None:
            self._next_start_s = self._hold_end_s + self._dice.uniform(0, 1) / self._rate

    def _backoff_s(self) -> float:
        # The exponent is bounded since a float is; no wait doubles a thousand times.
        return min(self._retry.wait_max_s, self._retry.wait_initial_s * 2.0 ** min(self._episodes - 1, 1000))

    def _rise(self) -> None:
        if self._rate is None:
            return
        share = 1 / RISE_ANSWERS
        if self._hold_s > 0:
            share = min(share, 1 / (RISE_HOLDS * self._hold_s * self._rate))
        self._rate += (1 - KEPT) * share * max(self._rate, self._refused_rate)
        if self._rate >= FORGOTTEN * self._refused_rate and self._rate >= FORGOTTEN * self._asked_rate():
            self._rate, self._next_start_s = None, -math.inf

    def _asked_rate(self) -> float:
        since_s = self._clock() - RECENT_S
        return sum(start_s >= since_s for start_s in self._starts) / RECENT_S

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise closed()


def closed() -> RequestError:
    """Make the error for a request through a closed client."""
    return RequestError("The client is closed. Make a new one.")


def _too_late(left_s: float) -> RateLimitError:
    return RateLimitError(
        "The endpoint limits the rate of requests (429), and its wait reaches beyond the time for this page: "
        f"{math.ceil(left_s)} s are left. Run it again after that.",
        status_code=429,
        retry_after_s=left_s,
    )
