"""Partitions derived anew from ``raw``, when columns or catalogue have grown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditframe.errors import LakeCorruptError
from auditframe.flatten import flatten_texts
from auditframe.lake.merge import in_order, texts
from auditframe.lake.parquet import encode_partition
from auditframe.schema import arrow_schema

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

PROVENANCE = ("scope", "first_seen_at", "snapshot")
"""The columns that say how an event came; nothing can derive them."""

_FIXED = ["id", "effective_at", "raw", *PROVENANCE]


def derive(partition: pa.Table, *, path: Path) -> pa.Table:
    """Derive every column of a partition from ``raw``; how an event came is kept.

    Args:
        partition: Rows, with at least id, effective_at, raw and the columns of `PROVENANCE`.
        path: What a message names.

    Raises:
        LakeCorruptError: An event would have another id or place, or none at all.
    """
    flattened = flatten_texts(raw.encode() for raw in texts(partition, "raw"))
    derived = flattened.events
    for name in PROVENANCE:
        field = arrow_schema().field(name)
        derived = (
            derived.set_column(
                derived.schema.get_field_index(name), field, partition[name].cast(field.type).combine_chunks()
            )
            if len(derived) == len(partition)
            else derived
        )
    if flattened.quarantine or not _is_same(derived, partition):
        raise LakeCorruptError(
            f"{path}: ids or times of its events do not follow from their texts. See: auditframe verify", path=path
        )
    return in_order(derived).combine_chunks()


def current(partition: pa.Table, *, path: Path) -> pa.Table:
    """Return a partition with the columns of this version, whichever version wrote it."""
    return partition if is_current(partition) else derive(partition, path=path)


def is_current(partition: pa.Table) -> bool:
    """Whether a partition has the columns of this version."""
    return bool(partition.schema.equals(arrow_schema()))


def rebuilt(there: pa.Table, *, path: Path) -> bytes | None:
    """Return the file that a partition should be; None when it is that already."""
    derived = derive(there, path=path)
    return None if is_current(there) and derived.equals(there) else encode_partition(derived)


def _is_same(derived: pa.Table, partition: pa.Table) -> bool:
    return all(derived[name].to_pylist() == partition[name].to_pylist() for name in _FIXED)
