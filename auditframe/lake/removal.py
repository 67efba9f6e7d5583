"""Removing events for good: after their time, or because somebody asks for it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from auditframe.lake.held import check_held, check_present
from auditframe.lake.journal import Journal
from auditframe.lake.ledger import current_partitions, removals
from auditframe.lake.merge import instants, texts
from auditframe.lake.parquet import encode_partition, read_partition
from auditframe.lake.quarantine import read_quarantine, write_quarantine
from auditframe.lake.records import Removal
from auditframe.lake.storage import put, remove, remove_folder
from auditframe.pages import parse_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from auditframe.flatten import Flattened, Quarantined
    from auditframe.lake.layout import Layout
    from auditframe.lake.quarantine import Kept
    from auditframe.lake.records import Entry


_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


class Removed:
    """What was removed for good, so that nothing of it is taken back."""

    def __init__(self, tombstones: Iterable[Removal]) -> None:
        found = list(tombstones)
        self._before = max((each.before for each in found if each.before), default=None)
        self._ids = {hash_ for each in found for hash_ in each.ids_sha256}
        self._items = {hash_ for each in found for hash_ in each.items_sha256}

    def without(self, arriving: Flattened) -> Flattened:
        """Leave out of what arrives what was removed before."""
        if self._before is None and not self._ids and not self._items:
            return arriving
        items = tuple(item for item in arriving.quarantine if not self._holds(item))
        # What was erased from the quarantine may have a place by now, or be another payload of a row that stays.
        is_erased_text = [digest(raw) in self._items for raw in texts(arriving.events, "raw")]
        events = arriving.events.filter(pa.array([not gone for gone in is_erased_text], pa.bool_()))
        return type(arriving)(self.kept(events), items, arriving.drift)

    def rows(self, events: pa.Table) -> list[bool]:
        """Say of each row whether it is to be removed, or was."""
        if self._before is None and not self._ids:
            return [False] * len(events)
        placed = zip(texts(events, "id"), instants(events, "effective_at"), strict=True)
        return [self._is_expired(at) or digest(id_) in self._ids for id_, at in placed]

    def kept(self, events: pa.Table) -> pa.Table:
        """Return the rows that are not to be removed."""
        return events.filter(pa.array([not gone for gone in self.rows(events)], pa.bool_()))

    def holds_item(self, item: Kept) -> bool:
        """Whether a quarantined item is to be removed, or was."""
        return item.sha256 in self._items or digest(item.event_id or "") in self._ids

    def _is_expired(self, at: datetime) -> bool:
        return self._before is not None and at < self._before

    def _holds(self, item: Quarantined) -> bool:
        return sha256(item.text).hexdigest() in self._items or digest(item.event_id or "") in self._ids


def plan_expiry(layout: Layout, entries: Sequence[Entry], *, before: datetime, reason: str) -> Journal:
    """Plan the removal of every event before an instant, and of what was quarantined before it."""

    def is_old(item: Kept) -> bool:
        return item.quarantined_at < before

    limit = layout.grain.partition_of(before)
    names = [name for name in layout.partitions() if name <= limit]
    removal = Removal(reason=reason, before=before, events=0, items=0, ids_sha256=[], items_sha256=[], partitions=[])
    return _journal(layout, entries, removal, names=names, is_item=is_old)


def plan_erasure(layout: Layout, entries: Sequence[Entry], *, names: Sequence[str], reason: str) -> Journal:
    """Plan the removal of every event and quarantined item that names somebody anywhere."""
    naming = _Naming(names)
    ids: list[str] = []
    for path in layout.partitions().values():
        rows = read_partition(path, path=path, columns=["id", "raw"])
        ids += [
            id_ for id_, raw in zip(texts(rows, "id"), texts(rows, "raw"), strict=True) if naming.found_in(raw.encode())
        ]
    removal = Removal(
        reason=reason,
        before=None,
        events=0,
        items=0,
        ids_sha256=sorted(map(digest, ids)),
        items_sha256=[],
        partitions=[],
    )
    return _journal(
        layout, entries, removal, names=layout.partitions(), is_item=lambda item: naming.found_in(item.content)
    )


def carry_out(layout: Layout, journal: Journal) -> None:
    """Remove what a journal says; done again after a crash, it completes what is missing."""
    assert journal.removal is not None  # noqa: S101 - for the type checker
    removed = Removed([journal.removal])
    held: dict[int, list[Kept]] = {number: [] for number in journal.quarantine}
    for number, item in read_quarantine(layout):
        if number in held and not removed.holds_item(item):
            held[number].append(item)
    for number, items in held.items():
        write_quarantine(layout, number, items)
    for name in journal.touched:
        path = layout.partition_file(name)
        if path.exists():
            _rewrite(path, removed, staging=layout.staging)
        remove_folder(path.parent)


def removed_by(entries: Iterable[Entry]) -> Removed:
    """Return everything that the ledger's tombstones speak of."""
    return Removed(removals(entries))


