"""The account of a run: its ledger entry, and the one that a later run leaves for a run that was killed."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from auditframe.catalogue import SCOPES
from auditframe.errors import LakeCorruptError
from auditframe.lake.journal import Journal, drop_walk, read_journal, read_walks
from auditframe.lake.ledger import coverage, current_partitions, read_ledger, write_entry
from auditframe.lake.merge import instants, texts
from auditframe.lake.merkle import merkle_root
from auditframe.lake.parquet import read_partition
from auditframe.lake.quarantine import quarantine_state, read_quarantine
from auditframe.lake.records import Collected, Counts, Entry, PartitionState, Span
from auditframe.lake.removal import carry_out
from auditframe.lake.storage import remove
from auditframe.schema import arrow_schema
from auditframe.window import Window, difference, union

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from auditframe.lake.journal import Walk
    from auditframe.lake.layout import Layout
    from auditframe.lake.records import Status

_SECOND = timedelta(seconds=1)


def leave_entry(  # noqa: PLR0913 - what an entry is made of
    layout: Layout,
    journal: Journal,
    entries: Sequence[Entry],
    *,
    collected: Sequence[Collected] = (),
    counts: Counts | None = None,
    lateness_s: int | None = None,
) -> Entry:
    """Write the entry that speaks for everything a journal names, after those that stand, and close the journal."""
    entry = Entry(
        number=journal.number,
        kind=journal.kind,
        started_at=journal.started_at,
        finished_at=datetime.now(UTC),
        collected=list(collected),
        counts=counts or Counts(),
        lateness_s=lateness_s,
        partitions=[_state(layout, name) for name in sorted(journal.touched)],
        quarantine=[quarantine_state(layout, number) for number in sorted(journal.quarantine)],
        removal=journal.removal,
        previous=entries[-1].hash if entries else None,
    )
    written = write_entry(layout, entry)
    _close(layout, written.number)
    return written


def recover(layout: Layout) -> tuple[Entry, ...]:
    """Leave the entry that a killed run could not leave; what it was removing is removed.

    Returns:
        The ledger with it, oldest entry first.
    """
    entries = read_ledger(layout)
    journal = _left_behind(layout, entries)
    if journal is None:
        _close(layout, len(entries))
        return entries
    if journal.removal is not None:
        carry_out(layout, journal)
        return (*entries, leave_entry(layout, journal, entries))
    return (*entries, _recovered(layout, journal, entries))


def _left_behind(layout: Layout, entries: Sequence[Entry]) -> Journal | None:
    """Return the journal of a run that was killed before its entry stood."""
    if not layout.journal.exists():
        return None
    journal = read_journal(layout) or _of_everything(layout, number=len(entries) + 1)
    return journal if journal.number > len(entries) else None


def _recovered(layout: Layout, journal: Journal, entries: Sequence[Entry]) -> Entry:
    """Leave the entry of what a killed run had added."""
    _check_rest(layout, journal, current_partitions(entries))
    rows = _brought(layout, journal)
    walks = [walk for walk in read_walks(layout) if walk.number == journal.number]
    # Only what the endpoint brought can vanish from it, so the entry says so even where no window came far enough.
    begun = [collected("organization", [], status="interrupted", planned=())] if journal.kind == "snapshot" else []
    return leave_entry(
        layout,
        msgspec.structs.replace(journal, kind="recovery"),
        entries,
        collected=collected_of(walks, planned=journal.planned) or begun,
        counts=_counts(layout, journal, rows, entries),
        lateness_s=lateness_s(late_rows(rows, covered_by(entries))),
    )


def collected_of(walks: Iterable[Walk], *, planned: Mapping[str, Sequence[Span]]) -> list[Collected]:
    """Say of a killed run's walks what its passes brought, and what of its plan is still to be read."""
    by_scope: dict[str, list[Walk]] = {scope: [] for scope in SCOPES}
    for walk in walks:
        by_scope[walk.scope].append(walk)
    return [
        collected(scope, found, status="interrupted", planned=planned.get(scope, ()))
        for scope, found in by_scope.items()
        if found or planned.get(scope)
    ]


def collected(scope: str, walks: Sequence[Walk], *, status: Status, planned: Sequence[Span]) -> Collected:
    """Add up what one scope's walks brought; the windows that were read whole come oldest first."""
    whole = [walk for walk in walks if walk.is_whole]
    read = [(walk.read, walk.asked_at) for walk in whole]
    windows = [Span(start=window.start, end=window.end, asked_at=at) for window, at in read if window and window.end]
    return Collected(
        scope=scope,
        status=status,
        windows=sorted(windows, key=lambda span: span.end),
        pages=sum(walk.pages for walk in walks),
        first_request_id=walks[0].first_request_id if walks else None,
        last_request_id=walks[-1].last_request_id if walks else None,
        order=next((walk.order for walk in walks if walk.order), None),
        outside=sum(walk.outside for walk in walks),
        vanished=[id_ for walk in whole for id_ in walk.vanished],
        returned=[id_ for walk in whole for id_ in walk.returned],
        unread=_unread(planned, [window for window, _ in read if window]) if status == "interrupted" else [],
    )


