"""The one writer of a lake: merges what arrives into its partitions, then leaves one ledger entry."""

from __future__ import annotations

import base64
import contextlib
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from auditframe.catalogue import SCOPES
from auditframe.errors import LakeCorruptError
from auditframe.lake.events import Events
from auditframe.lake.index import Fingerprints
from auditframe.lake.layout import Description, days_of, read_description
from auditframe.lake.ledger import Counts, Entry, PartitionState, coverage, read_ledger, write_entry
from auditframe.lake.merge import merge, sort_arrivals, texts
from auditframe.lake.merkle import merkle_root
from auditframe.lake.parquet import encode_partition, read_partition
from auditframe.lake.storage import make_folder, put, put_new, uninterrupted, writer_lock
from auditframe.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from auditframe.flatten import Flattened, Quarantined
    from auditframe.lake.layout import Layout
    from auditframe.lake.ledger import Collected

_STORED = "SELECT id, raw FROM events SEMI JOIN arriving USING (id)"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a quarantine file.

    Attributes:
        kind: ``unplaced`` for what could not become a row, ``mutation`` for another payload of a known id.
        event_id: Null when it has no usable one.
        field: The field that is missing or unusable; "" when the whole text is.
        reason: Why it is here, as a sentence.
        text: What arrived; of bytes that are not UTF-8, null.
        base64: These bytes; else null.
        sha256: The hash of what arrived.
        quarantined_at: When.
    """

    kind: Literal["unplaced", "mutation"]
    event_id: str | None
    field: str
    reason: str
    text: str | None
    base64: str | None
    sha256: str
    quarantined_at: datetime


class Writer:
    """A lake held open for writing; get one from `open_writer`.

    Attributes:
        number: The number of the entry that this writer will leave.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        entries = read_ledger(layout)
        self._previous = entries[-1] if entries else None
        self._covered = {scope: coverage(entries, scope) for scope in SCOPES}
        self._started_at = datetime.now(UTC)
        self._touched = _unfinished(layout)
        self._kept = {kept.sha256 for _, kept in read_quarantine(layout)}
        self._counts = Counts()
        self._ids = Fingerprints()
        self._ids.add(texts(_events(layout).arrow("SELECT id FROM events"), "id"))
        self.number = self._previous.number + 1 if self._previous else 1

    @property
    def counts(self) -> Counts:
        """What became of everything added so far."""
        return self._counts

    @uninterrupted()
    def add(self, arriving: Flattened) -> Counts:
        """Merge events into their partitions, oldest first, and keep aside what has no place.

        Each partition is replaced whole; a crash leaves every partition either old or new, and adding the
        same events again completes what is missing.

        Returns:
            What became of these events.
        """
        arrivals = sort_arrivals(arriving.events, self._stored(arriving.events))
        self._touch(set(days_of(arriving.events)))
        for day, rows in _by_day(self._stamped(arrivals.new)):
            self._merge_into(day, rows)
            self._ids.add(texts(rows, "id"))
        self._keep(_kept("unplaced", item) for item in arriving.quarantine)
        self._keep(_kept("mutation", item) for item in arrivals.mutations)
        counts = Counts(
            received=len(arriving.events) + len(arriving.quarantine),
            new=len(arrivals.new),
            known=arrivals.known,
            mutated=len(arrivals.mutations),
            quarantined=len(arriving.quarantine),
            late=self._late(arrivals.new),
        )
        self._counts += counts
        return counts

    @uninterrupted()
    def commit(self, kind: Literal["snapshot", "import"], collected: Sequence[Collected] = ()) -> Entry:
        """Leave the ledger entry that proves what was added."""
        entry = Entry(
            number=self.number,
            kind=kind,
            started_at=self._started_at,
            finished_at=datetime.now(UTC),
            collected=list(collected),
            counts=self._counts,
            partitions=[self._state(day) for day in sorted(self._touched) if self._layout.partition_file(day).exists()],
            previous=self._previous.hash if self._previous else None,
        )
        written = write_entry(self._layout, entry)
        self._layout.intent.unlink(missing_ok=True)
        return written

    def _touch(self, days: set[str]) -> None:
        """Note, before they change, which partitions the next entry must speak of, should this run be killed."""
        if not days <= self._touched:
            self._touched |= days
            put(msgspec.json.encode(sorted(self._touched)), self._layout.intent, staging=self._layout.staging)

    def _stored(self, arriving: pa.Table) -> dict[str, str]:
        """Find the arriving ids that the lake holds: an id has one row, whatever day it comes back with."""
        wanted = set(self._ids.may_hold(texts(arriving, "id")))
        found: dict[str, str] = {}
        for day in sorted(set(days_of(arriving))) if wanted else ():
            path = self._layout.partition_file(day)
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
        seen_at = pc.fill_null(new["first_seen_at"], pa.scalar(self._started_at, schema.field(seen).type))
        numbers = pa.array([self.number] * len(new), pa.int64())
        return new.set_column(seen, schema.field(seen), seen_at).set_column(snapshot, schema.field(snapshot), numbers)

    def _merge_into(self, day: str, rows: pa.Table) -> None:
        path = self._layout.partition_file(day)
        there = read_partition(path, path=path) if path.exists() else arrow_schema().empty_table()
        put(encode_partition(merge(there, rows)), path, staging=self._layout.staging)

    def _state(self, day: str) -> PartitionState:
        path = self._layout.partition_file(day)
        data = path.read_bytes()
        raws = texts(read_partition(data, path=path, columns=["raw"]), "raw")
        return PartitionState(
            partition=day, rows=len(raws), merkle_root=merkle_root(raws), sha256=sha256(data).hexdigest()
        )

    def _keep(self, items: Iterable[Kept]) -> None:
        """Add lines to this entry's quarantine file; what an earlier one holds is not held twice."""
        fresh = {kept.sha256: kept for kept in items if kept.sha256 not in self._kept}
        if not fresh:
            return
        path = self._layout.quarantine_file(self.number)
        there = path.read_bytes() if path.exists() else b""
        lines = b"".join(msgspec.json.encode(kept) + b"\n" for kept in fresh.values())
        put(there + lines, path, staging=self._layout.staging)
        self._kept |= fresh.keys()

    def _late(self, new: pa.Table) -> int:
        """Count the new events inside windows that an earlier snapshot had read whole."""
        placed = zip(new["scope"].to_pylist(), new["effective_at"].to_pylist(), strict=True)
        return sum(
            any(instant in window for window in self._covered.get(scope, ()))
            for scope, instant in placed
            if scope is not None and instant is not None
        )


