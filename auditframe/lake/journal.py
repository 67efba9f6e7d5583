"""What a run may have changed and which windows it has read, on the disk before its ledger entry stands."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, TypeVar

import msgspec

from auditframe.lake.faults import read_regular
from auditframe.lake.records import Kind, Order, Removal, Sealed, Span, canonical
from auditframe.lake.storage import put
from auditframe.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditframe.lake.layout import Layout

T = TypeVar("T", bound=Sealed)


class Journal(Sealed, frozen=True, kw_only=True):
    """What a run under way may have changed, so that a later one can speak for it, should it be killed.

    Attributes:
        number: The entry that the run was going to leave.
        kind: The kind of that entry.
        started_at: When the run began.
        touched: The partitions that it may have changed.
        quarantine: The numbers of the quarantine files that it may have changed.
        removal: What it was going to remove; null when nothing.
        planned: The windows that it was going to read, by scope.
        hash: As in the ledger entry.
    """

    number: int
    kind: Kind
    started_at: datetime
    touched: list[str]
    quarantine: list[int]
    removal: Removal | None = None
    planned: dict[str, list[Span]] = msgspec.field(default_factory=dict)


class Walk(Sealed, frozen=True, kw_only=True):
    """How far the reading of one window has come.

    Attributes:
        scope: ``organization`` or ``tenant``.
        start: The window's start; null since the log began.
        end: The window's end; null when it has none.
        asked_at: When its first page was asked for; no event after that is claimed.
        number: The entry that will speak for it.
        pages: Pages that the run of that entry received.
        cursors: What may lead on, best first; empty when nothing can, or the window was read whole.
        is_whole: Whether it was read to its end.
        oldest_at: The oldest ``effective_at`` inside the window that its pages reached; null when they reached none.
        newest_at: The newest one.
        order: In which order the endpoint listed events; null when no two of them showed it.
        outside: Events that came though they lie outside the window.
        first_request_id: The endpoint's id of the first page's request.
        last_request_id: The same of the last page so far.
        vanished: As in the ledger entry.
        returned: As in the ledger entry.
        hash: As in the ledger entry.
    """

    scope: str
    start: datetime | None
    end: datetime | None
    asked_at: datetime
    number: int
    pages: int = 0
    cursors: list[str] = msgspec.field(default_factory=list)
    is_whole: bool = False
    oldest_at: datetime | None = None
    newest_at: datetime | None = None
    order: Order | None = None
    outside: int = 0
    first_request_id: str | None = None
    last_request_id: str | None = None
    vanished: list[str] = msgspec.field(default_factory=list)
    returned: list[str] = msgspec.field(default_factory=list)

    @property
    def window(self) -> Window:
        """The window that is read."""
        return Window(self.start, self.end)

    @property
    def read(self) -> Window | None:
        """What reading the window to its end proves: nothing of what came after it was asked for."""
        end = min(self.end or self.asked_at, self.asked_at)
        is_empty = self.start is not None and self.start >= end  # a clock that was set back
        return None if is_empty else Window(self.start, end)


def write_journal(layout: Layout, journal: Journal) -> None:
    """Put down what a run may change, before it does."""
    put(canonical(journal.sealed()), layout.journal, staging=layout.staging)


def read_journal(layout: Layout) -> Journal | None:
    """Return what a killed run left; None when there is none, or when it is damaged.

    A damaged one is safe to pass over: `verify` finds what it would have told of, and a repeated run mends it.
    """
    return _read(layout.journal, Journal)


def walk_file(layout: Layout, walk: Walk) -> Path:
    """Return the file in which a window's walk is kept."""
    ends = (f"{end:%Y%m%dT%H%M%SZ}" if end else "open" for end in (walk.start, walk.end))
    return layout.resume / f"{walk.scope}-{'-'.join(ends)}.json"


def write_walk(layout: Layout, walk: Walk) -> None:
    """Put down how far a window was read."""
    put(canonical(walk.sealed()), walk_file(layout, walk), staging=layout.staging)


def read_walks(layout: Layout) -> Iterator[Walk]:
    """Yield the walks that runs left, oldest window first; a damaged one is read anew and so left out."""
    for path in sorted(layout.resume.glob("*.json")):
        walk = _read(path, Walk)
        if walk is not None:
            yield walk


def drop_walk(layout: Layout, walk: Walk) -> None:
    """Forget a walk that an entry speaks for."""
    walk_file(layout, walk).unlink(missing_ok=True)


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        record = msgspec.json.decode(read_regular(path), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError):
        return None
    return record if record.hash == record.computed_hash() else None
