"""Read windows side by side, piece by piece; each piece says how far its window has come with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pyarrow.compute as pc

from auditframe.client import Filters
from auditframe.errors import ApiError, AuthError
from auditframe.fingerprints import Fingerprints
from auditframe.flatten import place
from auditframe.lake.merge import inside
from auditframe.parallel import side_by_side
from auditframe.snapshot._plan import halves, is_troubled

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from datetime import datetime

    import pyarrow as pa

    from auditframe.client import Client, Fetched, Scope
    from auditframe.flatten import Placed
    from auditframe.lake.journal import Walk
    from auditframe.snapshot._budget import Budget
    from auditframe.window import Window

_MANY_EVENTS = 10_000
"""How many events are merged together at most, unless one piece has more, or the last one brings more."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some pages of a window.

    Attributes:
        walk: How far the window is read with them, but for what `reach` says.
        events: What they held.
        reach: What the times of the window's events say, from this piece and those before it.
        ids: Those that the run has seen in the window; they grow until it is read to its end.
        is_all: Whether these are all that the endpoint returns for it.
    """

    walk: Walk
    events: Placed
    reach: Reach
    ids: Fingerprints
    is_all: bool


class Reach:
    """What the times of a window's events say of how far it is read; they show when events have become columns."""

    def __init__(self, walk: Walk) -> None:
        self._outside = 0
        self._oldest_at, self._newest_at = walk.oldest_at, walk.newest_at

    def take(self, events: pa.Table, window: Window) -> None:
        """Take the window's next events in."""
        own = inside(events.select(["effective_at"]), window)["effective_at"]
        self._outside += len(events) - len(own)
        self._oldest_at = min(filter(None, (self._oldest_at, pc.min(own).as_py())), default=None)
        self._newest_at = max(filter(None, (self._newest_at, pc.max(own).as_py())), default=None)

    def noted_in(self, walk: Walk) -> Walk:
        """Return the walk that says so, too."""
        return msgspec.structs.replace(
            walk, outside=self._outside, oldest_at=self._oldest_at, newest_at=self._newest_at
        )


@dataclass(frozen=True, slots=True)
class Restart:
    """A window that has to be read anew, in parts, because its cursors are of no use any more."""

    walk: Walk
    parts: tuple[Walk, ...]


@dataclass(slots=True)
class Permission:
    """What the endpoint has said about reading a scope."""

    is_refused: bool = False
    has_answered: bool = False


class Reader:
    """Reads the windows of both scopes.

    Args:
        client: The endpoint.
        budget: What the run may read.
        workers: How many windows are read side by side.
        permissions: What the endpoint says about each scope; written here.
    """

    def __init__(self, client: Client, budget: Budget, *, workers: int, permissions: dict[str, Permission]) -> None:
        self._client = client
        self._budget = budget
        self._workers = workers
        self._permissions = permissions

    def pieces(self, walks: Iterable[Walk]) -> Generator[list[Piece | Restart], None, None]:
        """Read windows in their order, so many side by side, and yield pieces as they come; closed, its threads end.

        Small ones that are there at once come together: merging costs more for each time than for each event.
        """
        sources = (partial(self._read_window, walk) for walk in walks)
        return side_by_side(sources, workers=self._workers, stop=self._budget.stop, are_enough=_are_many)

    def _read_window(self, walk: Walk) -> Iterator[Piece | Restart]:
        permission = self._permissions[walk.scope]
        if permission.is_refused:
            return
        try:
            yield from self._read(walk, permission)
        except AuthError as error:
            if not self._is_refused_scope(walk.scope, permission, error):
                raise
            permission.is_refused = True

    def _read(self, walk: Walk, permission: Permission) -> Iterator[Piece | Restart]:
        if is_troubled(walk):
            yield from self._read_anew(walk, permission)
            return
        reading = _Reading(walk)
        pages = self._client.fetch_pages(
            scope=_scope(walk), filters=Filters(window=walk.window), resume=tuple(walk.cursors)
        )
        try:
            while not reading.is_over and self._budget.take_page():
                fetched = next(pages)
                permission.has_answered = True
                if not reading.goes_on_with(fetched):
                    yield from self._read_anew(walk, permission)
                    return
                reading.take(fetched)
                if reading.is_over or self._budget.is_due(reading.held):
                    yield self._handed_over(reading)
        except ApiError as error:
            if reading.distrusts(error) or reading.held:
                yield self._handed_over(reading)
            raise
        if reading.held:
            yield self._handed_over(reading)

    def _read_anew(self, walk: Walk, permission: Permission) -> Iterator[Piece | Restart]:
        parts = halves(walk)
        yield Restart(walk, parts)
        for part in parts:
            yield from self._read(part, permission)

    def _handed_over(self, reading: _Reading) -> Piece:
        self._budget.hand_over(reading.held)
        return reading.piece()

    def _is_refused_scope(self, scope: str, permission: Permission, error: AuthError) -> bool:
        """Whether the key may read the organization's events, though not this scope; a revoked key reads neither."""
        if scope == "organization" or permission.has_answered:
            return False
        if error.status_code == 401:
            next(self._client.fetch_pages(limit=1))
        return True


