"""The events in the order in which they are listed, and how a page is cut out of them."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from auditframe.catalogue import lookup
from auditframe.emulator.query import RefusedQueryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from auditframe.emulator.query import Query

_FOREIGN = re.compile(r"cursor_([0-9]{8,12})")


@dataclass(frozen=True, slots=True)
class Row:
    """One event, ready to be served.

    Attributes:
        raw: Its JSON text, the same bytes in every answer.
        id: Its id; "" when it has none.
        at: When it took effect [Unix seconds].
        scope: The pass that returns it.
        matches: For each list parameter, the values under which it is found.
    """

    raw: bytes
    id: str
    at: int
    scope: str
    matches: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows in listing order, for each a cursor that is no id, and whether more follow."""

    rows: tuple[Row, ...]
    cursors: tuple[str, ...]
    has_more: bool

    def halves(self) -> tuple[Page, Page]:
        """Cut the page in two, of which the first always has more to come."""
        half = (len(self.rows) + 1) // 2
        return (
            Page(self.rows[:half], self.cursors[:half], has_more=True),
            Page(self.rows[half:], self.cursors[half:], self.has_more),
        )


class Listing:
    """Every event in listing order; it does not change."""

    def __init__(self, events: Iterable[Mapping[str, Any] | bytes], *, newest_first: bool) -> None:
        oldest_first = sorted(_rows(events), key=lambda row: (row.at, row.id))
        self._sign = -1 if newest_first else 1
        self._rows = tuple(oldest_first[:: self._sign])
        self._times = [self._sign * row.at for row in self._rows]
        self._positions = {row.id: position for position, row in enumerate(self._rows) if row.id}

    def page(self, query: Query) -> Page:
        """Cut out the page that a query asks for.

        Raises:
            RefusedQueryError: The cursor is unknown.
        """
        low, high = self._between(query)
        if query.before is not None:
            return self._page_before(query, low, min(high, self._position("before", query.before)))
        if query.after is not None:
            low = max(low, self._position("after", query.after) + 1)
        found = list(islice(self._matching(query, range(low, high)), query.limit + 1))
        return self._cut(found[: query.limit], has_more=len(found) > query.limit)

    def _page_before(self, query: Query, low: int, high: int) -> Page:
        found = list(islice(self._matching(query, range(high - 1, low - 1, -1)), query.limit + 1))
        return self._cut(found[: query.limit][::-1], has_more=len(found) > query.limit)

    def _between(self, query: Query) -> tuple[int, int]:
        """Return the positions ``[low, high)`` that lie in the query's window."""
        first, last = (query.start, query.end)[:: self._sign]
        shift = 1 if self._sign < 0 else 0
        low = 0 if first is None else bisect_left(self._times, self._sign * first + shift)
        high = len(self._rows) if last is None else bisect_left(self._times, self._sign * last + shift)
        return low, high

    def _position(self, param: str, cursor: str) -> int:
        if cursor in self._positions:
            return self._positions[cursor]
        foreign = _FOREIGN.fullmatch(cursor)
        if foreign and int(foreign[1]) < len(self._rows):
            return int(foreign[1])
        raise RefusedQueryError(f"'{param}' names no object in this list.", param=param)

    def _matching(self, query: Query, positions: range) -> Iterable[int]:
        return (position for position in positions if _matches(self._rows[position], query))

    def _cut(self, positions: list[int], *, has_more: bool) -> Page:
        rows = tuple(self._rows[position] for position in positions)
        return Page(rows, tuple(f"cursor_{position:08d}" for position in positions), has_more)


def _matches(row: Row, query: Query) -> bool:
    return row.scope == query.scope and all(
        not row.matches[name].isdisjoint(values) for name, values in query.wanted.items()
    )


def _rows(events: Iterable[Mapping[str, Any] | bytes]) -> Iterable[Row]:
    """Read what must be known of each event; one without a usable time is listed beside the one given before it."""
    at = 0
    for event in events:
        raw = event if isinstance(event, bytes) else _serialized(event)
        known = _parsed(event) if isinstance(event, bytes) else event
        time = known.get("effective_at")
        at = int(time) if isinstance(time, int | float) and math.isfinite(time) else at
        type_ = _text(known.get("type"))
        yield Row(raw, _text(known.get("id")), at, lookup(type_).scope, _found_under(known, type_))


def _serialized(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _parsed(raw: bytes) -> Mapping[str, Any]:
    try:
        event = json.loads(raw)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _found_under(event: Mapping[str, Any], type_: str) -> dict[str, frozenset[str]]:
    session, key = _inside(event, "actor", "session"), _inside(event, "actor", "api_key")
    users = (_inside(session, "user"), _inside(key, "user"))
    actors = (*users, _inside(key, "service_account"), key)
    return {
        "project_ids[]": _texts(_inside(event, "project").get("id")),
        "event_types[]": _texts(type_),
        "actor_ids[]": _texts(*(actor.get("id") for actor in actors)),
        "actor_emails[]": _texts(*(user.get("email") for user in users)),
        "resource_ids[]": _texts(_inside(event, type_).get("id")),
    }


def _inside(outer: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        inner = outer.get(name)
        outer = inner if isinstance(inner, dict) else {}
    return outer


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(*values: object) -> frozenset[str]:
    return frozenset(value for value in values if isinstance(value, str) and value)
