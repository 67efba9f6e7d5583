"""Verify: read every byte of a lake again, and name each thing that is not as the ledger says."""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from auditframe.errors import LakeLockedError, ParameterError
from auditframe.lake.claims import entry_faults, gap_faults, origin_faults
from auditframe.lake.contents import Reading
from auditframe.lake.derive import derived_ahead
from auditframe.lake.faults import UNREADABLE, Fault, cause, names_in, read_regular
from auditframe.lake.index import index_faults
from auditframe.lake.journal import Journal
from auditframe.lake.layout import Description
from auditframe.lake.ledger import check_ledger, current_partitions, current_quarantine
from auditframe.lake.quarantine import Kept
from auditframe.lake.strangers import is_being_written, leftovers, partitions_there, read_sealed, strangers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from auditframe.lake.layout import Layout
    from auditframe.lake.records import Entry, QuarantineState

__all__ = ["Fault", "verify"]

_HASH = re.compile(r"[0-9a-f]{64}")
_UNFINISHED = " A run that was killed may have left it so; the next snapshot or import speaks for it, verify then."


def verify(layout: Layout, *, anchor: str | None = None) -> tuple[Fault, ...]:
    """Check the ledger, then every partition against it, oldest first, then what should not be there.

    Args:
        layout: The lake.
        anchor: The hash of an entry, kept elsewhere; None checks only that the lake agrees with itself.

    Raises:
        ParameterError: The anchor is no hash.
        LakeLockedError: A run is writing, so that its changes cannot be told from faults.
    """
    anchor = None if anchor is None else _read_anchor(anchor)
    before = _entry_names(layout)
    entries, broken = check_ledger(layout)
    faults = [Fault(layout.description, what) for what in _description_faults(layout)]
    faults += [Fault(fault.path, fault.what) for fault in broken]
    faults += [Fault(layout.ledger, what) for what in _anchor_faults(entries, anchor)]
    wrong = [] if broken else list(entry_faults(layout, entries))
    faults += wrong
    is_sound = not broken and not wrong
    faults += gap_faults(layout, entries) if is_sound else ()
    reading = Reading(layout.grain, entries if is_sound else None)
    told = [*_quarantine_faults(layout, entries), *_partition_faults(layout, entries, reading)]
    told += [*index_faults(layout, entries, reading.ids), *leftovers(layout, number=len(entries) + 1)]
    named = {fault.path for fault in (*faults, *told)}
    known = {state.partition for entry in entries for state in entry.partitions}
    told += [fault for fault in strangers(layout, known=known) if fault.path not in named]
    if told and (is_being_written(layout) or _entry_names(layout) != before):
        return _without_unfinished(layout, faults)
    return (*faults, *_explained(layout, told, number=len(entries) + 1))


def _read_anchor(anchor: str) -> str:
    found = anchor.strip().lower()
    if not _HASH.fullmatch(found):
        raise ParameterError(
            f"The anchor {anchor[:80]!r} is no hash. Give all 64 hexadecimal digits of a head, as status shows it.",
            report=None,
        )
    return found


def _entry_names(layout: Layout) -> list[str]:
    try:
        return names_in(layout.ledger)
    except OSError:
        return []


def _description_faults(layout: Layout) -> Iterator[str]:
    try:
        text = read_regular(layout.description)
    except UNREADABLE as error:
        yield f"The description cannot be read: {cause(error)}."
        return
    if text != msgspec.json.encode(Description(partition=layout.grain.name)):
        yield "The description is not as this version writes it; it was changed, or another version wrote it."


def _anchor_faults(entries: Sequence[Entry], anchor: str | None) -> Iterator[str]:
    if anchor is not None and anchor not in {entry.hash for entry in entries}:
        yield (
            "No entry carries the anchor's hash: the lake was rolled back or rewritten since it was noted, or it is "
            "the anchor of another lake."
        )


def _quarantine_faults(layout: Layout, entries: Sequence[Entry]) -> Iterator[Fault]:
    """Check every quarantine file against the ledger, and every line against its own hash."""
    states = current_quarantine(entries)
    expected = {layout.quarantine_file(number): state for number, state in states.items()}
    try:
        there = [layout.quarantine / name for name in names_in(layout.quarantine)]
    except OSError as error:
        yield Fault(layout.quarantine, f"The folder cannot be read: {cause(error)}.")
        return
    for path in sorted({*expected, *there}):
        what = _quarantine_fault(path, expected.get(path))
        if what:
            yield Fault(path, what)


def _quarantine_fault(path: Path, state: QuarantineState | None) -> str | None:
    if state is None:
        return "No ledger entry speaks of this file."
    try:
        data = read_regular(path)
        if sha256(data).hexdigest() != state.sha256:
            return "The file's SHA-256 is not the one in the ledger."
        items = msgspec.json.Decoder(Kept).decode_lines(data)
        is_true = all(sha256(item.content).hexdigest() == item.sha256 for item in items)
    except UNREADABLE as error:
        return f"It cannot be read: {cause(error)}."
    return None if is_true and len(items) == state.items else "Its lines are not those that the ledger counts."


def _partition_faults(layout: Layout, entries: Sequence[Entry], reading: Reading) -> Iterator[Fault]:
    states = current_partitions(entries)
    faults: list[Fault] = []
    names = sorted(filter(layout.grain.is_partition, states.keys() | partitions_there(layout)))
    for name, (path, derived) in zip(names, derived_ahead(map(layout.partition_file, names)), strict=True):
        faults += [Fault(path, what) for what in reading.faults_of(path, name, states.get(name), derived)]
    yield from faults
    if reading.entries is not None and not faults:
        yield from origin_faults(layout, entries, reading.brought)


def _without_unfinished(layout: Layout, faults: Sequence[Fault]) -> tuple[Fault, ...]:
    """Leave out what may be a run's own change under way; without other faults, nothing can be said yet."""
    if faults:
        return tuple(faults)
    raise LakeLockedError(
        f"A run was writing to the lake at {layout.root} while it was verified, so its changes cannot be told from "
        "faults. Verify again when it has ended.",
        path=layout.root,
    )


def _explained(layout: Layout, faults: Iterable[Fault], *, number: int) -> Iterator[Fault]:
    """Say of what a killed run may have changed that this may be the reason."""
    journal = read_sealed(layout.journal, Journal)
    touched: set[Path] = set()
    if isinstance(journal, Journal) and journal.number >= number:
        touched = {layout.partition_file(name) for name in journal.touched}
        touched |= {path.parent for path in touched} | {layout.quarantine_file(each) for each in journal.quarantine}
    for fault in faults:
        yield replace(fault, what=fault.what + _UNFINISHED) if fault.path in touched else fault
