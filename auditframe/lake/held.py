"""What a run builds on is held against the ledger first: else its entry would speak for what somebody else changed."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from auditframe.errors import LakeCorruptError
from auditframe.lake.derive import is_current
from auditframe.lake.faults import read_regular
from auditframe.lake.merge import texts
from auditframe.lake.merkle import merkle_root
from auditframe.lake.parquet import read_partition

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa

    from auditframe.lake.layout import Layout
    from auditframe.lake.records import PartitionState


def check_present(layout: Layout, states: Mapping[str, PartitionState]) -> None:
    """Check that each partition that holds events after the ledger has its file.

    Raises:
        LakeCorruptError: One has none.
    """
    for name in sorted(states.keys() - layout.partitions().keys()):
        raise _missing(layout.partition_file(name), states[name])


def check_held(path: Path, state: PartitionState | None) -> None:
    """Check that a partition is what the ledger says.

    Args:
        path: The file.
        state: What the ledger last said of it; None when it holds no events.

    Raises:
        LakeCorruptError: It is missing, or holds other events, or the same with columns that somebody changed.
    """
    if not path.exists():
        if state is not None:
            raise _missing(path, state)
        return
    data = read_regular(path)
    if state is not None and sha256(data).hexdigest() == state.sha256:
        return
    rows = read_partition(data, path=path)
    if is_current(rows) or not _is_told(rows, state):
        raise _other(path)


def read_told(path: Path, state: PartitionState | None) -> pa.Table:
    """Read a partition whose events are to be those that the ledger counts, whatever became of its columns.

    Raises:
        LakeCorruptError: They are others.
    """
    rows = read_partition(path, path=path)
    if not _is_told(rows, state):
        raise _other(path)
    return rows


def _is_told(rows: pa.Table, state: PartitionState | None) -> bool:
    raws = texts(rows, "raw")
    return state is not None and (len(raws), merkle_root(raws)) == (state.rows, state.merkle_root)


def _missing(path: Path, state: PartitionState) -> LakeCorruptError:
    return LakeCorruptError(
        f"{path} is missing, and its {state.rows} events with it. Restore it from a backup. See: auditframe verify",
        path=path,
    )


def _other(path: Path) -> LakeCorruptError:
    return LakeCorruptError(
        f"{path} is not as the ledger says: somebody changed it, and nothing is built on that. Restore it from a "
        "backup. See: auditframe verify",
        path=path,
    )
