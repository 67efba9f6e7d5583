"""What the passes over both scopes have brought so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from auditframe.flatten import in_columns
from auditframe.lake.account import collected
from auditframe.lake.records import Span
from auditframe.snapshot._plan import in_turn
from auditframe.snapshot._reading import Permission, Restart
from auditframe.window import union

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from auditframe.client import Scope
    from auditframe.lake.journal import Walk
    from auditframe.lake.records import Collected, Status
    from auditframe.lake.writer import Writer
    from auditframe.snapshot._plan import Plan
    from auditframe.snapshot._reading import Piece
    from auditframe.window import Window


class Passes:
    """One pass over each scope: its walks, planned and as far as they have come.

    Args:
        plans: What there is to read in each scope.

    Attributes:
        permissions: What the endpoint says about reading each scope.
    """

    def __init__(self, plans: Mapping[Scope, Plan]) -> None:
        self.permissions = {str(scope): Permission() for scope in plans}
        self._plans = plans
        self._total = {str(scope): len(plan) for scope, plan in plans.items()}
        self._came: dict[str, dict[Window, Walk]] = {str(scope): {} for scope in plans}

    def walks(self) -> Iterator[Walk]:
        """Yield every planned walk in its turn."""
        return in_turn(self._plans.values())

    @property
    def windows_total(self) -> int:
        """How many windows there are to read, over both scopes."""
        return sum(self._total.values())

    @property
    def windows_done(self) -> int:
        """How many of them are read whole."""
        return sum(map(self._done, self._came))

    @property
    def remaining(self) -> int:
        """How many windows are not read whole though they could be."""
        return sum(map(self._left, self._came))

    def planned(self) -> dict[str, list[Span]]:
        """Return the windows that there are to read in each scope; one without an end, up to when it was planned."""
        return {
            str(scope): [
                Span(start=window.start, end=window.end)
                for window in union(walk.read for walk in plan if walk.read)
                if window.end
            ]
            for scope, plan in self._plans.items()
        }

    def take(self, arrived: Iterable[Piece | Restart], writer: Writer) -> None:
        """Merge pieces into the lake, then put down how far their windows are read."""
        pieces: list[Piece] = []
        for each in arrived:
            if isinstance(each, Restart):
                self._merge(pieces, writer)
                self._restart(each, writer)
                pieces = []
            else:
                pieces.append(each)
        self._merge(pieces, writer)

    def _restart(self, restart: Restart, writer: Writer) -> None:
        self._total[restart.walk.scope] += len(restart.parts) - 1
        writer.note(*restart.parts, instead_of=restart.walk)

    def _merge(self, pieces: Sequence[Piece], writer: Writer) -> None:
        if not pieces:
            return
        events = in_columns([piece.events for piece in pieces])
        _reach(pieces, events.events)
        writer.note()
        writer.add(events)
        last = {(piece.walk.scope, piece.walk.window): piece for piece in pieces}
        walks = [_with_what_is_gone(piece, writer) for piece in last.values()]
        for walk in walks:
            self._came[walk.scope][walk.window] = walk
        writer.note(*walks)

    def collected(self) -> list[Collected]:
        """Return what the ledger says of each pass."""
        planned = self.planned()
        return [
            collected(scope, list(came.values()), status=self._status(scope), planned=planned[scope])
            for scope, came in self._came.items()
        ]

    def _status(self, scope: str) -> Status:
        if self.permissions[scope].is_refused:
            return "not_permitted"
        return "interrupted" if self._left(scope) else "complete"

    def _done(self, scope: str) -> int:
        return sum(walk.is_whole for walk in self._came[scope].values())

    def _left(self, scope: str) -> int:
        return 0 if self.permissions[scope].is_refused else self._total[scope] - self._done(scope)


def _reach(pieces: Iterable[Piece], events: pa.Table) -> None:
    """Let each piece know the times of its events, which follow one another."""
    start = 0
    for piece in pieces:
        length = len(piece.events.rows)
        piece.reach.take(events.slice(start, length), piece.walk.window)
        start += length


def _with_what_is_gone(piece: Piece, writer: Writer) -> Walk:
    """Say of a window that is read to its end what did not come any more, and what came again."""
    walk = piece.reach.noted_in(piece.walk)
    if not walk.is_whole:
        return walk
    known_gone = {id_ for id_, scope in writer.vanished().items() if scope == walk.scope}
    missing = writer.missing(walk.scope, walk.read, piece.ids) if piece.is_all and walk.read else []
    return msgspec.structs.replace(
        walk,
        vanished=[id_ for id_ in missing if id_ not in known_gone],
        returned=piece.ids.may_hold(sorted(known_gone)),
    )
