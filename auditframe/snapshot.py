"""Snapshot: bring a lake up to date with the endpoint, and leave the ledger entry that proves it."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from auditframe.catalogue import SCOPES
from auditframe.client import Filters
from auditframe.errors import ApiError, AuthError, SnapshotInterrupted, WindowError
from auditframe.flatten import flatten_texts
from auditframe.lake.ledger import coverage, latest_arrival
from auditframe.lake.merge import instants
from auditframe.lake.records import Collected, Span
from auditframe.parallel import side_by_side
from auditframe.window import DAY, Instant, Window, midnight, parse_duration, parse_window, split_days

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from auditframe.client import Client, Fetched, Scope
    from auditframe.flatten import Flattened
    from auditframe.lake import Lake
    from auditframe.lake.records import Counts, Entry, Order, Status
    from auditframe.lake.writer import Writer

OVERLAP = timedelta(hours=24)
"""How far before the end of coverage a snapshot begins to read again at least."""

MOST_OVERLAP = timedelta(days=30)
"""How far it does so at most, however late events were seen to come."""

LATENESS_OF = timedelta(days=90)
"""How far back the ledger is asked how late events came."""

FIRST_DAYS = 90
"""How many days a first snapshot without a start reads one by one; everything older is one window."""

MOST_DAYS = 400
"""How many days any snapshot reads one by one; an asked start further back makes one window of what is older."""

WORKERS = 8
"""How many windows are read side by side unless asked otherwise."""

PAGES_PER_MERGE = 100
"""How many pages of a window are held in memory before they are merged."""


@dataclass(frozen=True, slots=True)
class SnapshotResult:
    """What one snapshot did.

    Attributes:
        number: Its ledger entry.
        head: The hash of that entry; kept elsewhere, it proves later that the lake was not rolled back.
        received: Events that arrived; new + known + mutated + quarantined + erased.
        new: Events added.
        known: Events that were there already.
        late: Of the new ones, those inside a window that an earlier snapshot had read whole.
        mutated: Events whose id was there with another payload; kept in quarantine.
        quarantined: Events that could not be placed; kept in quarantine.
        erased: Events that were erased or had expired, and are not taken back.
        vanished: Known events that a window read again did not return any more; the ledger names them, they stay.
        outside: Events that came though they lie outside the window that was asked for; they are in the lake.
        lateness_s: The longest time from ``effective_at`` to ``first_seen_at`` of a late event [s]; None without any.
        pages: Pages received.
        windows: Windows read whole, over both scopes.
        not_permitted: The scopes that the key may not read.
        seconds: How long it took [s].
    """

    number: int
    head: str
    received: int
    new: int
    known: int
    late: int
    mutated: int
    quarantined: int
    erased: int
    vanished: int
    outside: int
    lateness_s: int | None
    pages: int
    windows: int
    not_permitted: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a snapshot is.

    Attributes:
        scope: The pass under way.
        window: The window under way.
        windows_done: Windows behind it, over both scopes.
        windows_total: Windows of the snapshot, over both scopes.
        new: Events added so far.
    """

    scope: Scope
    window: Window
    windows_done: int
    windows_total: int
    new: int


def snapshot(  # noqa: PLR0913 - what a run may be asked for
    lake: Lake,
    client: Client,
    *,
    start: Instant | None = None,
    end: Instant | None = None,
    resweep: timedelta | str | None = None,
    workers: int = WORKERS,
    progress: Callable[[Progress], None] | None = None,
) -> SnapshotResult:
    """Bring a lake up to date: read both scopes window by window, merge, leave one ledger entry.

    Args:
        lake: The lake; a folder that is none yet becomes one with the first page.
        client: The endpoint.
        start: Where to begin reading; None begins at the end of what is covered, less the overlap, and in a new lake
            at the beginning of the log. The overlap is 24 h, or twice as long as the latest event of the last 90 days
            was late, and never more than 30 days.
        end: Where to stop; None reads up to now.
        resweep: How far back from now to read again at least, for a deep pass: ``30d`` or a length of time.
        workers: How many windows are read side by side; they share one rate of requests.
        progress: Called after each piece that was merged.

    Returns:
        The counts. Run again, a snapshot reads the overlap again and adds only what is new.

    Raises:
        SnapshotInterrupted: The endpoint failed on the way, or the user did; what arrived is in the lake.
        ApiError: The endpoint failed before anything arrived; nothing was written.
        LakeError: The lake cannot be written.
        WindowError: A time cannot be read, the window is empty, or it lies in the future.
    """
    started = time.monotonic()
    asked, now = parse_window(start, end), datetime.now(UTC)
    entries = lake.ledger() if lake.exists() else ()
    since = None if resweep is None else now - (parse_duration(resweep) if isinstance(resweep, str) else resweep)
    overlap = overlap_after(entries, now=now)
    passes = {
        scope: _Pass(scope, plan_windows(coverage(entries, scope), asked, now=now, overlap=overlap, since=since))
        for scope in SCOPES
    }
    arriving = _read(client, passes, workers=workers)
    first = list(itertools.islice(arriving, 1))  # an endpoint that refuses leaves no trace on the disk
    with lake.writer() as writer:
        failure = _merge_all(writer, itertools.chain(first, arriving), passes, progress or _silent)
        entry = writer.commit("snapshot", [each.collected() for each in passes.values()])
    if failure is not None:
        raise _interrupted(failure, entry, passes) from failure
    return _result(entry, seconds=time.monotonic() - started)


