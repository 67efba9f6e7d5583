"""Verify: read every byte of a lake again, and name each thing that is not as the ledger says."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from auditframe.errors import LakeCorruptError
from auditframe.lake.layout import days_of
from auditframe.lake.ledger import check_ledger, current_partitions
from auditframe.lake.merge import ORDER, texts
from auditframe.lake.merkle import merkle_root
from auditframe.lake.parquet import read_partition

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from auditframe.lake.layout import Layout
    from auditframe.lake.ledger import PartitionState


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as the ledger says.

    Attributes:
        path: The file.
        what: What is wrong with it, as a sentence.
    """

    path: Path
    what: str


def verify(layout: Layout) -> tuple[Fault, ...]:
    """Check the ledger's chain and every partition against it; ledger first, then oldest partition first."""
    entries, broken = check_ledger(layout)
    faults = [Fault(fault.path, fault.what) for fault in broken]
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


def _check_partition(path: Path, day: str, state: PartitionState | None, owner: dict[str, str]) -> Iterator[str]:
    if state is None:
        yield "No ledger entry speaks of this partition."
    try:
        data = path.read_bytes()
        events = read_partition(data, path=path, columns=["id", "effective_at", "raw"])
    except FileNotFoundError:
        yield "The partition is missing."
        return
    except (LakeCorruptError, OSError, KeyError) as error:
        yield f"It cannot be read: {error}"
        return
    if state and sha256(data).hexdigest() != state.sha256:
        yield "The file's SHA-256 is not the one in the ledger."
    raws = texts(events, "raw")
    if state and (len(raws), merkle_root(raws)) != (state.rows, state.merkle_root):
        yield f"It holds other events than the ledger says ({len(raws)} rows, {state.rows} expected)."
    yield from _check_rows(events, day, owner)


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
