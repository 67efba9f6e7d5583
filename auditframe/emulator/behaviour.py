"""How the emulator behaves: what the specification leaves open, and what goes wrong on request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FaultKind = Literal[
    "status",
    "truncate",
    "drop",
    "html",
    "empty_page",
    "repeat_page",
    "hang",
    "reset",
    "overlong",
    "underlong",
    "loop",
    "null_ids",
    "doubled",
]


@dataclass(frozen=True, slots=True)
class Fault:
    """One answer that goes wrong.

    Attributes:
        at: Which request gets it, counted from 0 over the life of the app.
        status: The HTTP status, for the kinds ``status`` and ``html``.
        retry_after: The `Retry-After` header, for the same kinds; None sends none.
        kind: ``status``: an error in the API's shape. ``html``: a page of a gateway.

            Bodies of what would have been the answer: ``truncate``: cut in half, but claims to be whole.
            ``overlong``: whole, but `Content-Length` promises more. ``underlong``: `Content-Length`
            promises half of it; neither shows without a socket.

            Connections: ``drop``: closed in the middle of the body. ``reset``: reset there. ``hang``: no
            answer for `seconds`, or until the client is gone, then closed. Without `serve` the last two
            raise `httpx.ReadError`, which is what a client on `httpx.WSGITransport` would have met.

            Pages: ``empty_page``: no events, yet more to come. ``repeat_page``: the page before again;
            a walk's first page comes as it is. ``loop``: the first page of all again, with more to come.
            ``null_ids``: the envelope's `first_id` and `last_id` are null. ``doubled``: each row twice.
        seconds: For how long the kind ``hang`` says nothing [s].
    """

    at: int
    status: int = 500
    retry_after: str | None = None
    kind: FaultKind = "status"
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A token bucket: each request takes a token, and one that finds none is answered with 429.

    Attributes:
        per_second: How many tokens come back [1/s]; 0 for none.
        burst: How many tokens there are at first, and at most.
        retry_after: The `Retry-After` header of a 429; None sends none. ``auto`` sends how long it
            takes until there is a token, rounded up to whole seconds.
    """

    per_second: float
    burst: int
    retry_after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What the emulator does where endpoints were seen to differ.

    Requests are counted from 0 over the life of the app. Where more than one thing applies to a
    request, a revoked key comes before the rate limit, and that before a fault.

    Attributes:
        order: In which order events are listed.
        faults: Answers that go wrong.
        null_ids: The envelope's `first_id` and `last_id` are null.
        foreign_last_id: The envelope's `last_id` is no event's id, but works as a cursor.
        string_events: The elements of `data` are JSON strings, each holding an event.
        concatenated: A body is two pages, one right after the other; each says whether anything comes after it.
        tenant: Whether the key may read the tenant's events.
        latency_s: How long every answer takes at least [s].
        rate_limit: How many requests are let in; None for all.
        revoked_after: From this request on every answer is 401, as for a revoked key; None for never.
        cursor_life: How many other requests may come between the page that a cursor was last on and
            its use. One that is older, or was never on a page of this app, is refused with 400. None
            for no such check.
        clock_offset_s: How far the `Date` header is ahead of the clock [s].
        turned_at: From this request on events are listed in the other order; a cursor still stands
            for the same event. None for never.
        ignores_window: The `effective_at` filters are checked, and then ignored.
        overlapping_rows: How many of the last rows of the page before a page repeats. They count
            towards `limit`, of which at least one row stays for what is new.
    """

    order: Literal["newest_first", "oldest_first"] = "newest_first"
    faults: tuple[Fault, ...] = ()
    null_ids: bool = False
    foreign_last_id: bool = False
    string_events: bool = False
    concatenated: bool = False
    tenant: Literal["allowed", "forbidden"] = "allowed"
    latency_s: float = 0.0
    rate_limit: RateLimit | None = None
    revoked_after: int | None = None
    cursor_life: int | None = None
    clock_offset_s: float = 0.0
    turned_at: int | None = None
    ignores_window: bool = False
    overlapping_rows: int = 0
