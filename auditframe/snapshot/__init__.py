"""Snapshot: bring a lake up to date with the endpoint, and leave the ledger entry that proves it."""

from __future__ import annotations

import contextlib
import itertools
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar

from auditframe.catalogue import SCOPES
from auditframe.errors import ApiError, LakeError, RateLimitError, SnapshotInterrupted, WindowError
from auditframe.snapshot._budget import Budget
from auditframe.snapshot._passes import Passes
from auditframe.snapshot._plan import Asked, plan_walks
from auditframe.snapshot._reading import Reader
from auditframe.window import Window, before, parse_duration, parse_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from auditframe.client import Client, Scope
    from auditframe.lake import Lake
    from auditframe.lake.journal import Walk
    from auditframe.lake.records import Counts, Entry
    from auditframe.lake.writer import Writer
    from auditframe.snapshot._reading import Piece, Restart
    from auditframe.window import Instant

__all__ = ["WORKERS", "Progress", "SnapshotResult", "result_of", "snapshot"]

WORKERS = 8
"""How many windows are read side by side unless asked otherwise."""

Failure = ApiError | KeyboardInterrupt
T = TypeVar("T", int, float)


@dataclass(frozen=True, slots=True)
class SnapshotResult:
    """What one snapshot did.

    Attributes:
        number: Its ledger entry.
        head: The hash of that entry; kept elsewhere, it proves later that the lake was not rolled back.
        received: Events that arrived.
        accounted: new + known + mutated + quarantined + erased; the same number.
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
    accounted: int
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
    max_pages: int | None = None,
    max_seconds: float | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> SnapshotResult:
    """Bring a lake up to date: read both scopes window by window, merge, leave one ledger entry.

    A window that an earlier run could not read to its end goes on from its cursor; where the endpoint refuses that, it
    is read anew, in parts.

    Args:
        lake: The lake; a folder that is none yet becomes one with the first page.
        client: The endpoint.
        start: Where to begin reading; None begins at the end of what is covered, less the overlap, and in a new lake
            at the beginning of the log. The overlap is 24 h, or twice as long as the latest event of the last 90 days
            was late, and never more than 30 days.
        end: Where to stop; None reads up to now.
        resweep: How far back from now to read again at least, for a deep pass: ``30d`` or a length of time. Beside a
            start, the earlier of both counts.
        workers: How many windows are read side by side; they share one rate of requests.
        max_pages: How many pages to read at most, at least 1; None for no such bound.
        max_seconds: How long to go on [s]; requests under way then have 3 s more. None for no such bound.
        progress: Called each time that events were merged.

    Returns:
        The counts. Run again, a snapshot reads the overlap again and adds only what is new.

    Raises:
        SnapshotInterrupted: The endpoint failed on the way, a bound was reached, or the user stopped it; what arrived
            is in the lake.
        ApiError: The endpoint failed before anything arrived; nothing was written.
        LakeError: The lake cannot be written, or is the path of one.
        WindowError: A time cannot be read or lies too far back, the window is empty, or it lies in the future.
    """
    if isinstance(lake, str | Path):
        raise LakeError(f"A path is no lake. Give snapshot auditframe.Lake({str(lake)!r}).", path=Path(lake))
    started, now = time.monotonic(), datetime.now(UTC)
    asked = _asked(parse_window(start, end), now=now, since=_since(resweep, now=now))
    budget = Budget(pages=_positive(max_pages, "max_pages"), seconds=_positive(max_seconds, "max_seconds"))
    with contextlib.ExitStack() as open_lake:
        writer = open_lake.enter_context(lake.writer()) if lake.exists() else None
        passes = Passes({scope: plan_walks(scope, asked, **_there(writer)) for scope in SCOPES})
        reader = Reader(client, budget, workers=workers, permissions=passes.permissions)
        with budget.running(), contextlib.closing(reader.pieces(passes.walks())) as arriving:
            first = _first(arriving, budget, passes)  # an endpoint that refuses leaves no trace on the disk
            writer = writer or open_lake.enter_context(lake.writer())
            writer.plan(passes.planned())
            failure = _merge_all(writer, itertools.chain(first, arriving), passes, progress or _silent)
        entry = writer.commit("snapshot", passes.collected())
    if failure is not None or passes.remaining:
        raise _interrupted(_why(failure, budget), passes, entry) from failure
    return result_of(entry, seconds=time.monotonic() - started)


def result_of(entry: Entry, *, seconds: float) -> SnapshotResult:
    """Say what the snapshot did that left an entry."""
    counts: Counts = entry.counts
    return SnapshotResult(
        number=entry.number,
        head=entry.hash,
        received=counts.received,
        accounted=counts.accounted,
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


class _There(TypedDict, total=False):
    entries: Sequence[Entry]
    leftovers: Sequence[Walk]


def _there(writer: Writer | None) -> _There:
    """Return what a plan takes from a lake; nothing of one that does not exist yet."""
    return {"entries": writer.entries, "leftovers": writer.walks()} if writer else {}


def _since(resweep: timedelta | str | None, *, now: datetime) -> datetime | None:
    if resweep is None:
        return None
    return before(now, parse_duration(resweep) if isinstance(resweep, str) else resweep)


def _asked(window: Window, *, now: datetime, since: datetime | None) -> Asked:
    """Say what the run reads; a deep pass reaches back as far as it says, whatever the start."""
    if window.start is not None and since is not None:
        window = Window(min(window.start, since.replace(microsecond=0)), window.end)
    return Asked(window, now, since)


def _positive(bound: T | None, name: str) -> T | None:
    if bound is not None and bound <= 0:
        raise WindowError(f"{name} must be more than 0: {bound} is not.")
    return bound


def _first(arriving: Iterator[list[Piece | Restart]], budget: Budget, passes: Passes) -> list[list[Piece | Restart]]:
    """Return what comes first.

    Raises:
        SnapshotInterrupted: A rate limit, or a bound, let none come.
        ApiError: The endpoint failed before there was one.
    """
    try:
        first = list(itertools.islice(arriving, 1))
    except RateLimitError as error:
        raise _interrupted(str(error), passes) from error
    if not first and passes.remaining:
        raise _interrupted(_why(None, budget), passes)
    return first


def _merge_all(
    writer: Writer,
    arriving: Iterable[list[Piece | Restart]],
    passes: Passes,
    progress: Callable[[Progress], None],
) -> Failure | None:
    """Merge what arrives; return what stopped it, so that what came before can be committed first."""
    try:
        for pieces in arriving:
            passes.take(pieces, writer)
            walk, done, total = pieces[-1].walk, passes.windows_done, passes.windows_total
            scope: Scope = "tenant" if walk.scope == "tenant" else "organization"
            progress(Progress(scope, walk.window, done, total, new=writer.counts.new))
    except (ApiError, KeyboardInterrupt) as failure:
        return failure
    return None


def _why(failure: Failure | None, budget: Budget) -> str:
    if isinstance(failure, ApiError):
        return str(failure)
    return "It was stopped by hand." if failure else f"It was stopped because {budget.ended_by}."


def _interrupted(why: str, passes: Passes, entry: Entry | None = None) -> SnapshotInterrupted:
    new = entry.counts.new if entry else 0
    return SnapshotInterrupted(
        f"The snapshot is not complete: {passes.remaining} window(s) remain. {why} "
        f"{new} new event(s) are in the lake; run it again to go on.",
        collected=new,
        remaining=passes.remaining,
        number=entry.number if entry else None,
    )


def _silent(_: Progress) -> None:
    pass
