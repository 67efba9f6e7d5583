"""The ledger: one hash-chained entry for each change of the lake, and what it proves was collected."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from auditframe.errors import LakeCorruptError, LakeLockedError
from auditframe.lake.faults import UNREADABLE, cause, names_in, read_regular
from auditframe.lake.records import Entry, canonical
from auditframe.lake.storage import put_new
from auditframe.window import Window, difference, union

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from auditframe.lake.layout import Layout
    from auditframe.lake.records import PartitionState, QuarantineState, Removal, Span


@dataclass(frozen=True, slots=True)
class LedgerFault:
    """A break in the ledger."""

    path: Path
    what: str


def read_ledger(layout: Layout) -> tuple[Entry, ...]:
    """Read every entry, oldest first.

    Raises:
        LakeCorruptError: An entry cannot be read, is not in its place, or does not carry its hash.
    """
    entries, faults = check_ledger(layout)
    if faults:
        raise LakeCorruptError(f"{faults[0].path}: {faults[0].what} See: auditframe verify", path=faults[0].path)
    return entries


def check_ledger(layout: Layout) -> tuple[tuple[Entry, ...], tuple[LedgerFault, ...]]:
    """Read what can be read, and name every break: unreadable, changed, missing, out of the chain."""
    entries: list[Entry] = []
    faults: list[LedgerFault] = []
    try:
        paths = [layout.ledger / name for name in names_in(layout.ledger) if name.endswith(".json")]
    except OSError as error:
        return (), (LedgerFault(layout.ledger, f"The folder cannot be read: {cause(error)}."),)
    for path in paths:
        try:
            text = read_regular(path)
            entry = msgspec.json.decode(text, type=Entry)
            is_canonical = text == canonical(entry)
            breaks = _breaks(entry, path, entries[-1] if entries else None)
        except UNREADABLE as error:
            faults.append(LedgerFault(path, f"The entry cannot be read: {cause(error)}."))
            continue
        if not is_canonical:
            faults.append(LedgerFault(path, "The entry is not written as the lake writes it, or a key stands twice."))
        faults += [LedgerFault(path, what) for what in breaks]
        entries.append(entry)
    return tuple(entries), tuple(faults)


def write_entry(layout: Layout, entry: Entry) -> Entry:
    """Seal an entry and put it at its place.

    Raises:
        LakeLockedError: Another writer took the place first; nothing is overwritten.
    """
    sealed = entry.sealed()
    path = layout.entry_file(entry.number)
    try:
        put_new(canonical(sealed), path, staging=layout.staging)
    except FileExistsError:
        raise LakeLockedError(f"Another writer wrote {path} first. Run it again.", path=path) from None
    return sealed


def coverage(entries: Iterable[Entry], scope: str) -> tuple[Window, ...]:
    """Add up the windows of a scope that the ledger proves were read whole; disjoint, oldest first."""
    return union(Window(span.start, span.end) for span, _ in _spans(entries, scope))


def gaps(entries: Sequence[Entry], scope: str) -> tuple[Window, ...]:
    """Return what nobody has read whole before the end of a scope's coverage, oldest first.

    It is what lies between covered windows, and what a snapshot was to read and did not; what has expired is none.
    """
    covered = coverage(entries, scope)
    if not covered:
        return ()
    holes = (Window(earlier.end, later.start) for earlier, later in pairwise(covered))
    beyond = Window(covered[-1].end)
    expired = [Window(None, each.before) for each in removals(entries) if each.before]
    return difference(union([*holes, *owed(entries, scope)]), [beyond, *expired])


def owed(entries: Sequence[Entry], scope: str) -> tuple[Window, ...]:
    """Return what snapshots were to read of a scope and nobody has read whole since; disjoint, oldest first."""
    spans = (span for entry in entries for each in entry.collected if each.scope == scope for span in each.unread)
    return difference(union(Window(span.start, span.end) for span in spans), coverage(entries, scope))


def settled(entries: Iterable[Entry], scope: str, *, after: timedelta) -> tuple[Window, ...]:
    """Return the part of the coverage that was read so long after it was over that late events had come by then."""
    limits = ((span, min(span.end, asked_at - after)) for span, asked_at in _spans(entries, scope))
    return union(Window(span.start, end) for span, end in limits if span.start is None or span.start < end)


def _spans(entries: Iterable[Entry], scope: str) -> Iterator[tuple[Span, datetime]]:
    """Yield every window of a scope that was read whole, and when it was asked for."""
    for entry in entries:
        for collected in entry.collected:
            if collected.scope == scope:
                yield from ((span, span.asked_at or entry.started_at) for span in collected.windows)


def current_partitions(entries: Iterable[Entry]) -> dict[str, PartitionState]:
    """Return each partition that has events as the ledger last left it, by ISO date, oldest first."""
    states = {state.partition: state for entry in entries for state in entry.partitions}
    return {name: state for name, state in sorted(states.items()) if state.sha256 is not None}


def current_quarantine(entries: Iterable[Entry]) -> dict[int, QuarantineState]:
    """Return each quarantine file as the ledger last left it, by the number of the entry that began it."""
    states = {state.number: state for entry in entries for state in entry.quarantine}
    return {number: state for number, state in sorted(states.items()) if state.sha256 is not None}


def removals(entries: Iterable[Entry]) -> Iterator[Removal]:
    """Yield every tombstone, oldest first."""
    return (entry.removal for entry in entries if entry.removal is not None)


def vanished(entries: Iterable[Entry]) -> dict[str, str]:
    """Return the scope of each event that the endpoint does not return any more, by id, oldest finding first."""
    gone: dict[str, str] = {}
    for entry in entries:
        for collected in entry.collected:
            gone |= dict.fromkeys(collected.vanished, collected.scope)
            for id_ in collected.returned:
                gone.pop(id_, None)
    return gone


def latest_arrival(entries: Iterable[Entry], *, since: datetime) -> timedelta:
    """Return the longest lateness that entries since an instant have measured; zero without late events."""
    measured = [entry.lateness_s or 0 for entry in entries if entry.finished_at >= since]
    return timedelta(seconds=max(measured, default=0))


def _breaks(entry: Entry, path: Path, before: Entry | None) -> list[str]:
    found = []
    expected = before.number + 1 if before else 1
    if entry.number != expected or path.stem != f"{entry.number:08d}":
        found.append(f"The entry numbered {entry.number} stands where entry {expected} belongs.")
    if entry.hash != entry.computed_hash():
        found.append("The entry does not carry its own hash; it was changed after it was written.")
    if entry.previous != (before.hash if before else None):
        found.append("The entry does not carry the hash of the entry before; the chain is broken here.")
    return found
