"""Load: events from the endpoint or from files, as one DataFrame."""

from __future__ import annotations

import functools
import itertools
import operator
import warnings
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from auditframe.catalogue import SCOPES, catalogue, lookup
from auditframe.client import Client, Filters
from auditframe.errors import AuditFrameWarning, AuthError, FileError, RequestError, did_you_mean
from auditframe.files import expand, read_pages
from auditframe.flatten import Flattened, flatten_texts, join_flattened
from auditframe.lake.merge import in_order, sort_arrivals
from auditframe.parallel import ahead
from auditframe.spool import Spool
from auditframe.window import Instant, parse_window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import pandas as pd

    from auditframe.client import Fetched, Scope
    from auditframe.flatten import Quarantined
    from auditframe.pages import Page

PAGES_PER_BATCH = 500
"""How many pages become columns at once."""

BATCH_BYTES = 16 * 2**20
"""How much of the text of events in files becomes columns at once."""

_SCATTERED = 2  # times as many days as there are: sorting costs less than writing each day twice
_DAY_S = 86_400
_INSTANT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Events, and what did not become a row of its own.

    Attributes:
        events: One row an id, ordered by ``effective_at``, then ``id``.
        repeated: Rows that came again with the same payload, for example in overlapping files.
        quarantine: What could not be placed, and events whose id came before with another payload.
    """

    events: pa.Table = field(repr=False)
    repeated: int
    quarantine: tuple[Quarantined, ...]


def load(  # noqa: PLR0913 - every filter of the endpoint is a parameter
    *sources: str | Path,
    client: Client | None = None,
    start: Instant | None = None,
    end: Instant | None = None,
    scope: Scope | None = None,
    project_ids: Sequence[str] = (),
    event_types: Sequence[str] = (),
    actor_ids: Sequence[str] = (),
    actor_emails: Sequence[str] = (),
    resource_ids: Sequence[str] = (),
    limit: int = 100,
    after: str | None = None,
    before: str | None = None,
    strict: bool = False,
) -> pd.DataFrame:
    """Load events into a DataFrame: from files when any are named, else from the endpoint.

    Args:
        sources: Files or globs; see `files.read_pages` for what they may hold. The filters apply to them as they do
            at the endpoint.
        client: The endpoint; `Client()` when None, with the key from OPENAI_ADMIN_KEY.
        start: The first instant wanted: ISO date, aware datetime, ``-30d``, ``-6h``; None for no bound.
        end: The first instant not wanted any more; None for no bound.
        scope: ``organization`` or ``tenant``; None for both.
        project_ids: Only events of these projects; empty for all, as below.
        event_types: Only events of these types; one that the catalogue does not know, and no event has, is warned of.
        actor_ids: Only events by these users, service accounts or API keys.
        actor_emails: Only events by users with these addresses.
        resource_ids: Only events done to these.
        limit: Events a page, 1 to 100; changes how many requests are made, not what comes back.
        after: Start after the event with this id; needs `scope`.
        before: Walk back from the event with this id; needs `scope`.
        strict: Raise on the first event that cannot be placed, instead of warning.

    Returns:
        One row an event with the columns of `schema.COLUMNS`, ordered by ``effective_at``, then ``id``; missing is
        null. ``attrs["repeated"]`` counts rows that came again unchanged, ``attrs["quarantined"]`` lists reason, id
        and field of each event that is not a row.

    Raises:
        ApiError: The endpoint failed; a part of the events is never returned.
        FileError: A file is missing, cut short or not JSON.
        EventError: `strict`, and an event cannot be placed.
        WindowError: A time cannot be read or has no zone.
        RequestError: A filter cannot be sent.
    """
    filters = Filters(
        window=parse_window(start, end),
        project_ids=_texts("project_ids", project_ids),
        event_types=_texts("event_types", event_types),
        actor_ids=_texts("actor_ids", actor_ids),
        actor_emails=_texts("actor_emails", actor_emails),
        resource_ids=_texts("resource_ids", resource_ids),
    )
    place = {"limit": limit, "after": after, "before": before}
    loaded = gather(sources, filters, client=client, scope=scope, strict=strict, **place)
    frame = loaded.events.to_pandas()
    frame.attrs["repeated"] = loaded.repeated
    frame.attrs["quarantined"] = [
        {"event_id": item.event_id, "field": item.field, "reason": item.reason} for item in loaded.quarantine
    ]
    return frame


def gather(
    sources: Sequence[str | Path],
    filters: Filters,
    *,
    client: Client | None = None,
    scope: Scope | None = None,
    strict: bool = False,
    **place: Any,
) -> Loaded:
    """Load events as `load` does, into Arrow; `place` holds its limit, after and before."""
    if scope not in (None, *SCOPES):
        raise RequestError(f"The scope must be one of {', '.join(SCOPES)}, or None for both.")
    is_placed = place.get("after") or place.get("before")
    if sources:
        if client is not None or is_placed:
            raise RequestError("A client, after and before are for the endpoint; files are read whole.")
        loaded = _deduplicated(read_events(sources))
        loaded = replace(loaded, events=_matching(loaded.events, filters, scope))
    else:
        if is_placed and scope is None:
            raise RequestError("after and before are places in one pass; say which with scope='organization'.")
        loaded = _deduplicated(_from_endpoint(client or Client(), scope, filters, **place))
    if strict and loaded.quarantine:
        raise loaded.quarantine[0].error()
    _warn(loaded)
    _warn_of_types(loaded, filters)
    return loaded


def load_table(*sources: str | Path) -> pa.Table:
    """Read files into one Arrow table, warning of what could not be placed.

    Returns:
        One row an id, ordered by ``effective_at``, then ``id``.

    Raises:
        FileError: A file is missing, cut short or not JSON.
    """
    loaded = _deduplicated(read_events(sources))
    _warn(loaded)
    return loaded.events


def read_events(sources: Iterable[str | Path]) -> Flattened:
    """Read files into rows in their order; an event that came twice is two rows.

    Returns:
        The rows and what could not be placed; the scope of a row is the one that lists its type.

    Raises:
        FileError: A file is missing, cut short or not JSON; nothing is returned.
    """
    return join_flattened(read_batches(sources))


def check_files(sources: Iterable[str | Path]) -> bool:
    """Read files to their ends and keep nothing, before they are read again.

    Returns:
        Whether their events are so far from the order of time that `read_batches` does well to sort them: batches as
        they come would tell of the same days again and again, and each time a lake would write these days anew.

    Raises:
        FileError: A file is missing, cut short or not JSON, or it can be read only once.
    """
    every, within = set[int | None](), set[int | None]()
    told = batches = held_bytes = 0
    for page in _pages_of_files(sources):
        within.update(map(_day, page.times))
        held_bytes += sum(map(len, page.events))
        if held_bytes >= BATCH_BYTES:
            every |= within
            told, batches, held_bytes = told + len(within), batches + 1, 0
            within.clear()
    return told + len(within) > _SCATTERED * (len(every | within) + batches)


def read_batches(sources: Iterable[str | Path], *, by_day: bool = False) -> Iterator[Flattened]:
    """Read files as `read_events` does, a batch at a time, so that memory does not grow with them.

    A thread makes the next batch while one is used.

    Args:
        sources: The files.
        by_day: Sort events by UTC day first, in the folder for temporary files. Of two payloads of an event, that of
            the earlier day then comes first.

    Raises:
        FileError: As `read_events`, but what came before was yielded; `check_files` tells before. Or there is no room
            for temporary files.
    """
    return ahead(_batches(_texts_by_day(sources) if by_day else (page.events for page in read_pages(sources))))


def _pages_of_files(sources: Iterable[str | Path]) -> Iterator[Page]:
    for path in expand(sources):
        if not path.is_file():
            raise FileError(f"{path} is a pipe, and can be read only once. Write it to a file first.", path=path)
        yield from read_pages([path])


def _batches(parts: Iterable[Sequence[bytes]]) -> Iterator[Flattened]:
    seen_at = datetime.now(UTC)
    texts: list[bytes] = []
    held_bytes = 0
    for part in parts:
        texts += part
        held_bytes += sum(map(len, part))
        if held_bytes >= BATCH_BYTES:
            yield _drained(texts, seen_at=seen_at)
            held_bytes = 0
    yield _drained(texts, seen_at=seen_at)


def _texts_by_day(sources: Iterable[str | Path]) -> Iterator[Sequence[bytes]]:
    with Spool(room_bytes=BATCH_BYTES) as spool:
        for page in read_pages(sources):
            spool.add(zip(map(_day, page.times), page.events, strict=True))
        yield from spool.by_day()


def _day(at: float | None) -> int | None:
    """Return the days from 1970 to an instant [s]."""
    return None if at is None else int(at // _DAY_S)


def _drained(texts: list[bytes], *, seen_at: datetime) -> Flattened:
    """Flatten texts and let go of them, for whoever takes the batch may hold it for long."""
    flattened = _with_scopes(flatten_texts(texts, seen_at=seen_at))
    texts.clear()
    return flattened


def _with_scopes(flattened: Flattened) -> Flattened:
    types = flattened.events["type"].combine_chunks().dictionary_encode()
    scopes = pa.array([lookup(str(type_)).scope for type_ in types.dictionary.to_pylist()], pa.string())
    place = flattened.events.schema.get_field_index("scope")
    return replace(flattened, events=flattened.events.set_column(place, "scope", scopes.take(types.indices)))


def _from_endpoint(client: Client, scope: Scope | None, filters: Filters, **place: Any) -> Flattened:
    parts: list[Flattened] = []
    for each in (scope,) if scope else SCOPES:
        asked = _listed_in(filters, each)
        if asked is None:
            continue
        pages = client.fetch_pages(scope=each, filters=asked, **place)
        try:
            first = list(itertools.islice(pages, 1))
        except AuthError as error:
            if scope or each == "organization":
                raise
            message = f"Tenant-scoped events are not in this frame: {error} Say scope='organization' to leave them out."
            warnings.warn(AuditFrameWarning(message), stacklevel=3)
            continue
        # Who has read a page may read the scope: a refusal after that is a key that was revoked.
        parts += _from_pages(itertools.chain(first, pages), each)
    return join_flattened(parts)


def _from_pages(pages: Iterator[Fetched], scope: Scope) -> Iterator[Flattened]:
    while batch := list(itertools.islice(pages, PAGES_PER_BATCH)):
        texts = (event for fetched in batch for event in fetched.page.events)
        yield flatten_texts(texts, scope=scope, seen_at=batch[-1].received_at)


def _listed_in(filters: Filters, scope: Scope) -> Filters | None:
    """Leave the event types that a scope can return; None when types are asked for and none is left."""
    if not filters.event_types:
        return filters
    types = tuple(type_ for type_ in filters.event_types if lookup(type_).scope == scope)
    return replace(filters, event_types=types) if types else None


def _matching(events: pa.Table, filters: Filters, scope: Scope | None) -> pa.Table:
    """Keep the rows that the endpoint would have returned for these filters."""
    at, window = pc.field("effective_at"), filters.window
    tests = [
        *_any_of(filters.project_ids, "project_id"),
        *_any_of(filters.event_types, "type"),
        *_any_of(filters.actor_ids, "actor_id", "actor_api_key_id"),
        *_any_of(filters.actor_emails, "actor_email"),
        *_any_of(filters.resource_ids, "resource_id"),
        *_any_of((scope,) if scope else (), "scope"),
        *([at >= pa.scalar(window.start, _INSTANT)] if window.start else ()),
        *([at < pa.scalar(window.end, _INSTANT)] if window.end else ()),
    ]
    return events.filter(functools.reduce(operator.and_, tests)) if tests else events


def _any_of(wanted: tuple[str, ...], *columns: str) -> list[pc.Expression]:
    if not wanted:
        return []
    return [functools.reduce(operator.or_, (pc.field(column).isin(list(wanted)) for column in columns))]


def _deduplicated(flattened: Flattened) -> Loaded:
    arrivals = sort_arrivals(flattened.events, {})
    return Loaded(
        in_order(arrivals.new), repeated=arrivals.known, quarantine=(*flattened.quarantine, *arrivals.mutations)
    )


def _warn(loaded: Loaded) -> None:
    if loaded.quarantine:
        first = loaded.quarantine[0].error()
        message = f"{len(loaded.quarantine)} event(s) are not in this answer, of them the first: {first}"
        warnings.warn(AuditFrameWarning(message), stacklevel=4)


def _warn_of_types(loaded: Loaded, filters: Filters) -> None:
    """Tell a slip in the name of a type from a type without events."""
    found = loaded.events["type"].unique().to_pylist()
    for type_ in filters.event_types:
        if type_ not in catalogue() and type_ not in found:
            message = f"No event is of the type {type_!r}, which the catalogue does not know."
            warnings.warn(AuditFrameWarning(message + did_you_mean(type_, catalogue())), stacklevel=4)


def _texts(name: str, values: Sequence[str]) -> tuple[str, ...]:
    if isinstance(values, str):
        raise RequestError(f"{name} takes a list of texts: {name}=[{values!r}]")
    return tuple(values)
