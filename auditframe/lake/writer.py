"""The one writer of a lake: merges what arrives into its partitions, then leaves one ledger entry."""

from __future__ import annotations

import contextlib
import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from auditframe.errors import LakeError
from auditframe.flatten import Flattened, flatten_texts, in_columns, place
from auditframe.lake.account import covered_by, late_rows, lateness_s, leave_entry, recover
from auditframe.lake.derive import current, derived_ahead, rebuilt
from auditframe.lake.events import Events
from auditframe.lake.held import check_held, read_held
from auditframe.lake.index import Index
from auditframe.lake.journal import Journal, drop_walk, read_walks, write_journal, write_walk
from auditframe.lake.layout import Description, layout_at
from auditframe.lake.ledger import current_partitions, vanished
from auditframe.lake.merge import in_order, inside, instants, merge, sort_arrivals, texts
from auditframe.lake.parquet import encode_partition, read_partition
from auditframe.lake.quarantine import Kept, add_quarantine, kept, read_quarantine, write_quarantine
from auditframe.lake.records import Counts
from auditframe.lake.removal import carry_out, plan_erasure, plan_expiry, removed_by
from auditframe.lake.storage import make_folder, put, put_new, uninterrupted, writer_lock
from auditframe.parallel import spread
from auditframe.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
    from pathlib import Path

    from auditframe.fingerprints import Fingerprints
    from auditframe.lake.journal import Walk
    from auditframe.lake.layout import Grain, Layout
    from auditframe.lake.records import Collected, Entry, Kind, Span
    from auditframe.window import Window

_STORED = "SELECT id, raw FROM events SEMI JOIN arriving USING (id)"
_ITEMS_AT_ONCE = 10_000
_NAMES_OF_WALKS = ["id", "scope", "effective_at", "snapshot"]


