"""What a walk over the endpoint is asked for, how patient it is, and what it brings."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from auditframe.errors import RequestError
from auditframe.window import EPOCH, Window

if TYPE_CHECKING:
    from datetime import datetime

    from auditframe.pages import Page

Scope = Literal["organization", "tenant"]
Order = Literal["newest_first", "oldest_first"]
Query = tuple[tuple[str, str], ...]

LIMITS = range(1, 101)

_SECOND = timedelta(seconds=1)
_ALWAYS = Window()


@dataclass(frozen=True, slots=True)
class Filters:
    """Which events to ask the endpoint for; an empty tuple asks for all.

    Attributes:
        window: Events whose `effective_at` lies in it.
        project_ids: Events of any of these projects.
        event_types: Events of any of these types.
        actor_ids: Events by any of these users, service accounts or API keys.
        actor_emails: Events by users with any of these e-mail addresses.
        resource_ids: Events done to any of these.
    """

    window: Window = _ALWAYS
    project_ids: tuple[str, ...] = ()
    event_types: tuple[str, ...] = ()
    actor_ids: tuple[str, ...] = ()
    actor_emails: tuple[str, ...] = ()
    resource_ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, values in self._lists():
            if not isinstance(values, tuple):
                raise RequestError(f"{name} must be a tuple of texts, like ('one',), not {type(values).__name__}.")
            if not all(map(is_sendable, values)):
                raise RequestError(f"{name} holds something that is no text, or an empty one.")

    def query(self) -> Query:
        """Return the filters as query parameters, each value a pair of its own."""
        lists = ((f"{name}[]", value) for name, values in self._lists() for value in values)
        return (*_effective_at(self.window), *lists)

    def _lists(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return tuple((each.name, getattr(self, each.name)) for each in fields(self) if each.name != "window")


@dataclass(frozen=True, slots=True)
class Retry:
    """How long to stay with one page that does not come.

    The wait doubles from `wait_initial_s` up to `wait_max_s`; a `Retry-After` of the endpoint comes first.
    After a 429, or a `Retry-After`, all threads of a client wait, and then start one by one.

    Attributes:
        attempts: Requests for one page, the first one included.
        timeout_s: No wait begins later than this after the page is asked for [s], and a wait
            after a 429, or a `Retry-After`, that reaches beyond it ends the attempts at once.
        wait_initial_s: The first wait [s].
        wait_max_s: The longest wait, `Retry-After` excepted [s].
        jitter_s: At most this much is added by chance to a wait, those after a 429 excepted [s].
    """

    attempts: int = 8
    timeout_s: float = 600.0
    wait_initial_s: float = 0.5
    wait_max_s: float = 30.0
    jitter_s: float = 1.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.timeout_s <= 0:
            raise RequestError("Retry needs at least one attempt and more than 0 s for it.")
        if min(self.wait_initial_s, self.wait_max_s, self.jitter_s) < 0:
            raise RequestError("Retry cannot wait less than 0 s.")


@dataclass(frozen=True, slots=True)
class Fetched:
    """One page as it arrived, with what proves where it came from.

    Attributes:
        body: The response body, decompressed, otherwise byte for byte.
        page: The events found in it.
        number: The place of the page in its walk, from 0.
        cursor: What was sent to get it; None for the first page. A walk that starts at this
            cursor begins with this page.
        request_id: The endpoint's `x-request-id`; None when it sent none.
        received_at: When the body was complete, UTC.
        asked_at: A moment at which the endpoint had not answered yet, UTC: what it held by then, and
            has not held back, is in the answer. The earlier of the local clock when the request was sent
            and the endpoint's own clock less the time until it answered.
        date: The endpoint's clock when it answered, from its `Date`, UTC; None without a usable one.
        next_cursors: The cursors that may lead on from here, best first; none after the last page.
        order: Which way the walk goes through time, as far as its pages have shown.
        headers: The names of the response's headers, sorted; only those about rates have their values.
    """

    body: bytes = field(repr=False)
    page: Page = field(repr=False)
    number: int
    cursor: str | None
    request_id: str | None
    received_at: datetime
    asked_at: datetime
    date: datetime | None
    next_cursors: tuple[str, ...] = ()
    order: Order | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def is_last(self) -> bool:
        """Whether the endpoint said that nothing follows, by `has_more` or, without one, by an empty page."""
        return not self.page.events if self.page.has_more is None else not self.page.has_more


def is_sendable(value: object) -> bool:
    """Whether a value is a text that a URL can carry: not empty, and without lone surrogates."""
    if not isinstance(value, str) or not value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _effective_at(window: Window) -> Query:
    """Return the window's ends in whole seconds; both round up, so that no whole second changes sides."""
    ends = (("effective_at[gte]", window.start), ("effective_at[lt]", window.end))
    return tuple((name, str(_next_second(instant))) for name, instant in ends if instant is not None)


def _next_second(instant: datetime) -> int:
    return -((EPOCH - instant) // _SECOND)


EVERYTHING = Filters()
PATIENT = Retry()