def overlap_after(entries: Sequence[Entry], *, now: datetime) -> timedelta:
    """Return how far before the end of coverage to begin, by how late events were seen to come."""
    return min(max(OVERLAP, 2 * latest_arrival(entries, since=now - LATENESS_OF)), MOST_OVERLAP)


def plan_windows(
    covered: Sequence[Window],
    asked: Window,
    *,
    now: datetime,
    overlap: timedelta = OVERLAP,
    since: datetime | None = None,
) -> tuple[Window, ...]:
    """Cut what a snapshot has to read into windows that do not cross a UTC midnight, oldest first.

    Only the first may be longer, and holds what is too old to be read day by day. The last has no end when none was
    asked for, so that no event is missed because a clock is off.

    Args:
        covered: What is covered already; disjoint, oldest first.
        asked: What to read; an open start means from the end of the oldest covered window, less the overlap.
        now: The present.
        overlap: How far before the end of coverage to begin.
        since: Where to begin at the latest, when no start was asked for.

    Raises:
        WindowError: What was asked lies in the future.
    """
    if asked.start is not None and asked.start >= now:
        raise WindowError(f"The window {asked} lies in the future; nothing can be collected there yet.")
    end = min(asked.end or now, now)
    start = asked.start or _resumption(covered, end, overlap=overlap, since=since)
    by_day_from = min(midnight(now) - (FIRST_DAYS if start is None else MOST_DAYS) * DAY, end)
    lead: tuple[Window, ...] = ()
    if start is None or start < by_day_from:
        lead, start = (Window(start, by_day_from),), by_day_from
    days = list(split_days(Window(start, end))) if start < end else []
    if days and (asked.end is None or asked.end > now):
        days[-1] = Window(days[-1].start, asked.end)
    return (*lead, *days)


@dataclass(slots=True)
class _Pass:
    """What one scope's pass over its windows has brought so far."""

    scope: Scope
    planned: tuple[Window, ...]
    read_whole: list[Span] = field(default_factory=list)
    pages: int = 0
    first_request_id: str | None = None
    last_request_id: str | None = None
    is_permitted: bool = True
    has_answered: bool = False
    done: int = 0
    order: Order | None = None
    outside: int = 0
    vanished: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)

    @property
    def remaining(self) -> int:
        return len(self.planned) - self.done if self.is_permitted else 0

    def take(self, piece: _Arrived, writer: Writer) -> None:
        """Note what a merged piece shows: events outside its window and, at its end, what did not come any more."""
        self.first_request_id = piece.request_ids[0] if self.pages == 0 else self.first_request_id
        self.last_request_id = piece.request_ids[1] if piece.pages else self.last_request_id
        self.pages += piece.pages
        self.order = self.order or piece.order
        self.outside += sum(at not in piece.window for at in instants(piece.events.events, "effective_at"))
        self.done += piece.is_last
        if piece.whole is None:
            return
        self.read_whole.append(piece.whole)
        known_gone = {id_ for id_, scope in writer.vanished().items() if scope == self.scope}
        window = Window(piece.whole.start, piece.whole.end)
        missing = writer.missing(self.scope, window, piece.ids)
        self.vanished += [id_ for id_ in missing if id_ not in known_gone]
        self.returned += sorted(piece.ids & known_gone)

    def collected(self) -> Collected:
        status: Status = "interrupted" if self.remaining else "complete"
        return Collected(
            scope=self.scope,
            status=status if self.is_permitted else "not_permitted",
            windows=sorted(self.read_whole, key=lambda span: span.end),
            order=self.order,
            pages=self.pages,
            first_request_id=self.first_request_id,
            last_request_id=self.last_request_id,
            outside=self.outside,
            vanished=self.vanished,
            returned=self.returned,
        )


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A piece of a window; `whole` says what its last piece completes, `ids` then what the window returned."""

    scope: Scope
    window: Window
    events: Flattened
    pages: int
    request_ids: tuple[str | None, str | None]
    order: Order | None
    is_last: bool = False
    whole: Span | None = None
    ids: frozenset[str] = frozenset()


def _read(client: Client, passes: Mapping[Scope, _Pass], *, workers: int) -> Iterator[_Arrived]:
    """Read every window of every pass, oldest first, so many side by side."""
    stop = threading.Event()
    windows = ((each, window) for each in passes.values() for window in each.planned)
    sources = (partial(_read_window, client, each, window, stop=stop) for each, window in windows)
    return side_by_side(sources, workers=workers, stop=stop)


def _read_window(client: Client, each: _Pass, window: Window, *, stop: threading.Event) -> Iterator[_Arrived]:
    walk = _Walk(each.scope, window)
    if not each.is_permitted:
        return
    try:
        for fetched in client.fetch_pages(scope=each.scope, filters=Filters(window=window)):
            each.has_answered = True
            walk.take(fetched)
            if len(walk.batch) == PAGES_PER_MERGE or stop.is_set():
                yield walk.piece()
            if stop.is_set():
                return
    except ApiError as error:
        if walk.batch:
            yield walk.piece()
        if not (isinstance(error, AuthError) and _is_refused_scope(client, each, error)):
            raise
        each.is_permitted = False
        return
    yield walk.piece(is_last=True)


def _is_refused_scope(client: Client, each: _Pass, error: AuthError) -> bool:
    """Whether the key may read the organization's events, though not this scope; a revoked key reads neither."""
    if each.scope == "organization" or each.has_answered:
        return False
    if error.status_code == 401:
        next(client.fetch_pages(limit=1))
    return True


