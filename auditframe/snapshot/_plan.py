"""What a snapshot has to read: the windows that were cut short, then what nobody has read yet, and the overlap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING

from auditframe.errors import WindowError
from auditframe.lake.journal import Walk
from auditframe.lake.ledger import coverage, latest_arrival, owed, settled
from auditframe.window import DAY, EPOCH, Window, difference, intersection, midnight, split_days

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from auditframe.client import Scope
    from auditframe.lake.records import Entry

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

_SECOND = timedelta(seconds=1)
_LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run is asked to read.

    Attributes:
        window: What to read; see `plan_windows`.
        now: The present.
        since: Where to begin at the latest, when no start was asked for; None for no such bound.
    """

    window: Window
    now: datetime
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One scope's walks.

    Attributes:
        begun: Those that an earlier run could not end, the nearest to their end first.
        new: What nobody has read whole, oldest first.
        again: What is covered and is read again, oldest first.
        troubled: Those that cannot go on from a cursor.
    """

    begun: tuple[Walk, ...]
    new: tuple[Walk, ...]
    again: tuple[Walk, ...]
    troubled: tuple[Walk, ...]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Walk]:
        return chain(self.begun, self.new, self.again, self.troubled)


def plan_walks(scope: Scope, asked: Asked, *, entries: Sequence[Entry] = (), leftovers: Sequence[Walk] = ()) -> Plan:
    """Plan one scope's walks.

    Args:
        scope: Which of the endpoint's two passes.
        asked: What to read.
        entries: The ledger.
        leftovers: The walks that earlier runs could not end; those that touch what was asked go on.
    """
    now, covered, overlap = asked.now, coverage(entries, scope), overlap_after(entries, now=asked.now)
    unsettled = next((window.end for window in settled(entries, scope, after=overlap)), None)
    planned = plan_windows(covered, asked.window, now=now, overlap=overlap, since=_earlier(asked.since, unsettled))
    if asked.window.start is None:
        planned = (*difference(_left_over(entries, scope, asked), planned), *planned)
    cut_short = [walk for walk in leftovers if walk.scope == scope and walk.read and _touches(walk.window, asked)]
    rest = difference(planned, [walk.read for walk in cut_short if walk.read])
    new = difference(rest, covered)
    begun = sorted(cut_short, key=lambda walk: (not walk.cursors, _length(walk.window)))
    return Plan(
        begun=tuple(walk for walk in begun if not is_troubled(walk)),
        new=tuple(_fresh(scope, window, now) for window in new),
        again=tuple(_fresh(scope, window, now) for window in difference(rest, new)),
        troubled=tuple(filter(is_troubled, begun)),
    )


def in_turn(plans: Iterable[Plan]) -> Iterator[Walk]:
    """Yield the walks of all scopes in the order in which a run, wherever it is cut short, brings the next one forward.

    What was begun goes on; then comes what nobody has read whole, then what is read again. What failed in a way that
    another try may repeat comes last.
    """
    stages = zip(*((plan.begun, plan.new, plan.again, plan.troubled) for plan in plans), strict=True)
    for stage in stages:
        for walks in stage:
            yield from walks


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


def halves(walk: Walk) -> tuple[Walk, ...]:
    """Plan a window anew whose cursors are of no use any more.

    It is cut inside the time that its pages reached before, and the part that was nearer to the walk's beginning comes
    first: that one takes fewer pages than were read before, so a run that can do no more than the last one ends it.

    Returns:
        Two walks without a cursor; one, where a second cannot be cut.
    """
    cut = next(_cuts(walk), None)
    if cut is None:
        return (_anew(walk, walk.window),)
    older, newer = _anew(walk, Window(walk.start, cut)), _anew(walk, Window(cut, walk.end))
    return (older, newer) if walk.order == "oldest_first" else (newer, older)


def is_troubled(walk: Walk) -> bool:
    """Whether a walk has come some way and has no cursor to go on from."""
    return walk.oldest_at is not None and not walk.cursors


def _left_over(entries: Sequence[Entry], scope: Scope, asked: Asked) -> Iterator[Window]:
    """Yield, cut into days, what earlier runs were to read and nobody has read since, as far as it is asked for.

    What lies in the future, since the clock was set back, waits until it has come.
    """
    for window in difference(owed(entries, scope), [Window(min(asked.window.end or asked.now, asked.now))]):
        yield from plan_windows((), window, now=asked.now)


def _fresh(scope: Scope, window: Window, now: datetime) -> Walk:
    return Walk(scope=scope, start=window.start, end=window.end, asked_at=now, number=0)


def _length(window: Window) -> timedelta:
    return (window.end or _LATEST) - (window.start or EPOCH)


def _cuts(walk: Walk) -> Iterator[datetime]:
    """Yield the whole seconds at which a window may be cut, best first."""
    if walk.oldest_at is None or walk.newest_at is None:
        return
    middle = EPOCH + (walk.oldest_at - EPOCH + (walk.newest_at - EPOCH)) / 2
    whole = EPOCH + math.ceil((middle - EPOCH) / _SECOND) * _SECOND
    for cut in (whole, whole - _SECOND, whole + _SECOND):
        if (walk.start is None or walk.start < cut) and (walk.end is None or cut < walk.end):
            yield cut


def _anew(walk: Walk, window: Window) -> Walk:
    return Walk(scope=walk.scope, start=window.start, end=window.end, asked_at=walk.asked_at, number=walk.number)


def _resumption(
    covered: Sequence[Window], end: datetime, *, overlap: timedelta, since: datetime | None
) -> datetime | None:
    """Return where to go on: before the end of the oldest covered window, so that gaps after it are read too."""
    if not covered:
        return None
    start = min(covered[0].end or end, end) - overlap
    return (start if since is None else min(start, since)).replace(microsecond=0)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _touches(window: Window, asked: Asked) -> bool:
    try:
        intersection(window, asked.window)
    except WindowError:
        return False
    return True