def digest(id_: str) -> str:
    """Return what a tombstone keeps of an id."""
    return sha256(id_.encode()).hexdigest()


def _journal(
    layout: Layout,
    entries: Sequence[Entry],
    removal: Removal,
    *,
    names: Iterable[str],
    is_item: Callable[[Kept], bool],
) -> Journal:
    """Count what a removal takes, and name what it touches."""
    items = [(number, item) for number, item in read_quarantine(layout) if is_item(item)]
    removal = msgspec.structs.replace(removal, items_sha256=sorted({item.sha256 for _, item in items}))
    removed = Removed([removal])
    taken = {number: item for number, item in read_quarantine(layout) if removed.holds_item(item)}
    states = current_partitions(entries)
    check_present(layout, states)
    counted = {name: count for name in names if (count := _count(layout.partition_file(name), removed))}
    for name in counted:
        check_held(layout.partition_file(name), states.get(name))
    return Journal(
        number=len(entries) + 1,
        kind="expire" if removal.before else "erase",
        started_at=datetime.now(UTC),
        touched=sorted(counted),
        quarantine=sorted(taken),
        removal=msgspec.structs.replace(
            removal,
            events=sum(counted.values()),
            items=sum(removed.holds_item(item) for _, item in read_quarantine(layout)),
            partitions=[states[name] for name in sorted(counted) if name in states],
        ),
    )


def _count(path: Path, removed: Removed) -> int:
    rows = read_partition(path, path=path, columns=["id", "effective_at"])
    return sum(removed.rows(rows))


def _rewrite(path: Path, removed: Removed, *, staging: Path) -> None:
    rows = read_partition(path, path=path)
    left = removed.kept(rows)
    if not len(left):
        remove(path)
    elif len(left) < len(rows):
        put(encode_partition(left), path, staging=staging)


class _Naming:
    """Finds texts that name one of some addresses or ids, in any letter case."""

    def __init__(self, names: Sequence[str]) -> None:
        words = "|".join(re.escape(name.strip()) for name in names)
        self._pattern = re.compile(rf"(?<![\w.+%-])(?:{words})(?![\w%+-]|\.\w)", re.IGNORECASE)

    def found_in(self, text: bytes) -> bool:
        """Whether a JSON text names one, in a key or a value, written in whatever escapes."""
        decoded = text.decode("utf-8", "replace")
        if self._pattern.search(decoded):
            return True
        return "\\" in decoded and any(map(self._pattern.search, _texts_without_escapes(text, decoded)))


def _texts_without_escapes(text: bytes, decoded: str) -> list[str]:
    """Return the texts of a JSON value; of what is none, as quarantine holds, the whole with its escapes replaced."""
    try:
        return list(_texts_in(parse_value(text)))
    except (ValueError, RecursionError):
        return [_ESCAPE.sub(lambda found: chr(int(found[1], 16)), decoded)]


def _texts_in(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for key, inner in value.items():
                yield from _texts_in(key)
                yield from _texts_in(inner)
        case list():
            for inner in value:
                yield from _texts_in(inner)
