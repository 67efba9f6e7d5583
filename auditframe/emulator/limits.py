"""What the emulator remembers between requests: tokens left, and cursors handed out."""

from __future__ import annotations

import math
import time
from threading import Lock
from typing import TYPE_CHECKING

from auditframe.emulator.query import RefusedQueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from auditframe.emulator.behaviour import RateLimit
    from auditframe.emulator.query import Query


class TokenBucket:
    """The state of a rate limit; any number of threads may take tokens.

    Args:
        limit: How many tokens there are.
        clock: What tells the time [s].
    """

    def __init__(self, limit: RateLimit, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = Lock()
        self._tokens = float(limit.burst)
        self._counted_at = clock()

    def take(self) -> float:
        """Take a token.

        Returns:
            How long it takes until there is one [s]; 0 when one was taken.
        """
        with self._lock:
            now = self._clock()
            grown = self._tokens + (now - self._counted_at) * self._limit.per_second
            self._tokens, self._counted_at = min(float(self._limit.burst), grown), now
            if self._tokens < 1:
                return (1 - self._tokens) / self._limit.per_second if self._limit.per_second else math.inf
            self._tokens -= 1
            return 0.0


class HandedOut:
    """Which cursors a client can know, and since when.

    Args:
        life: How many other requests a cursor outlives.
    """

    def __init__(self, life: int) -> None:
        self._life = life
        self._lock = Lock()
        self._last_seen: dict[str, int] = {}

    def note(self, cursors: Iterable[str], *, number: int) -> None:
        """Remember the cursors on the answer to a request."""
        with self._lock:
            for cursor in cursors:
                # Threads may come here in another order than their requests were counted.
                self._last_seen[cursor] = max(number, self._last_seen.get(cursor, number))

    def check(self, query: Query, *, number: int) -> None:
        """Check the cursor of a request, if it has one.

        Raises:
            RefusedQueryError: The cursor was never handed out, or too long ago.
        """
        param, cursor = ("before", query.before) if query.after is None else ("after", query.after)
        if cursor is None:
            return
        with self._lock:
            seen = self._last_seen.get(cursor)
        if seen is None or number - seen - 1 > self._life:
            raise RefusedQueryError(f"'{param}' is no valid cursor any more.", param=param)
