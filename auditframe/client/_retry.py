"""Try one page again while its error says that this may help."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, TypeVar

import stamina

from auditframe.errors import ApiError, NetworkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditframe.client._records import Retry

T = TypeVar("T")

ABSENT_ATTEMPTS = 3
"""How often a place is tried that never answered: enough for a server that is starting, short for a wrong address."""

# Without a handler of somebody's own, Python prints stamina's warnings to stderr.
logging.getLogger("stamina").addHandler(logging.NullHandler())


def with_retries(retry: Retry, attempt: Callable[[], T], *, deadline_s: float) -> T:
    """Call until it succeeds, cannot be helped, or has had its attempts and its time.

    Args:
        retry: The bounds and the waits.
        attempt: What to call.
        deadline_s: The end of the time, on the monotonic clock [s].

    Raises:
        ApiError: The last one.
    """
    absences = 0

    def wait_s(error: Exception) -> bool | float:
        """Say whether to try again, and with a number when."""
        nonlocal absences
        if not (isinstance(error, ApiError) and error.retryable):
            return False
        absences += isinstance(error, NetworkError) and error.is_absent
        if absences == ABSENT_ATTEMPTS:
            return False
        if not error.retry_after_s:
            return True
        return error.retry_after_s if time.monotonic() + error.retry_after_s <= deadline_s else False

    for tried in stamina.retry_context(
        on=wait_s,
        attempts=retry.attempts,
        timeout=retry.timeout_s,
        wait_initial=retry.wait_initial_s,
        wait_max=retry.wait_max_s,
        wait_jitter=retry.jitter_s,
    ):
        with tried:
            return attempt()
    raise AssertionError("unreachable: the last attempt returns or raises")
