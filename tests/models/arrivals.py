"""Models of the reports on how events came: what was read whole, what came late, and what came again otherwise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

from tests.models.activity import ends
from tests.models.reading import Event, Row, instant, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOUR = timedelta(hours=1)
Stretch = tuple[datetime | None, datetime | None]
"""A half-open window; None leaves a side open."""

ALL_TIME: Stretch = (None, None)


@dataclass(frozen=True)
class Visit:
    """A run that brought events, and left a ledger entry.

    Attributes:
        seen_at: When it came by.
        scope: The pass that brought its events.
        texts: These, as they arrived.
        is_snapshot: Whether it asked the endpoint.
        whole: What it read whole, by scope.
    """

    seen_at: datetime
    scope: str | None
    texts: tuple[str, ...]
    is_snapshot: bool = False
    whole: tuple[tuple[str, Stretch], ...] = ()


@dataclass(frozen=True)
class Arrival:
    """An event as it arrived.

    Attributes:
        event: The event.
        text: Its payload.
        visit: What brought it.
        number: The ledger entry of that, from 1.
    """

    event: Event
    text: str
    visit: Visit
    number: int

    @property
    def at(self) -> datetime:
        return instant(self.event.at)


@dataclass(frozen=True)
class Log:
    """What a lake keeps of visits.

    Attributes:
        visits: These, in their order.
        rows: What came first for each id, in the order of (instant, id).
        others: Every other payload, as it came first, with the row of its id.
    """

    visits: Sequence[Visit]
    rows: list[Arrival]
    others: list[tuple[Arrival, Arrival]]


def kept(visits: Sequence[Visit]) -> Log:
    """Return what a lake keeps of visits; an event without a type has no place, and is no other payload."""
    rows: dict[str, Arrival] = {}
    others: dict[str, tuple[Arrival, Arrival]] = {}
    for number, visit in enumerate(visits, 1):
        for text in visit.texts:
            told = json.loads(text)
            if "type" not in told:
                continue
            came = Arrival(read([told])[0], text, visit, number)
            first = rows.setdefault(came.event.id, came)
            if _exact(first.text) != _exact(text):
                others.setdefault(text, (first, came))
    return Log(visits, sorted(rows.values(), key=lambda row: row.event.order), list(others.values()))


def coverage(log: Log, *, window: Stretch = ALL_TIME) -> list[Row]:
    """Return the windows of each scope in time order, and how much is known of each."""
    rows = []
    for scope in ("organization", "tenant", None):
        whole = [stretch for visit in log.visits for of, stretch in visit.whole if of == scope]
        told = [row for row in log.rows if row.visit.scope == scope and _holds(window, row.at)]
        for kind, stretch in _tiles(whole, window if scope else ALL_TIME):
            events = [row.event for row in told if _holds(stretch, row.at)]
            if events or kind != "outside":
                rows.append(_tile(scope, kind, stretch, events))
    return rows


def late_arrivals(log: Log, *, min_lag_hours: float = 1.0) -> list[Row]:
    """Return the events that a snapshot brought of a time that an earlier one had read whole, the latest first."""
    late = [
        row for row in log.rows if row.visit.is_snapshot and _was_read(log, row) and _lag_hours(row) >= min_lag_hours
    ]
    return [
        {
            "event_id": row.event.id,
            "type": row.event.type,
            "scope": row.visit.scope,
            "effective_at": row.at,
            "first_seen_at": row.visit.seen_at,
            "lag_hours": _lag_hours(row),
            "snapshot": row.number,
            "actor": row.event.actor,
            "resource_id": row.event.resource_id,
        }
        for row in sorted(late, key=lambda row: -_lag_hours(row))
    ]


def mutations(log: Log) -> list[Row]:
    """Return the other payloads of events, in the order of these."""
    rows = [_mutation(row, other) for row, other in log.others]
    return sorted(
        rows, key=lambda row: (row["effective_at"], row["event_ids"], row["seen_again_at"], row["other_sha256"])
    )


def _tiles(whole: list[Stretch], asked: Stretch) -> Iterator[tuple[str, Stretch]]:
    """Cut all that is asked for where any window begins or ends, and join what is alike."""
    cuts = sorted({cut for stretch in (*whole, asked) for cut in stretch if cut})
    pieces = [piece for piece in pairwise([None, *cuts, None]) if _lies_in(piece, asked)]
    for kind, alike in groupby(pieces, lambda piece: _kind(piece, whole, asked)):
        first, *_, last = [*alike] * 2
        yield kind, (first[0], last[1])


def _kind(piece: Stretch, whole: list[Stretch], asked: Stretch) -> str:
    if any(_lies_in(piece, stretch) for stretch in whole):
        return "covered"
    start, end = piece
    is_between = any(_lies_in((start, None), (first, None)) for first, _ in whole) and any(
        _lies_in((None, end), (None, last)) for _, last in whole
    )
    return "gap" if asked != ALL_TIME or is_between else "outside"


def _lies_in(piece: Stretch, stretch: Stretch) -> bool:
    (start, end), (first, last) = piece, stretch
    return (first is None or (start is not None and start >= first)) and (
        last is None or (end is not None and end <= last)
    )


def _holds(stretch: Stretch, at: datetime) -> bool:
    start, end = stretch
    return (start is None or at >= start) and (end is None or at < end)


def _tile(scope: str | None, kind: str, stretch: Stretch, events: list[Event]) -> Row:
    start, end = stretch
    return {
        "scope": scope,
        "kind": kind,
        "starts_at": start,
        "ends_at": end,
        "hours": (end - start) / HOUR if start and end else None,
        "events": len(events),
        **ends(events),
    }


def _lag_hours(row: Arrival) -> float:
    return (row.visit.seen_at - row.at) / HOUR


def _was_read(log: Log, row: Arrival) -> bool:
    """Whether an earlier visit had read a window around an event whole, of its scope."""
    earlier = log.visits[: row.number - 1]
    return any(of == row.visit.scope and _holds(stretch, row.at) for visit in earlier for of, stretch in visit.whole)


def _mutation(row: Arrival, other: Arrival) -> Row:
    before, after = (dict(_leaves(_exact(text))) for text in (row.text, other.text))
    changed = {path for path in before.keys() | after.keys() if before.get(path, ...) != after.get(path, ...)}
    hash_ = sha256(other.text.encode()).hexdigest()
    return {
        "finding": f"mutations:{row.event.id}:{hash_[:16]}",
        "severity": "high" if changed & before.keys() else "medium",
        "effective_at": row.at,
        "actor": row.event.actor,
        "resource_id": row.event.resource_id,
        "event_ids": [row.event.id],
        "type": row.event.type,
        "changed": sorted(changed),
        "first_seen_at": row.visit.seen_at,
        "seen_again_at": other.visit.seen_at,
        "other_sha256": hash_,
    }


def _exact(text: str) -> Any:
    """Read JSON, its numbers as they are written."""
    return json.loads(text, parse_int=lambda digits: (digits,), parse_float=lambda digits: (digits,))


def _leaves(value: Any, *path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, *path, key)
    else:
        yield "/".join(path), value
