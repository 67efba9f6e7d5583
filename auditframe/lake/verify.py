"""Verify: read every byte of a lake again, and name each thing that is not as the ledger says."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from auditframe.errors import LakeCorruptError
from auditframe.flatten import flatten_texts
from auditframe.lake.derive import PROVENANCE, is_current
from auditframe.lake.layout import Description, days_of
from auditframe.lake.ledger import check_ledger, current_partitions, current_quarantine
from auditframe.lake.merge import ORDER, texts
from auditframe.lake.merkle import merkle_root
from auditframe.lake.parquet import read_partition

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from auditframe.lake.layout import Layout
    from auditframe.lake.records import Entry, PartitionState, QuarantineState


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as the ledger says.

    Attributes:
        path: The file.
        what: What is wrong with it, as a sentence.
    """

    path: Path
    what: str


def verify(layout: Layout, *, anchor: str | None = None) -> tuple[Fault, ...]:
    """Check the ledger's chain and every partition against it; ledger first, then oldest partition first.

    Args:
        layout: The lake.
        anchor: The hash of an entry, kept elsewhere; None checks only that the lake agrees with itself.
    """
    faults = [Fault(layout.description, what) for what in _check_description(layout)]
    entries, broken = check_ledger(layout)
    faults += [Fault(fault.path, fault.what) for fault in broken]
    faults += [Fault(layout.ledger, what) for what in _check_anchor(entries, anchor)]
    faults += [] if broken else _check_entries(layout, entries)
    faults += _check_quarantine(layout, entries)
    states = current_partitions(entries)
    files = layout.partitions()
    owner: dict[str, str] = {}
    for day in sorted(states.keys() | files.keys()):
        path = layout.partition_file(day)
        faults += [Fault(path, what) for what in _check_partition(path, day, states.get(day), owner)]
    faults += [
        Fault(path, "It is no partition; engines that glob this folder count it.") for path in _strangers(layout)
    ]
    return tuple(faults)


def _check_description(layout: Layout) -> Iterator[str]:
    try:
        text = layout.description.read_bytes()
    except OSError as error:
        yield f"The description cannot be read: {error.strerror}."
        return
    if text != msgspec.json.encode(Description()):
        yield "The description is not as this version writes it; it was changed, or another version wrote it."


def _check_anchor(entries: Sequence[Entry], anchor: str | None) -> Iterator[str]:
    if anchor is not None and anchor not in {entry.hash for entry in entries}:
        yield (
            "No entry carries the anchor's hash: the lake was rolled back or rewritten since it was noted, or it is "
            "the anchor of another lake."
        )


def _check_entries(layout: Layout, entries: Sequence[Entry]) -> Iterator[Fault]:
    """Check that each entry adds up, and that all together they speak of as many rows as there should be."""
    for entry in entries:
        if entry.counts.received != entry.counts.accounted:
            received, accounted = entry.counts.received, entry.counts.accounted
            what = f"It says that {received} events were received and accounts for {accounted}."
            yield Fault(layout.entry_file(entry.number), what)
    added = sum(entry.counts.new for entry in entries)
    removed = sum(entry.removal.events for entry in entries if entry.removal)
    rows = sum(state.rows for state in current_partitions(entries).values())
    if added - removed != rows:
        yield Fault(layout.ledger, f"Its entries add {added} rows and remove {removed}, yet speak of {rows}.")


def _check_quarantine(layout: Layout, entries: Sequence[Entry]) -> Iterator[Fault]:
    """Check every quarantine file against the ledger."""
    states = current_quarantine(entries)
    expected = {layout.quarantine_file(number): state for number, state in states.items()}
    for path in sorted({*expected, *layout.quarantine.rglob("*")}):
        what = _quarantine_fault(path, expected.get(path))
        if what:
            yield Fault(path, what)


def _quarantine_fault(path: Path, state: QuarantineState | None) -> str | None:
    if state is None:
        return "No ledger entry speaks of this file."
    try:
        data = path.read_bytes()
    except OSError as error:
        return f"It cannot be read: {error.strerror}."
    return None if sha256(data).hexdigest() == state.sha256 else "The file's SHA-256 is not the one in the ledger."


def _check_partition(path: Path, day: str, state: PartitionState | None, owner: dict[str, str]) -> Iterator[str]:
    if state is None:
        yield "No ledger entry speaks of this partition."
    try:
        data = path.read_bytes()
        events = read_partition(data, path=path)
    except FileNotFoundError:
        yield "The partition is missing."
        return
    except (LakeCorruptError, OSError, KeyError, ValueError) as error:
        yield f"It cannot be read: {error}"
        return
    if state and sha256(data).hexdigest() != state.sha256:
        yield "The file's SHA-256 is not the one in the ledger."
    if not is_current(events):
        yield "It has other columns than this version's. See: auditframe rebuild"
        return
    raws = texts(events, "raw")
    if state and (len(raws), merkle_root(raws)) != (state.rows, state.merkle_root):
        yield f"It holds other events than the ledger says ({len(raws)} rows, {state.rows} expected)."
    yield from _check_rows(events, day, owner)
    yield from _check_columns(events)


def _check_columns(events: pa.Table) -> Iterator[str]:
    """Derive every column anew from ``raw`` and name each that differs."""
    derived = flatten_texts(raw.encode() for raw in texts(events, "raw")).events
    if len(derived) != len(events):
        yield f"{len(events) - len(derived)} of its rows could not be derived from their texts."
        return
    differing = [name for name in events.schema.names if name not in PROVENANCE and events[name] != derived[name]]
    if differing:
        yield f"Columns do not follow from the events' texts: {', '.join(differing)}."


def _check_rows(events: pa.Table, day: str, owner: dict[str, str]) -> Iterator[str]:
    keys = events.select(["effective_at", "id"])
    if not keys.equals(keys.sort_by(ORDER)):
        yield "Its rows are not sorted by effective_at and id."
    if strays := sum(found != day for found in days_of(events)):
        yield f"{strays} of its rows belong to another day."
    ids = texts(events, "id")
    doubled = len(ids) - len(set(ids))
    if doubled:
        yield f"{doubled} of its rows repeat an id."
    if elsewhere := sum(owner.get(id_, day) != day for id_ in ids):
        yield f"{elsewhere} of its ids have a row in an older partition too."
    owner.update(dict.fromkeys(ids, day))


def _strangers(layout: Layout) -> list[Path]:
    known = set(layout.partitions().values())
    return sorted(path for path in layout.events.rglob("*") if path.is_file() and path not in known)