class Writer:
    """A lake held open for writing; get one from `open_writer`.

    Attributes:
        entries: The ledger as it was found, oldest entry first.
        number: The number of the entry that this writer will leave.
    """

    def __init__(self, layout: Layout, entries: Sequence[Entry]) -> None:
        self._layout = layout
        self._grain = layout.grain
        self.entries = entries
        self.number = len(self.entries) + 1
        self._states = current_partitions(self.entries)
        self._checked: set[str] = set()
        self._is_torn = False
        self._covered = covered_by(self.entries)
        self._removed = removed_by(self.entries)
        self._journal = Journal(
            number=self.number, kind="import", started_at=datetime.now(UTC), touched=[], quarantine=[]
        )
        self._kept: set[str] = set()
        self._mutated: set[tuple[str, datetime]] = set()
        held = (item for _, item in read_quarantine(layout))
        while some := list(itertools.islice(held, _ITEMS_AT_ONCE)):
            self._remember(some)
        self._counts = Counts()
        self._lateness_s: int | None = None
        self._ids = Index(layout, self.entries)

    @property
    def counts(self) -> Counts:
        """What became of everything added so far."""
        return self._counts

    @uninterrupted()
    def add(self, arriving: Flattened) -> Counts:
        """Merge events into their partitions, and keep aside what has no place.

        Partitions are begun oldest first, several at once where there are many. Each is replaced whole; a crash, or an
        error, leaves every partition either old or new. The next writer speaks for what was added by then, and adding
        the same events again completes what is missing.

        Returns:
            What became of these events.

        Raises:
            LakeCorruptError: A partition that they belong to is not as the ledger says.
            LakeError: They cannot be written, or an earlier `add` of this writer failed.
        """
        self._check_whole()
        received = len(arriving.events) + len(arriving.quarantine)
        arriving = self._removed.without(arriving)
        touched = self._grain.partitions_of(arriving.events).keys()
        self._check_held(touched)
        arrivals = sort_arrivals(arriving.events, self._stored(arriving.events))
        items = [kept("unplaced", item) for item in arriving.quarantine]
        items += [kept("mutation", item) for item in arrivals.mutations]
        self._note(touched=touched, quarantine={self.number} if items else set())
        new = self._stamped(arrivals.new)
        self._is_torn = True
        self._ids.add(texts(new, "id"), number=self.number)
        spread(self._merge_into, list(_cut(new, self._grain)))
        self._keep(items)
        late = late_rows(new, self._covered)
        self._lateness_s = _longer(self._lateness_s, lateness_s(late))
        counts = Counts(
            received=received,
            new=len(new),
            known=arrivals.known,
            mutated=len(arrivals.mutations),
            quarantined=len(arriving.quarantine),
            erased=received - len(arriving.events) - len(arriving.quarantine),
            late=len(late),
        )
        self._counts += counts
        self._is_torn = False
        return counts

    @uninterrupted()
    def commit(self, kind: Kind, collected: Sequence[Collected] = ()) -> Entry:
        """Leave the ledger entry that proves what was added."""
        self._check_whole()
        journal = msgspec.structs.replace(self._journal, kind=kind)
        return leave_entry(
            self._layout,
            journal,
            self.entries,
            collected=collected,
            counts=self._counts,
            lateness_s=self._lateness_s,
        )

    def plan(self, windows: Mapping[str, Sequence[Span]]) -> None:
        """Put down what a snapshot is going to read of each scope, should it be killed before it has."""
        self._journal = msgspec.structs.replace(
            self._journal, kind="snapshot", planned={scope: list(spans) for scope, spans in windows.items()}
        )
        write_journal(self._layout, self._journal)

    def walks(self) -> tuple[Walk, ...]:
        """Return the windows that earlier runs cut short."""
        return tuple(walk for walk in read_walks(self._layout) if not walk.is_whole)

    @uninterrupted()
    def note(self, *walks: Walk, instead_of: Walk | None = None) -> None:
        """Put down how far windows were read; what they brought must have been added before.

        Without a walk it says only that what is added comes from the endpoint.
        """
        self._note(kind="snapshot")
        for walk in walks:
            write_walk(self._layout, msgspec.structs.replace(walk, number=self.number))
        if instead_of is not None and instead_of.window not in {walk.window for walk in walks}:
            drop_walk(self._layout, instead_of)

    def missing(self, scope: str, window: Window, returned: Fingerprints) -> list[str]:
        """Return the ids of a window that an earlier snapshot brought and that were not returned now.

        An event that came again with a time outside the window is a mutation, and not missing.
        """
        numbers = [entry.number for entry in self.entries if entry.kind == "snapshot" or entry.collected]
        if not numbers:
            return []
        snapshots = pa.array(numbers, pa.int64())
        moved = {id_ for id_, at in self._mutated if at not in window}
        found: list[str] = []
        for path in self._layout.partitions(window).values():
            rows = inside(read_partition(path, path=path, columns=_NAMES_OF_WALKS), window)
            is_own = pc.and_(pc.equal(rows["scope"], pa.scalar(scope)), pc.is_in(rows["snapshot"], snapshots))
            ids = texts(rows.filter(is_own), "id")
            came_again = set(returned.may_hold(ids))
            found += [id_ for id_ in ids if id_ not in came_again]
        return [id_ for id_ in found if id_ not in moved]

    def vanished(self) -> dict[str, str]:
        """Return the scope of each event that the endpoint did not return any more, by id."""
        return vanished(self.entries)

    def retry_quarantine(self) -> Entry:
        """Try again to place what could not be placed; what can be now becomes a row."""
        held = list(read_quarantine(self._layout))
        tried = [item for _, item in held if item.kind == "unplaced"]
        still = {item.sha256 for item in tried if flatten_texts([item.content]).quarantine}
        changed = {number for number, item in held if item.kind == "unplaced" and item.sha256 not in still}
        self._note(quarantine=changed, kind="retry")
        self._kept -= {item.sha256 for item in tried if item.sha256 not in still}  # it may come back as a mutation
        again = (place([item.content], scope=item.scope, seen_at=item.quarantined_at) for item in tried)
        while some := list(itertools.islice(again, _ITEMS_AT_ONCE)):
            self.add(in_columns(some))
        for number in sorted(changed):
            items = [item for found, item in held if found == number]
            left = [item for item in items if item.kind == "mutation" or item.sha256 in still]
            write_quarantine(self._layout, number, left)
        return self.commit("retry")

    def rebuild(self) -> Entry | None:
        """Derive every partition anew from ``raw``; None when each is as it should be."""
        partitions = self._layout.partitions()
        for partition, (path, derived) in zip(partitions, derived_ahead(partitions.values()), strict=True):
            data = rebuilt(read_held(path, self._states.get(partition)), path=path, derived=derived)
            if data is not None:
                self._note(touched={partition}, kind="rebuild")
                put(data, path, staging=self._layout.staging)
        return self.commit("rebuild") if self._journal.touched else None

    def expire(self, *, before: datetime, reason: str) -> Entry:
        """Remove every event before an instant, and leave a tombstone."""
        return self._remove(plan_expiry(self._layout, self.entries, before=before, reason=reason))

    def erase(self, *, names: Sequence[str], reason: str) -> Entry:
        """Remove every event that names somebody, and leave a tombstone."""
        return self._remove(plan_erasure(self._layout, self.entries, names=names, reason=reason))

    @uninterrupted()
    def _remove(self, journal: Journal) -> Entry:
        write_journal(self._layout, journal)
        carry_out(self._layout, journal)
        return leave_entry(self._layout, journal, self.entries)

    def _check_held(self, touched: Set[str]) -> None:
        """Hold partitions against the ledger before the entry of this run speaks of them, even where nothing is new."""
        for partition in touched - self._checked:
            check_held(self._layout.partition_file(partition), self._states.get(partition))
            self._checked.add(partition)

    def _check_whole(self) -> None:
        if self._is_torn:
            raise LakeError(
                f"What was added to the lake at {self._layout.root} is not complete, and nothing can be built on it. "
                "Open the lake anew: the next writer speaks for what is there, and the rest can be added again.",
                path=self._layout.root,
            )

    def _note(
        self, *, touched: Collection[str] = (), quarantine: Collection[int] = (), kind: Kind | None = None
    ) -> None:
        """Note, before they change, what the next entry must speak of, should this run be killed."""
        noted = msgspec.structs.replace(
            self._journal,
            touched=sorted({*self._journal.touched, *touched}),
            quarantine=sorted({*self._journal.quarantine, *quarantine}),
            kind=kind or self._journal.kind,
        )
        if noted != self._journal or not self._layout.journal.exists():
            self._journal = noted
            write_journal(self._layout, noted)

    def _stored(self, arriving: pa.Table) -> dict[str, str]:
        """Find the arriving ids that the lake holds: an id has one row, whatever time it comes back with."""
        wanted = set(self._ids.may_hold(texts(arriving, "id")))
        found: dict[str, str] = {}
        for partition in self._grain.partitions_of(arriving) if wanted else ():
            path = self._layout.partition_file(partition)
            if path.exists():
                rows = read_partition(path, path=path, columns=["id", "raw"])
                found |= {id_: raw for id_, raw in _by_id(rows).items() if id_ in wanted}
        if elsewhere := wanted - found.keys():
            named = {"arriving": pa.table({"id": pa.array(sorted(elsewhere), pa.string())})}
            found |= _by_id(_events(self._layout).arrow(_STORED, beside=named))
        return found

    def _stamped(self, new: pa.Table) -> pa.Table:
        schema = arrow_schema()
        seen, snapshot = schema.get_field_index("first_seen_at"), schema.get_field_index("snapshot")
        seen_at = pc.fill_null(new["first_seen_at"], pa.scalar(self._journal.started_at, schema.field(seen).type))
        numbers = pa.array([self.number] * len(new), pa.int64())
        return new.set_column(seen, schema.field(seen), seen_at).set_column(snapshot, schema.field(snapshot), numbers)

    def _merge_into(self, part: tuple[str, pa.Table]) -> None:
        partition, rows = part
        path = self._layout.partition_file(partition)
        there = read_partition(path, path=path) if path.exists() else arrow_schema().empty_table()
        put(encode_partition(merge(current(there, path=path), rows)), path, staging=self._layout.staging)

    def _keep(self, items: Iterable[Kept]) -> None:
        """Add lines to this entry's quarantine file; what an earlier one holds is not held twice."""
        fresh = {item.sha256: item for item in items if item.sha256 not in self._kept}
        if fresh:
            add_quarantine(self._layout, self.number, fresh.values())
            self._remember(fresh.values())

    def _remember(self, items: Collection[Kept]) -> None:
        self._kept |= {item.sha256 for item in items}
        self._mutated |= set(_placed(items))


