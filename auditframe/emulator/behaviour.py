"""How the emulator behaves: what the specification leaves open, and what goes wrong on request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Fault:
    """One answer that goes wrong.

    Attributes:
        at: Which request gets it, counted from 0 over the life of the app.
        status: The HTTP status, for the kinds ``status`` and ``html``.
        retry_after: The `Retry-After` header, for the same kinds; None sends none.
        kind: ``status``: an error in the API's shape. ``html``: a page of a gateway. ``truncate``: a
            body cut in half that claims to be whole. ``drop``: the connection ends in the middle of
            the body. ``empty_page``: no events, yet more to come. ``repeat_page``: the page before again.
    """

    at: int
    status: int = 500
    retry_after: str | None = None
    kind: Literal["status", "truncate", "drop", "html", "empty_page", "repeat_page"] = "status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What the emulator does where endpoints were seen to differ.

    Attributes:
        order: In which order events are listed.
        faults: Answers that go wrong.
        null_ids: The envelope's `first_id` and `last_id` are null.
        foreign_last_id: The envelope's `last_id` is no event's id, but works as a cursor.
        string_events: The elements of `data` are JSON strings, each holding an event.
        concatenated: A body is two pages, one right after the other; the last one has the true `has_more`.
        tenant: Whether the key may read the tenant's events.
        latency_s: How long every answer takes at least [s].
    """

    order: Literal["newest_first", "oldest_first"] = "newest_first"
    faults: tuple[Fault, ...] = ()
    null_ids: bool = False
    foreign_last_id: bool = False
    string_events: bool = False
    concatenated: bool = False
    tenant: Literal["allowed", "forbidden"] = "allowed"
    latency_s: float = 0.0
