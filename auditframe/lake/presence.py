"""Presence: each partition that the ledger speaks of has its file, or no question is answered.

Every entry is read for that, and what they say of coverage with it.
"""

from __future__ import annotations

from datetime import UTC, datetime  # msgspec reads the annotations
from typing import TYPE_CHECKING

import msgspec

from auditframe.errors import LakeCorruptError
from auditframe.lake.faults import UNREADABLE, cause, read_regular
from auditframe.lake.journal import read_journal
from auditframe.lake.layout import listed
from auditframe.lake.records import PartitionState  # noqa: TC001 - msgspec reads the annotations
from auditframe.lake.unread import Pass, unread
from auditframe.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from auditframe.lake.layout import Layout


class _Expiry(msgspec.Struct, frozen=True):
    """What a tombstone says of time."""

    before: datetime | None


class _Left(msgspec.Struct, frozen=True):
    """What an entry says of partitions and coverage; the rest of it, and the chain, are for `verify`."""

    partitions: list[PartitionState]
    collected: list[Pass] = msgspec.field(default_factory=list)
    removal: _Expiry | None = None


def present_partitions(layout: Layout, asked: Window) -> tuple[dict[str, Path], tuple[Window, ...]]:
    """Return the file of each partition that a window touches, by its name, and what nobody has read of the window.

    Both are oldest first.

    Args:
        layout: The lake.
        asked: The window.

    Raises:
        LakeCorruptError: The ledger says that a partition holds events, and it has no file; or an entry cannot be read.
    """
    first, last = layout.grain.bounds(asked)
    suspects: set[str] = set()
    while True:
        files = layout.partitions(asked)
        entries = [*_entries(layout)]
        gone = {name for name in _held(entries) if first <= name <= last} - files.keys()
        gone = gone and gone - _changing(layout, gone)
        if not gone:
            return files, _unread(layout, entries, asked, is_empty=not files)
        for name in sorted(gone & suspects):  # twice, because a run may have ended between the two looks
            path = layout.partition_file(name)
            raise LakeCorruptError(f"{path} is missing, and its events with it. See: auditframe verify", path=path)
        suspects = gone


def _held(entries: Iterable[_Left]) -> set[str]:
    """Return the partitions that hold events after the ledger."""
    rows = {state.partition: state.rows for entry in entries for state in entry.partitions}
    return {name for name, count in rows.items() if count}


def _unread(layout: Layout, entries: Iterable[_Left], asked: Window, *, is_empty: bool) -> tuple[Window, ...]:
    passes = [each for entry in entries for each in entry.collected]
    removals = (entry.removal for entry in entries if entry.removal)
    try:
        expired = [Window(None, each.before) for each in removals if each.before]
        return unread(passes, asked, expired=expired, is_empty=is_empty, now=datetime.now(UTC))
    except UNREADABLE as error:
        raise LakeCorruptError(
            f"{layout.ledger}: Coverage cannot be told: {cause(error)}. See: auditframe verify", path=layout.ledger
        ) from error


def _entries(layout: Layout) -> Iterator[_Left]:
    for name in listed(layout.ledger):
        if name.endswith(".json"):
            yield _left(layout.ledger / name)


def _left(path: Path) -> _Left:
    try:
        return msgspec.json.decode(read_regular(path), type=_Left)
    except UNREADABLE as error:
        raise LakeCorruptError(
            f"{path}: The entry cannot be read: {cause(error)}. See: auditframe verify", path=path
        ) from error


def _changing(layout: Layout, names: set[str]) -> set[str]:
    """Return which of these partitions a run under way, or one that was killed, may have taken away."""
    if not layout.journal.exists():
        return set()
    journal = read_journal(layout)
    return names & set(journal.touched) if journal else names
