"""Presence: each partition that the ledger speaks of has its file, or no question is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from auditframe.errors import LakeCorruptError
from auditframe.lake.faults import UNREADABLE, cause, read_regular
from auditframe.lake.journal import read_journal
from auditframe.lake.layout import listed
from auditframe.lake.records import PartitionState  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from auditframe.lake.layout import Layout


class _Left(msgspec.Struct, frozen=True):
    """What an entry says of partitions; the rest of it, and the chain, are for `verify`."""

    partitions: list[PartitionState]


def present_partitions(layout: Layout, is_wanted: Callable[[str], bool] = lambda _: True) -> dict[str, Path]:
    """Return the file of each partition that is wanted, by its name, oldest first.

    Args:
        layout: The lake.
        is_wanted: Whether a partition is of interest.

    Raises:
        LakeCorruptError: The ledger says that one holds events, and it has no file; or an entry cannot be read.
    """
    suspects: set[str] = set()
    while True:
        files = {name: file for name, file in layout.partitions().items() if is_wanted(name)}
        gone = {name for name in _held(layout) if is_wanted(name)} - files.keys()
        gone = gone and gone - _changing(layout, gone)
        if not gone:
            return files
        for name in sorted(gone & suspects):  # twice, because a run may have ended between the two looks
            path = layout.partition_file(name)
            raise LakeCorruptError(f"{path} is missing, and its events with it. See: auditframe verify", path=path)
        suspects = gone


def _held(layout: Layout) -> set[str]:
    """Return the partitions that hold events after the ledger."""
    rows: dict[str, int] = {}
    for name in listed(layout.ledger):
        if name.endswith(".json"):
            rows |= {state.partition: state.rows for state in _left(layout.ledger / name).partitions}
    return {name for name, count in rows.items() if count}


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
