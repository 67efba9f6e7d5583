"""What a partition holds, held against its place, its rows' own texts and the entries they name."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

from auditframe.errors import LakeCorruptError
from auditframe.fingerprints import Fingerprints, fingerprints
from auditframe.flatten import flatten_texts
from auditframe.lake.claims import ADDING, CLOCK_GRACE
from auditframe.lake.derive import PROVENANCE, is_current
from auditframe.lake.faults import UNREADABLE, cause, read_regular
from auditframe.lake.merge import ORDER, instants, texts
from auditframe.lake.merkle import merkle_root
from auditframe.lake.parquet import read_partition
from auditframe.lake.removal import removed_by

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from auditframe.lake.layout import Grain
    from auditframe.lake.records import Entry, PartitionState
    from auditframe.lake.removal import Removed

_STAMPS = ("first_seen_at", "snapshot")


@dataclass
class Reading:
    """What is known across partitions while they are read one by one.

    Attributes:
        grain: How long a time one partition holds.
        entries: The ledger, or None when it is broken and nothing can be held against it.
        ids: The ids so far.
        files: The partitions so far.
        brought: How many rows so far name each entry.
    """

    grain: Grain
    entries: Sequence[Entry] | None
    ids: Fingerprints = field(default_factory=Fingerprints)
    files: list[Path] = field(default_factory=list)
    brought: Counter[int] = field(default_factory=Counter)

    def faults_of(
        self, path: Path, partition: str, state: PartitionState | None, derived: pa.Table | None
    ) -> Iterator[str]:
        """Name everything that is wrong with a partition; anything that cannot be checked is.

        Args:
            path: Its file.
            partition: Its name.
            state: What the ledger says of it; None when it says nothing.
            derived: What `derived_ahead` yields for it.
        """
        if state is None:
            yield "No ledger entry speaks of this partition."
        try:
            events = yield from self._read(path, state)
            if events is not None:
                yield from self._faults_in(events, path, partition, state, derived)
        except FileNotFoundError:
            yield "The partition is missing."
        except LakeCorruptError as error:
            yield f"It cannot be read: {error}"
        except UNREADABLE as error:
            yield f"It cannot be read: {cause(error)}."

    def _read(self, path: Path, state: PartitionState | None) -> Generator[str, None, pa.Table | None]:
        """Return the rows of a partition, or None where they cannot be held against this version's columns."""
        data = read_regular(path)
        if state and sha256(data).hexdigest() != state.sha256:
            yield "The file's SHA-256 is not the one in the ledger."
        events = read_partition(data, path=path)
        if is_current(events):
            return events
        yield "It has other columns than this version's. See: auditframe rebuild"
        return None

    def _faults_in(
        self, events: pa.Table, path: Path, partition: str, state: PartitionState | None, derived: pa.Table | None
    ) -> Iterator[str]:
        events.validate(full=True)
        if not len(events):
            yield "It holds no event; a partition without events has no file."
        raws = texts(events, "raw")
        is_as_told = state is not None and (len(raws), merkle_root(raws)) == (state.rows, state.merkle_root)
        if state and not is_as_told:
            yield f"It holds other events than the ledger says ({len(raws)} rows, {state.rows} expected)."
        yield from _column_faults(events, derived)
        yield from self._row_faults(events, path, partition)
        if is_as_told and self.entries is not None:
            yield from self._origin_faults(events)

    def _row_faults(self, events: pa.Table, path: Path, partition: str) -> Iterator[str]:
        keys = events.select(["effective_at", "id"])
        if not keys.equals(keys.sort_by(ORDER)):
            yield "Its rows are not sorted by effective_at and id."
        if strays := sum(rows for found, rows in self.grain.partitions_of(events).items() if found != partition):
            yield f"{strays} of its rows belong to another {self.grain.name}."
        ids = texts(events, "id")
        if doubled := len(ids) - len(set(ids)):
            yield f"{doubled} of its rows repeat an id."
        wanted = fingerprints(ids)
        if elsewhere := len(self._held_before(ids, wanted)):
            yield f"{elsewhere} of its ids have a row in an older partition too."
        self.ids.put(*self.ids.joined(wanted))
        self.files.append(path)

    def _held_before(self, ids: Sequence[str], wanted: NDArray[np.uint64]) -> set[str]:
        """Return which ids a partition before this one holds, too; of those that may, look."""
        suspects = set(self.ids.may_hold(ids, wanted))
        held = (texts(read_partition(file, path=file, columns=["id"]), "id") for file in self.files if suspects)
        return suspects.intersection(itertools.chain.from_iterable(held))

    def _origin_faults(self, events: pa.Table) -> Iterator[str]:
        """Check how the rows came, which no text tells: with which entry and when, and that none was removed."""
        if any(events[name].null_count for name in _STAMPS):
            yield "Some of its rows do not say with which entry they came, or when."
            return
        unknown = early = 0
        for number, at, rows in _origins(events):
            self.brought[number] += rows
            if number not in self._latest:
                unknown += rows
            elif at > self._latest[number]:
                early += rows
        if unknown:
            yield f"{unknown} of its rows name an entry that does not exist, or that adds no events."
        if early:
            yield f"{early} of its rows were first seen after the entry that they came with was written."
        if back := sum(self._removed.rows(events)):
            yield f"{back} of its rows were removed, by expiry or erasure, and are here again."

    @cached_property
    def _latest(self) -> Mapping[int, datetime]:
        """When what came with an entry can have been seen at the latest, by its number."""
        return {entry.number: entry.finished_at + CLOCK_GRACE for entry in self.entries or () if entry.kind in ADDING}

    @cached_property
    def _removed(self) -> Removed:
        return removed_by(self.entries or ())


def _origins(events: pa.Table) -> Iterator[tuple[int, datetime, int]]:
    """Yield with which entry rows came, when, and how many of them did."""
    came = events.group_by(["snapshot", "first_seen_at"]).aggregate([([], "count_all")])
    yield from zip(
        came["snapshot"].to_pylist(), instants(came, "first_seen_at"), came["count_all"].to_pylist(), strict=True
    )


def _column_faults(events: pa.Table, derived: pa.Table | None) -> Iterator[str]:
    """Name each column that differs from what follows from ``raw``."""
    if empty := sum(events[name].null_count for name in ("id", "effective_at", "raw")):
        yield f"{empty} of its ids, times or texts are null."
        return
    if derived is None or derived["raw"] != events["raw"]:
        derived = flatten_texts(raw.encode() for raw in texts(events, "raw")).events
    if len(derived) != len(events):
        yield f"{len(events) - len(derived)} of its rows could not be derived from their texts."
        return
    differing = [name for name in events.schema.names if name not in PROVENANCE and events[name] != derived[name]]
    if differing:
        yield f"Columns do not follow from the events' texts: {', '.join(differing)}."
