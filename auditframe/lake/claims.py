"""What the ledger's entries say, held against each other: counts, times, kinds, removals, gaps in coverage."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from auditframe.catalogue import SCOPES
from auditframe.lake.faults import UNREADABLE, Fault, cause
from auditframe.lake.ledger import gaps
from auditframe.lake.records import Counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from auditframe.lake.layout import Grain, Layout
    from auditframe.lake.records import Entry, PartitionState, QuarantineState, Removal, Span

ADDING = ("snapshot", "import", "retry", "recovery")
"""The kinds of entries that rows can name as theirs."""

CLOCK_GRACE = timedelta(days=1)
"""How far a clock may be set back between reading and the entry before that is a fault."""

_READING = ("snapshot", "recovery")
_REMOVING = ("expire", "erase")


@dataclass(slots=True)
class _Before:
    """Partitions and quarantine files as the entries so far leave them."""

    partitions: dict[str, PartitionState] = field(default_factory=dict)
    quarantine: dict[int, QuarantineState] = field(default_factory=dict)

    def rows(self, partition: str) -> int:
        return self.partitions[partition].rows if partition in self.partitions else 0

    def items(self, number: int) -> int:
        return self.quarantine[number].items if number in self.quarantine else 0

    def take(self, entry: Entry) -> None:
        self.partitions |= {state.partition: state for state in entry.partitions}
        self.quarantine |= {state.number: state for state in entry.quarantine}


def entry_faults(layout: Layout, entries: Sequence[Entry]) -> Iterator[Fault]:
    """Name what an unbroken ledger says and cannot be so."""
    before = _Before()
    for entry in entries:
        path = layout.entry_file(entry.number)
        try:
            yield from [Fault(path, what) for what in _faults_of(entry, before, layout.grain)]
        except UNREADABLE as error:
            yield Fault(path, f"It says what cannot be: {cause(error)}.")
        before.take(entry)


def gap_faults(layout: Layout, entries: Sequence[Entry]) -> Iterator[Fault]:
    """Name each gap in the coverage of a scope."""
    for scope in SCOPES:
        for gap in gaps(entries, scope):
            since, until = (each and _iso(each) for each in (gap.start, gap.end))
            began = since or "the beginning of the log"
            how = f" --start {since} --end {until}" if since else ""  # without a start, a run reads what is owed
            yield Fault(
                layout.ledger,
                f"The scope {scope} was not read from {began} to {until}: a gap in coverage. "
                f"Read it: auditframe snapshot --lake {layout.root}{how}",
            )


def origin_faults(layout: Layout, entries: Sequence[Entry], brought: Mapping[int, int]) -> Iterator[Fault]:
    """Hold how many rows name each entry against how many it says it added.

    Args:
        layout: The lake.
        entries: The unbroken ledger.
        brought: The number of rows that name each entry, in a lake whose partitions are as the ledger says.
    """
    last_removal = max((entry.number for entry in entries if entry.removal), default=0)
    for entry in entries:
        added, found = entry.counts.new, brought.get(entry.number, 0)
        if found > added or (found < added and entry.number > last_removal):
            yield Fault(
                layout.entry_file(entry.number),
                f"It says that it added {added} events, yet {found} rows say that they came with it.",
            )


def _faults_of(entry: Entry, before: _Before, grain: Grain) -> Iterator[str]:
    if any(instant.tzinfo is None for instant in _instants(entry)):
        yield "A time in it has no zone."
        return
    yield from _kind_faults(entry)
    yield from _count_faults(entry)
    yield from _window_faults(entry)
    yield from _state_faults(entry, before, grain)
    if entry.removal is not None:
        yield from _removal_faults(entry, entry.removal, before)


def _kind_faults(entry: Entry) -> Iterator[str]:
    removing = None if entry.removal is None else "expire" if entry.removal.before else "erase"
    if removing != (entry.kind if entry.kind in _REMOVING else None):
        yield f"It is of kind {entry.kind}, and its tombstone does not go with that."
    if entry.collected and entry.kind not in _READING:
        yield f"It is of kind {entry.kind}, yet says that the endpoint was read."
    if entry.counts != Counts() and entry.kind not in ADDING:
        yield f"It is of kind {entry.kind}, yet says that events arrived."


def _count_faults(entry: Entry) -> Iterator[str]:
    counts = entry.counts
    if counts.received != counts.accounted:
        yield f"It says that {counts.received} events were received and accounts for {counts.accounted}."
    if any(getattr(counts, name) < 0 for name in counts.__struct_fields__) or counts.late > counts.new:
        yield "Its counts cannot be: one is less than nothing, or more events were late than new."


def _window_faults(entry: Entry) -> Iterator[str]:
    """Check windows; that a run ends before it began is only a clock that was set back."""
    latest = _utc(entry.finished_at) + CLOCK_GRACE
    for collected in entry.collected:
        if collected.scope not in SCOPES:
            yield f"It speaks of the scope {collected.scope[:40]!r}, which does not exist."
        wrong = sum(_is_wrong(span, latest) for span in collected.windows)
        if wrong:
            yield f"{wrong} window(s) of the scope {collected.scope[:40]} are empty or end after the entry was written."


def _is_wrong(span: Span, latest: datetime) -> bool:
    return (span.start is not None and span.start >= span.end) or span.end > latest


def _state_faults(entry: Entry, before: _Before, grain: Grain) -> Iterator[str]:
    names = [state.partition for state in entry.partitions]
    if not all(map(grain.is_partition, names)) or names != sorted(set(names)):
        yield f"Its partitions are not {grain.name}s, each once, oldest first."
        return
    if any(state.rows < 0 or (state.rows == 0) != (state.sha256 is None) for state in entry.partitions):
        yield "It speaks of a partition with a file and no rows, or the other way round."
    gained = sum(state.rows - before.rows(state.partition) for state in entry.partitions)
    added, removed = entry.counts.new, entry.removal.events if entry.removal else 0
    if gained != added - removed:
        yield f"It adds {added} rows and removes {removed}, yet its partitions have {gained} more than before."
    numbers = [state.number for state in entry.quarantine]
    if numbers != sorted(set(numbers)) or not all(0 < number <= entry.number for number in numbers):
        yield "Its quarantine files are not of entries up to it, each once, oldest first."
        return
    kept = sum(state.items - before.items(state.number) for state in entry.quarantine)
    if kept > entry.counts.quarantined + entry.counts.mutated:
        yield f"Its quarantine files have {kept} more lines than before; fewer than that could not be placed."


def _removal_faults(entry: Entry, removal: Removal, before: _Before) -> Iterator[str]:
    names = [state.partition for state in entry.partitions]
    if removal.partitions != [before.partitions[name] for name in names if before.rows(name)]:
        yield "Its tombstone tells of other partitions than were there before."
    gone = sum(before.items(state.number) - state.items for state in entry.quarantine)
    if gone != removal.items:
        yield f"Its tombstone speaks of {removal.items} quarantined items; {gone} are gone."
    if removal.before is None and len(removal.ids_sha256) != removal.events:
        yield f"Its tombstone speaks of {removal.events} events and names {len(removal.ids_sha256)}."


def _instants(entry: Entry) -> Iterator[datetime]:
    yield from (entry.started_at, entry.finished_at)
    for span in (span for collected in entry.collected for span in (*collected.windows, *collected.unread)):
        yield from (span.end, span.start or span.end)
    if entry.removal is not None and entry.removal.before is not None:
        yield entry.removal.before


def _utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC)


def _iso(instant: datetime) -> str:
    return _utc(instant).isoformat().replace("+00:00", "Z")
