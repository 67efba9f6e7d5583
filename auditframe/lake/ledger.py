"""The ledger: one hash-chained entry for each change of the lake, and what it proves was collected."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

import msgspec

from auditframe import __version__
from auditframe.errors import LakeCorruptError, LakeLockedError
from auditframe.lake.storage import put_new
from auditframe.window import Window, union

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from auditframe.lake.layout import Layout

Status = Literal["complete", "interrupted", "not_permitted"]


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of an entry; unknown keys are refused, so nothing in it can go unhashed or unread."""


class Span(_Record, frozen=True, kw_only=True):
    """A window as the ledger writes it; a null start means since the log began."""

    start: datetime | None
    end: datetime


class Collected(_Record, frozen=True, kw_only=True):
    """What one scope's pass over the endpoint brought.

    Attributes:
        scope: ``organization`` or ``tenant``.
        status: Whether every window was read whole.
        windows: The windows that were read whole, oldest first.
        pages: Pages received.
        first_request_id: The endpoint's id of the first page's request; null when it sent none.
        last_request_id: The same of the last page.
    """

    scope: str
    status: Status
    windows: list[Span]
    pages: int
    first_request_id: str | None
    last_request_id: str | None


class Counts(_Record, frozen=True, kw_only=True):
    """What became of the events that arrived: received = new + known + mutated + quarantined.

    Attributes:
        received: Events that arrived.
        new: Of these, rows added.
        known: Events that were there already, with the same payload.
        mutated: Events whose id was there with another payload; kept in quarantine.
        quarantined: Events that could not be placed; kept in quarantine.
        late: Of the new ones, those inside a window that an earlier snapshot had read whole.
    """

    received: int = 0
    new: int = 0
    known: int = 0
    mutated: int = 0
    quarantined: int = 0
    late: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})


class PartitionState(_Record, frozen=True, kw_only=True):
    """One partition as an entry leaves it.

    Attributes:
        partition: Its UTC day, as an ISO date.
        rows: Its events.
        merkle_root: The root over the events' ``raw``, in the partition's order.
        sha256: The hash of the file.
    """

    partition: str
    rows: int
    merkle_root: str
    sha256: str


class Entry(_Record, frozen=True, kw_only=True):
    """One line of the ledger.

    Attributes:
        number: Its place, from 1.
        kind: ``snapshot`` from the endpoint, or ``import`` of events from elsewhere.
        started_at: When the run began.
        finished_at: When the entry was written.
        software: Name and version of what wrote it.
        collected: The passes over the endpoint; empty for an import.
        counts: What became of the events that arrived.
        partitions: Every partition that an arriving event fell into, as it is now, oldest first.
        previous: The hash of the entry before; null for the first.
        hash: The SHA-256 of this entry's canonical JSON without this key.
    """

    number: int
    kind: Literal["snapshot", "import"]
    started_at: datetime
    finished_at: datetime
    collected: list[Collected]
    counts: Counts
    partitions: list[PartitionState]
    previous: str | None
    software: str = f"auditframe {__version__}"
    hash: str = ""

    def sealed(self) -> Entry:
        """Return the entry with its hash."""
        return msgspec.structs.replace(self, hash=self.computed_hash())

    def computed_hash(self) -> str:
        """Return the hash that the entry should carry."""
        content = {key: value for key, value in msgspec.to_builtins(self).items() if key != "hash"}
        return sha256(canonical(content)).hexdigest()


@dataclass(frozen=True, slots=True)
class LedgerFault:
    """A break in the ledger."""

    path: Path
    what: str


def canonical(value: object) -> bytes:
    """Encode as JSON in the one way that is hashed: sorted keys, no white space, UTF-8."""
    return msgspec.json.encode(value, order="sorted")


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
    for path in sorted(layout.ledger.glob("*.json")):
        try:
            entry = msgspec.json.decode(path.read_bytes(), type=Entry)
        except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
            faults.append(LedgerFault(path, f"The entry cannot be read: {error}."))
            continue
        faults += [LedgerFault(path, what) for what in _breaks(entry, path, entries[-1] if entries else None)]
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
    return union(
        Window(span.start, span.end)
        for entry in entries
        for collected in entry.collected
        if collected.scope == scope
        for span in collected.windows
    )


def current_partitions(entries: Sequence[Entry]) -> dict[str, PartitionState]:
    """Return each partition as the ledger last left it, by ISO date, oldest first."""
    states = {state.partition: state for entry in entries for state in entry.partitions}
    return dict(sorted(states.items()))


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
