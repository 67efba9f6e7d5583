"""The lake: a folder of partitioned Parquet that any engine can read and that can prove what it holds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pyarrow as pa

from auditframe.catalogue import SCOPES, catalogue
from auditframe.errors import LakeError, ParameterError, WindowError
from auditframe.lake.events import Events
from auditframe.lake.journal import read_walks
from auditframe.lake.layout import GRAINS, Layout, layout_at, open_layout
from auditframe.lake.ledger import coverage, read_ledger
from auditframe.lake.presence import present_partitions
from auditframe.lake.prove import Proof, prove
from auditframe.lake.quarantine import read_quarantine
from auditframe.lake.unread import warn_of
from auditframe.lake.verify import Fault, verify
from auditframe.lake.writer import open_writer
from auditframe.schema import COLUMNS
from auditframe.text import inert
from auditframe.window import ALWAYS, parse_instant, parse_window

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Mapping

    import pandas as pd

    from auditframe.flatten import Flattened
    from auditframe.lake.journal import Walk
    from auditframe.lake.records import Counts, Entry
    from auditframe.lake.writer import Writer
    from auditframe.window import Instant, Window

__all__ = ["Events", "Fault", "Lake", "Proof"]


class Lake:
    """A folder of events: one Parquet file a UTC day or month, a ledger, and what could not be placed.

    Opening reads nothing but the description; a folder that does not exist yet becomes a lake with the
    first write.

    Args:
        path: The folder.
        partition: How long a time one file holds, of a lake that is made now: None for a day. A month suits a log of
            some thousand events a day that is kept for years.

    Raises:
        LakeVersionError: The lake has a format that this version does not read.
        LakeError: The lake has other partitions, or there are none such, or the path is an object store's; this
            version keeps lakes on local disks.
    """

    def __init__(self, path: str | Path, *, partition: Literal["day", "month"] | None = None) -> None:
        if "://" in str(path):
            raise LakeError(f"{path} is no folder. Lakes on object storage are not supported yet.", path=Path(path))
        self.path = Path(path)
        if partition not in {None, *GRAINS}:
            raise LakeError(f"A partition is a {' or a '.join(GRAINS)}, not a {partition!r}.", path=self.path)
        self._partition = partition
        self._layout = open_layout(self.path, partition) if self.exists() else Layout(self.path)

    def __repr__(self) -> str:
        return f"Lake({str(self.path)!r})"

    def exists(self) -> bool:
        """Whether there is a lake at the path.

        Raises:
            LakeCorruptError: Nobody can tell, because a folder cannot be looked into.
        """
        return Layout(self.path).exists()

    @property
    def events(self) -> Events:
        """Every event of the lake, as it stands now.

        Raises:
            LakeNotFoundError: There is no lake at the path.
            LakeCorruptError: A partition is missing that the ledger says holds events.
        """
        return self._seen(ALWAYS)

    def partitions(self) -> dict[str, Path]:
        """Return the file of each partition that has one, by its UTC day or month in ISO form, oldest first."""
        return layout_at(self.path, self._partition).partitions()

    def window(self, start: Instant | None = None, end: Instant | None = None) -> Events:
        """See only a half-open window ``[start, end)``; None leaves a side open.

        A warning tells of what nobody has read whole of the window: an answer without a row says nothing of that. An
        end that is left open asks for no more than a snapshot a day will have read.

        Raises:
            LakeNotFoundError: There is no lake at the path.
            LakeCorruptError: A partition of the window is missing that the ledger says holds events.
        """
        events = self._seen(parse_window(start, end))
        warn_of(events.unread, self.path, stacklevel=3)
        return events

    def sql(self, query: str, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Ask one SELECT over ``events`` and get a DataFrame; see `Events.sql`."""
        return self.events.sql(query, params)

    def arrow(self, query: str, params: Mapping[str, Any] | None = None) -> pa.Table:
        """Ask one SELECT over ``events`` and get an Arrow table; see `Events.sql`."""
        return self.events.arrow(query, params)

    def to_arrow(self) -> pa.Table:
        """Return all events, ordered by ``effective_at``, then ``id``."""
        return self.events.to_arrow()

    def to_pandas(self) -> pd.DataFrame:
        """Return all events as a DataFrame, ordered by ``effective_at``, then ``id``."""
        return self.events.to_pandas()

    def append(self, arriving: Flattened) -> Counts:
        """Merge flattened events into the lake and leave one ledger entry of kind ``import``.

        Args:
            arriving: What `flatten` returned, its quarantine included.

        Returns:
            What became of the events; appending them again adds nothing.
        """
        with self.writer() as writer:
            writer.add(arriving)
            return writer.commit("import").counts

    def writer(self) -> contextlib.AbstractContextManager[Writer]:
        """Hold the lake open for writing; for collectors that add piece by piece and commit once."""
        return open_writer(self.path, partition=self._partition)

    def ledger(self) -> tuple[Entry, ...]:
        """Read every ledger entry, oldest first.

        Raises:
            LakeCorruptError: An entry was changed, is missing or cannot be read.
        """
        return read_ledger(self._opened())

    def coverage(self, scope: str) -> tuple[Window, ...]:
        """Return the windows of a scope that the ledger proves were read whole; disjoint, oldest first.

        Raises:
            LakeError: There is no such scope.
        """
        if scope not in SCOPES:
            raise LakeError(f"There is no scope {scope!r}. It is {' or '.join(SCOPES)}.", path=self.path)
        return coverage(self.ledger(), scope) if self.exists() else ()

    def quarantine(self) -> pd.DataFrame:
        """Return what arrived but could not be placed.

        Returns:
            One row an item, oldest snapshot first: snapshot, kind (``unplaced`` or ``mutation``), event_id,
            field, reason, text (null when not UTF-8, then base64 holds the bytes), sha256, scope, quarantined_at.
        """
        found = read_quarantine(self._opened())
        rows = [{"snapshot": number} | msgspec.structs.asdict(kept) for number, kept in found]
        return pa.Table.from_pylist(rows, schema=pa.schema(QUARANTINE_TYPES)).to_pandas()

    def walks(self) -> tuple[Walk, ...]:
        """Return the windows that snapshots began and could not read to their end."""
        return tuple(walk for walk in read_walks(self._layout) if not walk.is_whole)

    def verify(self, *, anchor: str | None = None) -> tuple[Fault, ...]:
        """Read every byte again and name each fault; empty when there is none.

        Args:
            anchor: The hash of an entry, kept elsewhere; a lake that was rolled back or rewritten since does not
                hold it any more.

        Returns:
            The ledger's faults and the gaps in coverage first, then those of files, oldest partition first.

        Raises:
            LakeNotFoundError: There is no lake at the path.
            ParameterError: The anchor is no hash.
            LakeLockedError: A run is writing, so that its changes cannot be told from faults.
        """
        try:
            layout = self._opened()
        except LakeError:
            if not self._layout.ledger.exists():
                raise
            layout = self._layout if self.exists() else layout_at(self.path)  # a fault among others
        return verify(layout, anchor=anchor)

    def prove(self, event_id: str) -> Proof:
        """Prove that an event stands in the lake, for whoever keeps the hash of an entry and nothing else.

        Args:
            event_id: The column ``id`` of its row.

        Raises:
            LakeError: There is no row of this id; the message says whether it is in quarantine or was erased.
            LakeCorruptError: The event's partition is not what the ledger says.
            LakeLockedError: A run is changing the event's partition.
        """
        return prove(self._opened(), event_id)

    def retry_quarantine(self) -> Counts:
        """Try again to place what could not be placed, for example after an upgrade.

        Returns:
            What became of it: received is how many were tried, new how many are rows now.
        """
        self._opened()
        with self.writer() as writer:
            return writer.retry_quarantine().counts

    def rebuild(self) -> Entry | None:
        """Derive every column anew from ``raw``, for example when columns or catalogue have grown.

        Returns:
            The ledger entry; None when every partition is as it should be. Ids, ``raw``, ``first_seen_at`` and Merkle
            roots stay.
        """
        self._opened()
        with self.writer() as writer:
            return writer.rebuild()

    def expire(self, before: Instant, *, reason: str = "retention") -> Entry:
        """Remove every event before an instant, and what was quarantined before it; a tombstone stays.

        Args:
            before: The first instant that is kept.
            reason: Why; it stands in the ledger for good, so no personal data belongs in it.

        Returns:
            The ledger entry. Nothing older is taken into this lake again.

        Raises:
            WindowError: The instant lies in the future, so that the lake would take no event until then.
        """
        instant = parse_instant(before)
        if instant > datetime.now(UTC):
            raise WindowError(f"{instant:%F %T}Z lies in the future; the lake would take no event any more until then.")
        self._opened()
        with self.writer() as writer:
            return writer.expire(before=instant, reason=inert(reason))

    def erase(self, *names: str, reason: str) -> Entry:
        """Remove every event and quarantined item that names somebody anywhere; a tombstone stays.

        Args:
            names: E-mail addresses or ids, in any letter case. An event that knows the person by another name
                only is not found.
            reason: Why; it stands in the ledger for good, so no personal data belongs in it.

        Returns:
            The ledger entry. The removed events are not taken into this lake again.

        Raises:
            LakeError: No name was given, or an empty one, or a word of the API's own that nearly every event holds.
            ParameterError: The reason names whom to erase, and it would stay for good.
        """
        if not names or not all(name.strip() for name in names):
            raise LakeError("Name whom to erase: an e-mail address or an id.", path=self.path)
        if common := sorted({name.strip() for name in names if name.strip().lower() in _OWN_WORDS}):
            words = ", ".join(common)
            raise LakeError(f"{words}: that is the API's own word, which names nobody. Give an id.", path=self.path)
        if any(name.strip().casefold() in reason.casefold() for name in names):
            raise ParameterError(
                "The reason names whom to erase, and it stays for good. Give a ticket's number instead.", report=None
            )
        self._opened()
        with self.writer() as writer:
            return writer.erase(names=names, reason=inert(reason))

    def _seen(self, asked: Window) -> Events:
        files, unread = present_partitions(self._opened(), asked)
        return Events(files=tuple(files.values()), span=asked, lake=self.path, unread=unread)

    def _opened(self) -> Layout:
        """Open the lake anew: another process may have made it, or made it anew, since this object was."""
        self._layout = open_layout(self.path, self._partition)
        return self._layout


_OWN_WORDS = frozenset(
    {key for column in COLUMNS for path in column.paths for key in path.split("/")}
    | {"session", "api_key", "user", "service_account", "owner", "member", "reader", "project", "true", "false", "null"}
    | set(catalogue())
)

QUARANTINE_TYPES: dict[str, pa.DataType] = {
    "snapshot": pa.int64(),
    "kind": pa.string(),
    "event_id": pa.string(),
    "field": pa.string(),
    "reason": pa.string(),
    "text": pa.string(),
    "base64": pa.string(),
    "sha256": pa.string(),
    "scope": pa.string(),
    "quarantined_at": pa.timestamp("us", tz="UTC"),
}
"""The columns of `Lake.quarantine`."""
