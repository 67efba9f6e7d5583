"""Try one page again while its error says that this may help."""

from __future__ import annotations

import logging
import random
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

import stamina
from stamina.instrumentation import RetryDetails, get_on_retry_hooks

from auditframe.errors import ApiError, NetworkError, RateLimitError

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditframe.client._pace import Pace
    from auditframe.client._records import Retry

T = TypeVar("T")

ABSENT_ATTEMPTS = 3
"""How often a place is tried that never answered: enough for a server that is starting, short for a wrong address."""

# Without a handler of somebody's own, Python prints stamina's warnings to stderr.
logging.getLogger("stamina").addHandler(logging.NullHandler())


def with_retries(retry: Retry, attempt: Callable[[], T], *, pace: Pace, deadline_s: float) -> T:
    """Call until it succeeds, cannot be helped, or has had its attempts and its time.

    Each call waits for the pace first. After a 429, or where the endpoint names a time to wait, that is the whole
    wait, and it is everybody's. After another failure this call alone waits by stamina's formula; stamina's own loop
    would sleep on when the client is closed. stamina's hooks are told of either wait.

    Args:
        retry: The bounds and the waits.
        attempt: What to call.
        pace: When a request may start.
        deadline_s: The end of the time, on the monotonic clock [s].

    Raises:
        ApiError: The last one.
    """
    failures = _Failures(retry, deadline_s)
    while True:
        sent_s = pace.wait(deadline_s=deadline_s)
        try:
            found = attempt()
        except ApiError as error:
            hold_s = None
            if isinstance(error, RateLimitError) or (error.retryable and error.retry_after_s):
                hold_s = pace.refused(sent_s, retry_after_s=error.retry_after_s)
            wait_s = failures.wait_s(error, hold_s=hold_s)
            if wait_s is None:
                raise
            with failures.told(error, wait_s):
                pace.rest(wait_s)
        else:
            pace.answered(sent_s)
            return found


class _Failures:
    """What went wrong with one page so far, and what follows from it."""

    def __init__(self, retry: Retry, deadline_s: float) -> None:
        self._retry = retry
        self._deadline_s = deadline_s
        self._attempts = retry.attempts if stamina.is_active() and not stamina.is_testing() else 1
        self._count = 0
        self._absences = 0
        self._waited_s = 0.0

    def wait_s(self, error: ApiError, *, hold_s: float | None) -> float | None:
        """Say how long to wait before the next attempt.

        Args:
            error: How the last attempt failed.
            hold_s: How long everybody waits because of it [s]; None when nobody else does.

        Returns:
            The wait [s]; None when there is no next attempt.
        """
        self._count += 1
        self._absences += isinstance(error, NetworkError) and error.is_absent
        now_s = time.monotonic()
        is_over = self._count >= self._attempts or self._absences == ABSENT_ATTEMPTS or now_s >= self._deadline_s
        if is_over or not error.retryable:
            return None
        if hold_s is None:
            return self._backoff_s()
        return hold_s if now_s + hold_s <= self._deadline_s else None

    def told(self, error: ApiError, wait_s: float) -> ExitStack:
        """Tell stamina's hooks of a wait; what they return is open during it."""
        details = RetryDetails(
            name="auditframe.client",
            args=(),
            kwargs={},
            retry_num=self._count,
            wait_for=wait_s,
            waited_so_far=self._waited_s,
            caused_by=error,
        )
        self._waited_s += wait_s
        during = ExitStack()
        for hook in get_on_retry_hooks():
            if (context := hook(details)) is not None:
                during.enter_context(context)
        return during

    def _backoff_s(self) -> float:
        jitter_s = random.uniform(0, self._retry.jitter_s)  # noqa: S311 - jitter, no secret
        return min(self._retry.wait_max_s, self._retry.wait_initial_s * 2.0 ** min(self._count - 1, 1000) + jitter_s)
