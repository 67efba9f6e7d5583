"""The events in the order in which they are listed, and how a page is cut out of them."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

from auditframe.emulator.query import RefusedQueryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditframe.emulator.query import Query
    from auditframe.emulator.rows import Row

_FOREIGN = re.compile(r"cursor_([0-9]{8,12})")


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows in listing order, and whether more follow."""

    rows: tuple[Row, ...]
    has_more: bool

    def halves(self) -> tuple[Page, Page]:
        """Cut the page in two, each of which says whether anything comes after it."""
        half = (len(self.rows) + 1) // 2
        rest = Page(self.rows[half:], self.has_more)
        return Page(self.rows[:half], has_more=self.has_more or bool(rest.rows)), rest

    def doubled(self) -> Page:
        """Return a page that holds each row twice."""
        return Page(tuple(row for row in self.rows for _ in range(2)), self.has_more)


class Listing:
    """Every event in listing order; it does not change."""

    def __init__(self, rows: Iterable[Row], *, newest_first: bool) -> None:
        self._sign = -1 if newest_first else 1
        self._rows = tuple(sorted(rows, key=lambda row: (row.at, row.id))[:: self._sign])
        self._times = [self._sign * row.at for row in self._rows]
        self._positions = {row.id: position for position, row in enumerate(self._rows) if row.id}
        self._serials = {row.serial: position for position, row in enumerate(self._rows)}

    @property
    def oldest_first(self) -> tuple[Row, ...]:
        """Every row, in one order whichever way the listing runs."""
        return self._rows[:: self._sign]

    @cached_property
    def turned(self) -> Listing:
        """The same rows in the other direction."""
        return Listing(self.oldest_first, newest_first=self._sign > 0)

    def holding(self, rows: Iterable[Row]) -> Listing:
        """Return a listing of other rows in the same direction."""
        return Listing(rows, newest_first=self._sign < 0)

    def page(self, query: Query, *, overlap: int = 0) -> Page:
        """Cut out the page that a query asks for.

        Args:
            query: What is asked for.
            overlap: How many rows on the cursor's other side come along; as many as the limit are the page before.

        Raises:
            RefusedQueryError: The cursor is unknown.
        """
        low, high = self._between(query)
        if query.before is not None:
            return self._page_before(query, low, high, overlap)
        if query.after is not None:
            first = max(low, self._position("after", query.after) + 1)
            behind = range(first - 1, low - 1, -1) if first <= high else range(0)
            low = min(islice(self._matching(query, behind), overlap), default=first)
        found = list(islice(self._matching(query, range(low, high)), query.limit + 1))
        return self._cut(found[: query.limit], has_more=len(found) > query.limit)

    def _page_before(self, query: Query, low: int, high: int, overlap: int) -> Page:
        end = min(high, self._position("before", str(query.before)))
        ahead = range(end, high) if low <= end else range(0)
        last = max(islice(self._matching(query, ahead), overlap), default=end - 1)
        found = list(islice(self._matching(query, range(last, low - 1, -1)), query.limit + 1))
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
        if foreign and int(foreign[1]) in self._serials:
            return self._serials[int(foreign[1])]
        raise RefusedQueryError(f"'{param}' names no object in this list.", param=param)

    def _matching(self, query: Query, positions: range) -> Iterator[int]:
        return (position for position in positions if _matches(self._rows[position], query))

    def _cut(self, positions: list[int], *, has_more: bool) -> Page:
        return Page(tuple(self._rows[position] for position in positions), has_more)


def _matches(row: Row, query: Query) -> bool:
    return row.scope == query.scope and all(
        not row.matches[name].isdisjoint(values) for name, values in query.wanted.items()
    )
