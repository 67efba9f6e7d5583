"""Partitions derived anew from ``raw``, when columns or catalogue have grown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from auditframe.errors import LakeCorruptError
from auditframe.flatten import flatten_texts
from auditframe.lake.faults import UNREADABLE, read_regular
from auditframe.lake.merge import in_order, texts
from auditframe.lake.parquet import encode_partition, read_partition
from auditframe.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

PROVENANCE = ("scope", "first_seen_at", "snapshot")
"""The columns that say how an event came; nothing can derive them."""

_TOGETHER_BYTES = 2 * 2**20  # of files, some 15,000 events: a third less time than each by itself, for 40 to 75 MiB
_TOGETHER_FILES = 100
_FIXED = ["id", "effective_at", "raw", *PROVENANCE]


def derive(partition: pa.Table, *, path: Path, derived: pa.Table | None = None) -> pa.Table:
    """Derive every column of a partition from ``raw``; how an event came is kept.

    Args:
        partition: Rows, with at least id, effective_at, raw and the columns of `PROVENANCE`.
        path: What a message names.
        derived: What `derived_ahead` yields for it.

    Raises:
        LakeCorruptError: An event would have another id or place, or none at all.
    """
    derived = _of_texts(texts(partition, "raw")) if derived is None else derived
    if derived is None or len(derived) != len(partition):
        raise _not_following(path)
    for name in PROVENANCE:
        field = arrow_schema().field(name)
        came = partition[name].cast(field.type).combine_chunks()
        derived = derived.set_column(derived.schema.get_field_index(name), field, came)
    if not _is_same(derived, partition):
        raise _not_following(path)
    return in_order(derived).combine_chunks()


def derived_ahead(paths: Iterable[Path]) -> Iterator[tuple[Path, pa.Table | None]]:
    """Derive small partitions several at once, for columns of few events cost little less than those of many.

    Yields:
        Each partition with what follows from its ``raw``, in its order. None where that is not known ahead: of a
        large partition, of one that cannot be read, and where any text beside it has no row.
    """
    for together in _together(paths):
        yield from zip(together, _derived(together), strict=True)


def _together(paths: Iterable[Path]) -> Iterator[list[Path]]:
    """Put partitions that follow one another into groups of about `_TOGETHER_BYTES`."""
    group: list[Path] = []
    room = _TOGETHER_BYTES
    for path in paths:
        size = _size_of(path)
        if group and (size > room or len(group) == _TOGETHER_FILES):
            yield group
            group, room = [], _TOGETHER_BYTES
        group.append(path)
        room -= size
    if group:
        yield group


def _size_of(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0  # whoever reads it says why


def _derived(together: Sequence[Path]) -> Iterator[pa.Table | None]:
    held = [_readable_texts(path) for path in together] if len(together) > 1 else [None]
    lengths = [None if each is None else len(each) for each in held]
    derived = _of_texts([text for each in held for text in each or ()])
    del held  # else it stays while the tables are used
    start = 0
    for length in lengths:
        yield None if length is None or derived is None else derived.slice(start, length)
        start += length or 0


def _readable_texts(path: Path) -> list[str] | None:
    try:
        rows = read_partition(read_regular(path), path=path, columns=["raw"])
        is_whole = rows["raw"].type == pa.string() and not rows["raw"].null_count
        return texts(rows, "raw") if is_whole else None
    except UNREADABLE:
        return None  # whoever reads it whole says why


def _of_texts(raws: Sequence[str]) -> pa.Table | None:
    """Return the columns that follow from texts; None where one has no row."""
    flattened = flatten_texts(raw.encode() for raw in raws)
    return None if flattened.quarantine else flattened.events


def current(partition: pa.Table, *, path: Path) -> pa.Table:
    """Return a partition with the columns of this version, whichever version wrote it."""
    return partition if is_current(partition) else derive(partition, path=path)


def is_current(partition: pa.Table) -> bool:
    """Whether a partition has the columns of this version."""
    return bool(partition.schema.equals(arrow_schema()))


def rebuilt(there: pa.Table, *, path: Path, derived: pa.Table | None) -> bytes | None:
    """Return the file that a partition should be, see `derive`; None when it is that already."""
    derived = derive(there, path=path, derived=derived)
    return None if is_current(there) and derived.equals(there) else encode_partition(derived)


def _is_same(derived: pa.Table, partition: pa.Table) -> bool:
    return all(derived[name].to_pylist() == partition[name].to_pylist() for name in _FIXED)


def _not_following(path: Path) -> LakeCorruptError:
    return LakeCorruptError(
        f"{path}: ids or times of its events do not follow from their texts. See: auditframe verify", path=path
    )