@contextlib.contextmanager
def open_writer(root: Path, *, partition: str | None = None) -> Iterator[Writer]:
    """Take the lake's only writer's place; a folder that is no lake yet becomes one.

    Args:
        root: The folder.
        partition: The grain that is asked for; None for that of the lake, or a day for a new one.

    Raises:
        LakeLockedError: Another process is writing.
        LakeVersionError: The lake has another format.
        LakeCorruptError: The ledger is broken; see `verify`.
        LakeError: The lake has another grain than is asked for.
    """
    layout = layout_at(root, partition)
    make_folder(root)
    with writer_lock(layout.lock):
        layout = layout_at(root, partition)  # another process may have made the lake since
        if not layout.exists():
            _found_lake(layout)
        for leftover in layout.staging.iterdir():
            if leftover not in (layout.lock, layout.journal) and not leftover.is_dir():  # a folder is no writer's
                leftover.unlink()  # a killed writer's unfinished file
        yield Writer(layout, recover(layout))


def _longer(one: int | None, other: int | None) -> int | None:
    return max((each for each in (one, other) if each is not None), default=None)


def _found_lake(layout: Layout) -> None:
    for folder in (layout.events, layout.ledger, layout.quarantine):
        make_folder(folder)
    with contextlib.suppress(FileExistsError):
        put_new(
            msgspec.json.encode(Description(partition=layout.grain.name)), layout.description, staging=layout.staging
        )


def _events(layout: Layout) -> Events:
    return Events(files=tuple(layout.partitions().values()))


def _placed(items: Iterable[Kept]) -> Iterator[tuple[str, datetime]]:
    """Return the id and the time of each mutation."""
    events = flatten_texts(item.content for item in items if item.kind == "mutation").events
    return zip(texts(events, "id"), instants(events, "effective_at"), strict=True)


def _by_id(rows: pa.Table) -> dict[str, str]:
    return dict(zip(texts(rows, "id"), texts(rows, "raw"), strict=True))


def _cut(rows: pa.Table, grain: Grain) -> Iterator[tuple[str, pa.Table]]:
    """Cut rows where partitions begin, oldest partition first."""
    sorted_rows, start = in_order(rows), 0
    for partition, length in grain.partitions_of(rows).items():
        yield partition, sorted_rows.slice(start, length)
        start += length
