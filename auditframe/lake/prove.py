"""Inclusion proofs: that one event stands in the lake, checked with nothing but SHA-256 and a head kept elsewhere."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from auditframe.errors import LakeCorruptError, LakeError, LakeLockedError
from auditframe.lake.events import Events
from auditframe.lake.journal import read_journal
from auditframe.lake.ledger import read_ledger
from auditframe.lake.merge import texts
from auditframe.lake.merkle import merkle_path, merkle_root
from auditframe.lake.parquet import read_partition
from auditframe.lake.quarantine import read_quarantine
from auditframe.lake.records import canonical
from auditframe.lake.removal import digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from auditframe.lake.layout import Layout
    from auditframe.lake.records import Entry

PROOF_VERSION = 1

_PLACE = "SELECT effective_at FROM events WHERE id = $id"
_SHOWN_CHARS = 80


@dataclass(frozen=True, slots=True)
class Proof:
    """That one event stands in the lake, for whoever holds the hash of a ledger entry and nothing else.

    Attributes:
        raw: The event, as it arrived.
        partition: Its UTC day or month, in ISO form.
        index: Its row in the partition, from 0.
        path: The Merkle nodes that lead from the event to the partition's root, the event's own sibling first; 64
            hexadecimal digits each.
        entry: The newest ledger entry that speaks of the partition, as its file holds it.
        chain: Every later entry up to the head, oldest first, as their files hold them.
    """

    raw: str = field(repr=False)
    partition: str
    index: int
    path: tuple[str, ...] = field(repr=False)
    entry: str = field(repr=False)
    chain: tuple[str, ...] = field(repr=False)

    def to_json(self) -> str:
        """Write the proof as one JSON object on one line, in ASCII."""
        return json.dumps({"format_version": PROOF_VERSION, **asdict(self)})


def prove(layout: Layout, event_id: str) -> Proof:
    """Prove that an event stands in the lake.

    Raises:
        LakeError: The lake has no row of this id: it never came, is in quarantine, or was erased.
        LakeCorruptError: The event's partition is not what the ledger says.
        LakeLockedError: A run is changing the event's partition.
    """
    entries = read_ledger(layout)
    partition = _partition_of(layout, event_id)
    if partition is None:
        raise _absent(layout, event_id, entries)
    path = layout.partition_file(partition)
    rows = read_partition(path, path=path, columns=["id", "raw"])
    ids, raws = texts(rows, "id"), texts(rows, "raw")
    told = next((entry for entry in reversed(entries) if _root(entry, partition)), None)
    if told is None or event_id not in ids or merkle_root(raws) != _root(told, partition):
        raise _differing(layout, partition, entries)
    index = ids.index(event_id)
    return Proof(
        raw=raws[index],
        partition=partition,
        index=index,
        path=merkle_path(raws, index),
        entry=_text(told),
        chain=tuple(map(_text, entries[told.number :])),
    )


def _partition_of(layout: Layout, event_id: str) -> str | None:
    found = Events(files=tuple(layout.partitions().values())).arrow(_PLACE, {"id": event_id})
    return next(iter(layout.grain.partitions_of(found)), None)


def _root(entry: Entry, partition: str) -> str | None:
    return next((state.merkle_root for state in entry.partitions if state.partition == partition), None)


def _text(entry: Entry) -> str:
    """Return what the entry's file holds; reading the ledger has checked that it is exactly this."""
    return canonical(entry).decode()


def _absent(layout: Layout, event_id: str, entries: Sequence[Entry]) -> LakeError:
    """Say why there is no row of an id, and what to do."""
    shown = f"The event {event_id[:_SHOWN_CHARS]!r}"
    numbers = [number for number, item in read_quarantine(layout) if item.event_id == event_id]
    if numbers:
        path = layout.quarantine_file(numbers[0])
        return LakeError(
            f"{shown} is in quarantine, and only rows can be proved. See why: auditframe quarantine", path=path
        )
    for entry in entries:
        if entry.removal and digest(event_id) in entry.removal.ids_sha256:
            return LakeError(f"{shown} was erased; entry {entry.number} has the tombstone.", path=layout.root)
    return LakeError(
        f"{shown} is not in the lake at {layout.root}. Give the id as the column id has it, or bring the lake up to "
        "date: auditframe snapshot",
        path=layout.root,
    )


def _differing(layout: Layout, partition: str, entries: Sequence[Entry]) -> LakeError:
    """Tell a partition that is being changed from one that was damaged."""
    path: Path = layout.partition_file(partition)
    journal = read_journal(layout)
    is_changing = journal is not None and journal.number > len(entries) and partition in journal.touched
    if is_changing or len(read_ledger(layout)) > len(entries):
        return LakeLockedError(
            f"A run is changing {path}, or was killed while it did. Ask again when it has ended; what a killed run "
            "left is completed by the next snapshot or import.",
            path=path,
        )
    return LakeCorruptError(
        f"{path} holds other events than the ledger says, so none of them can be proved. See: auditframe verify",
        path=path,
    )
