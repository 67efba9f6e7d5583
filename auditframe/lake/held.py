"""What a run builds on is held against the ledger first: else its entry would speak for what somebody else changed."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from auditframe.errors import LakeCorruptError
from auditframe.lake.derive import derive
from auditframe.lake.faults import read_regular
from auditframe.lake.parquet import encode_partition, read_partition

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
        LakeCorruptError: It is missing or another one.
    """
    if not path.exists():
        if state is not None:
            raise _missing(path, state)
        return
    if state is None or sha256(read_regular(path)).hexdigest() != state.sha256:
        raise _other(path)


def read_held(path: Path, state: PartitionState | None) -> pa.Table:
    """Read a partition that is what the ledger says, or becomes that when its columns are derived from its texts anew.

    Raises:
        LakeCorruptError: It does neither: its events are others, or it says otherwise how they came.
    """
    data = read_regular(path)
    rows = read_partition(data, path=path)
    if state is None:
        raise _other(path)
    if sha256(data).hexdigest() != state.sha256:
        repaired = encode_partition(derive(rows, path=path))
        if sha256(repaired).hexdigest() != state.sha256:
            raise _other(path)
    return rows


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