@dataclass(slots=True)
class _Walk:
    """The pages of a window since the last piece, and what all of its pages showed."""

    scope: Scope
    window: Window
    batch: list[Fetched] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    asked_at: datetime | None = None

    def take(self, fetched: Fetched) -> None:
        self.asked_at = self.asked_at or fetched.asked_at.replace(microsecond=0)
        self.batch.append(fetched)
        self.ids.update(filter(None, fetched.page.ids))

    def piece(self, *, is_last: bool = False) -> _Arrived:
        batch, self.batch = self.batch, []
        texts = (event for fetched in batch for event in fetched.page.events)
        seen_at = batch[-1].received_at if batch else None
        piece = _Arrived(
            self.scope,
            self.window,
            flatten_texts(texts, scope=self.scope, seen_at=seen_at),
            pages=len(batch),
            request_ids=(batch[0].request_id, batch[-1].request_id) if batch else (None, None),
            order=batch[-1].order if batch else None,
        )
        if not is_last or self.asked_at is None:
            return piece
        return replace(piece, is_last=True, whole=_read_until(self.window, self.asked_at), ids=frozenset(self.ids))


def _read_until(window: Window, asked_at: datetime) -> Span | None:
    """Return what reading a window to its end proves: nothing of what came after it was asked for."""
    end = min(window.end or asked_at, asked_at)
    is_empty = window.start is not None and window.start >= end  # a clock that was set back
    return None if is_empty else Span(start=window.start, end=end)


def _merge_all(
    writer: Writer,
    arriving: Iterable[_Arrived],
    passes: Mapping[Scope, _Pass],
    progress: Callable[[Progress], None],
) -> ApiError | KeyboardInterrupt | None:
    """Merge piece by piece; return what stopped it, so that what arrived can be committed first."""
    try:
        for piece in arriving:
            writer.add(piece.events)
            passes[piece.scope].take(piece, writer)
            progress(
                Progress(
                    piece.scope,
                    piece.window,
                    windows_done=sum(each.done for each in passes.values()),
                    windows_total=sum(len(each.planned) for each in passes.values()),
                    new=writer.counts.new,
                )
            )
    except (ApiError, KeyboardInterrupt) as failure:
        return failure
    return None


def _resumption(
    covered: Sequence[Window], end: datetime, *, overlap: timedelta, since: datetime | None
) -> datetime | None:
    """Return where to go on: before the end of the oldest covered window, so that gaps after it are read too."""
    if not covered:
        return None
    start = min(covered[0].end or end, end) - overlap
    return (start if since is None else min(start, since)).replace(microsecond=0)


def _interrupted(
    failure: ApiError | KeyboardInterrupt, entry: Entry, passes: Mapping[Scope, _Pass]
) -> SnapshotInterrupted:
    remaining = sum(each.remaining for each in passes.values())
    why = str(failure) if isinstance(failure, ApiError) else "It was stopped by hand."
    return SnapshotInterrupted(
        f"The snapshot is not complete: {remaining} window(s) remain. {why} "
        f"{entry.counts.new} new event(s) are in the lake; run it again to go on.",
        collected=entry.counts.new,
        remaining=remaining,
    )


def _result(entry: Entry, *, seconds: float) -> SnapshotResult:
    counts: Counts = entry.counts
    return SnapshotResult(
        number=entry.number,
        head=entry.hash,
        received=counts.received,
        new=counts.new,
        known=counts.known,
        late=counts.late,
        mutated=counts.mutated,
        quarantined=counts.quarantined,
        erased=counts.erased,
        vanished=sum(len(each.vanished) for each in entry.collected),
        outside=sum(each.outside for each in entry.collected),
        lateness_s=entry.lateness_s,
        pages=sum(each.pages for each in entry.collected),
        windows=sum(len(each.windows) for each in entry.collected),
        not_permitted=tuple(each.scope for each in entry.collected if each.status == "not_permitted"),
        seconds=round(seconds, 3),
    )


def _silent(_: Progress) -> None:
    pass