@contextlib.contextmanager
def open_writer(layout: Layout) -> Iterator[Writer]:
    """Take the lake's only writer's place; a folder that is no lake yet becomes one.

    Raises:
        LakeLockedError: Another process is writing.
        LakeVersionError: The lake has another format.
        LakeCorruptError: The ledger is broken; see `verify`.
    """
    if layout.description.exists():
        read_description(layout)
    make_folder(layout.root)
    with writer_lock(layout.lock):
        if not layout.description.exists():
            _found_lake(layout)
        for leftover in layout.staging.iterdir():
            if leftover not in (layout.lock, layout.intent):
                leftover.unlink()  # a killed writer's unfinished file
        yield Writer(layout)


def read_quarantine(layout: Layout) -> Iterator[tuple[int, Kept]]:
    """Yield every quarantined item with the number of the entry that met it, oldest entry first.

    Raises:
        LakeCorruptError: A line is not what the lake wrote.
    """
    for path in sorted(layout.quarantine.glob("*.jsonl")):
        try:
            items = msgspec.json.Decoder(Kept).decode_lines(path.read_bytes())
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise LakeCorruptError(f"{path} is not what the lake wrote: {error}.", path=path) from error
        for item in items:
            yield int(path.stem), item


def _unfinished(layout: Layout) -> set[str]:
    """Return the partitions that a killed run may have changed without leaving an entry."""
    try:
        return set(msgspec.json.decode(layout.intent.read_bytes(), type=list[str]))
    except FileNotFoundError:
        return set()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return set(layout.partitions())  # damaged: speak of every one


def _found_lake(layout: Layout) -> None:
    for folder in (layout.events, layout.ledger, layout.quarantine):
        make_folder(folder)
    with contextlib.suppress(FileExistsError):
        put_new(msgspec.json.encode(Description()), layout.description, staging=layout.staging)


def _events(layout: Layout) -> Events:
    return Events(files=tuple(layout.partitions().values()))


def _by_id(rows: pa.Table) -> dict[str, str]:
    return dict(zip(texts(rows, "id"), texts(rows, "raw"), strict=True))


def _by_day(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Cut rows at UTC midnights, oldest day first."""
    days = days_of(rows)
    for day in sorted(set(days)):
        yield day, rows.filter(pa.array([found == day for found in days], pa.bool_()))


def _kept(kind: Literal["unplaced", "mutation"], item: Quarantined) -> Kept:
    try:
        text, encoded = item.text.decode(), None
    except UnicodeDecodeError:
        text, encoded = None, base64.b64encode(item.text).decode()
    return Kept(
        kind=kind,
        event_id=item.event_id,
        field=item.field,
        reason=item.reason,
        text=text,
        base64=encoded,
        sha256=sha256(item.text).hexdigest(),
        quarantined_at=datetime.now(UTC),
    )