def _unread(planned: Iterable[Span], read: Sequence[Window]) -> list[Span]:
    """Return what was planned and not read, in as few windows as hold it."""
    left = difference(union(Window(span.start, span.end) for span in planned), read)
    return [Span(start=window.start, end=window.end) for window in left if window.end]


def covered_by(entries: Sequence[Entry]) -> dict[str, tuple[Window, ...]]:
    """Return the covered windows of each scope."""
    return {scope: coverage(entries, scope) for scope in SCOPES}


def late_rows(rows: pa.Table, covered: Mapping[str, Sequence[Window]]) -> pa.Table:
    """Return the rows inside windows that an earlier snapshot had read whole."""
    if not any(covered.values()):
        return rows.slice(0, 0)
    placed = zip(rows["scope"].to_pylist(), instants(rows, "effective_at"), strict=True)
    late = [any(instant in window for window in covered.get(scope or "", ())) for scope, instant in placed]
    return rows.filter(pa.array(late, pa.bool_()))


def lateness_s(late: pa.Table) -> int | None:
    """Return the longest time from ``effective_at`` to ``first_seen_at`` [s], rounded up; None without rows."""
    pairs = zip(instants(late, "first_seen_at"), instants(late, "effective_at"), strict=True)
    longest = max((seen - at for seen, at in pairs), default=None)
    return None if longest is None else max(-(-longest // _SECOND), 0)


def _state(layout: Layout, name: str) -> PartitionState:
    path = layout.partition_file(name)
    if not path.exists():
        return PartitionState(partition=name, rows=0, merkle_root=merkle_root([]), sha256=None)
    data = path.read_bytes()
    raws = texts(read_partition(data, path=path, columns=["raw"]), "raw")
    return PartitionState(
        partition=name, rows=len(raws), merkle_root=merkle_root(raws), sha256=sha256(data).hexdigest()
    )


def _close(layout: Layout, number: int) -> None:
    """Forget what the entries up to a number speak for."""
    remove(layout.journal)
    for walk in read_walks(layout):
        if walk.is_whole and walk.number <= number:
            drop_walk(layout, walk)


def _check_rest(layout: Layout, journal: Journal, states: Mapping[str, PartitionState]) -> None:
    """Check that a killed run left the events as they were that were there before it.

    Raises:
        LakeCorruptError: They are not what the ledger says; nothing is written that would speak for them.
    """
    for name in journal.touched:
        path, state = layout.partition_file(name), states.get(name)
        if state is None and not path.exists():
            continue
        rows = read_partition(path, path=path, columns=["raw", "snapshot"])
        rest = rows.filter(pc.not_equal(rows["snapshot"], pa.scalar(journal.number, pa.int64())))
        if merkle_root(texts(rest, "raw")) != (state.merkle_root if state else merkle_root([])):
            raise LakeCorruptError(
                f"{path}: a run was killed here, and the events from before it are not what the ledger says. "
                "See: auditframe verify",
                path=path,
            )


def _of_everything(layout: Layout, *, number: int) -> Journal:
    """Stand in for a damaged journal: the run may have changed anything."""
    return Journal(
        number=number,
        kind="recovery",
        started_at=datetime.now(UTC),
        touched=list(layout.partitions()),
        quarantine=[int(path.stem) for path in layout.quarantine.glob("*.jsonl") if path.stem.isdigit()],
    )


def _brought(layout: Layout, journal: Journal) -> pa.Table:
    """Return the rows that the killed run had added."""
    names = ["scope", "effective_at", "first_seen_at", "snapshot"]
    paths = [path for name in sorted(journal.touched) if (path := layout.partition_file(name)).exists()]
    parts = [read_partition(path, path=path, columns=names) for path in paths]
    rows = pa.concat_tables([arrow_schema().empty_table().select(names), *parts])
    return rows.filter(pc.is_in(rows["snapshot"], pa.array([journal.number], pa.int64())))


def _counts(layout: Layout, journal: Journal, rows: pa.Table, entries: Sequence[Entry]) -> Counts:
    kinds = Counter(item.kind for number, item in read_quarantine(layout) if number == journal.number)
    return Counts(
        received=len(rows) + kinds.total(),
        new=len(rows),
        mutated=kinds["mutation"],
        quarantined=kinds["unplaced"],
        late=len(late_rows(rows, covered_by(entries))),
    )