class _Reading:
    """The pages of a window since the last piece, and how far it has come."""

    def __init__(self, walk: Walk) -> None:
        self._is_resumed = bool(walk.cursors)
        self._earlier_order = walk.order
        self._walk = msgspec.structs.replace(
            walk, pages=0, first_request_id=None, last_request_id=None, vanished=[], returned=[]
        )
        self._events: list[bytes] = []
        self._received_at: datetime | None = None
        self._held = 0
        self._has_brought = False
        self._ids = Fingerprints()
        self._reach = Reach(walk)

    @property
    def held(self) -> int:
        """How many pages the next piece will hold."""
        return self._held

    @property
    def is_over(self) -> bool:
        """Whether the window is read to its end."""
        return self._walk.is_whole

    def goes_on_with(self, fetched: Fetched) -> bool:
        """Whether a page leads on from where an earlier run was cut short, in the direction that it had.

        One that ends the walk before any event has come does not: the earlier run was told that more follows.
        """
        if not self._is_resumed:
            return True
        if fetched.number == 0 and fetched.cursor is None:
            return False
        if fetched.is_last and not (fetched.page.events or self._has_brought):
            return False
        return self._earlier_order is not None and fetched.order in (None, self._earlier_order)

    def take(self, fetched: Fetched) -> None:
        """Take the next page in."""
        walk = self._walk
        if not walk.pages and not self._is_resumed:
            walk = msgspec.structs.replace(walk, asked_at=fetched.asked_at.replace(microsecond=0))
        self._events += fetched.page.events
        self._received_at = fetched.received_at
        self._held += 1
        self._has_brought = self._has_brought or bool(fetched.page.events)
        self._ids.add([id_ for id_ in fetched.page.ids if id_])
        self._walk = msgspec.structs.replace(
            walk,
            pages=walk.pages + 1,
            cursors=list(fetched.next_cursors),
            is_whole=fetched.is_last,
            order=fetched.order or walk.order,
            first_request_id=walk.first_request_id if walk.pages else fetched.request_id,
            last_request_id=fetched.request_id,
        )

    def distrusts(self, error: ApiError) -> bool:
        """Forget the cursors after a failure that another try at them would only repeat; say whether there were any."""
        if error.retryable or isinstance(error, AuthError) or not self._walk.cursors:
            return False
        self._walk = msgspec.structs.replace(self._walk, cursors=[])
        return True

    def piece(self) -> Piece:
        """Return the pages since the last piece."""
        texts, self._events, self._held = self._events, [], 0
        events = place(texts, scope=_scope(self._walk), seen_at=self._received_at)
        return Piece(self._walk, events, self._reach, self._ids, is_all=self._walk.is_whole and not self._is_resumed)


def _are_many(pieces: Iterable[Piece | Restart]) -> bool:
    return sum(len(piece.events.rows) for piece in pieces if isinstance(piece, Piece)) >= _MANY_EVENTS


def _scope(walk: Walk) -> Scope:
    return "tenant" if walk.scope == "tenant" else "organization"
