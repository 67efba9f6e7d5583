"""What the lake writes about itself: ledger entries and their parts. Canonical JSON, every record with its hash."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from hashlib import sha256
from typing import Literal, Self

import msgspec

from auditframe import __version__

Status = Literal["complete", "interrupted", "not_permitted"]
Kind = Literal["snapshot", "import", "retry", "rebuild", "expire", "erase", "recovery"]
Order = Literal["newest_first", "oldest_first"]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of an entry; unknown keys are refused, so nothing in it can go unhashed or unread."""


class Sealed(Record, frozen=True, kw_only=True):
    """A record that carries its own hash.

    Attributes:
        hash: The SHA-256 of the record's canonical JSON without this key.
    """

    hash: str = ""

    def sealed(self) -> Self:
        """Return the record with its hash."""
        return msgspec.structs.replace(self, hash=self.computed_hash())

    def computed_hash(self) -> str:
        """Return the hash that the record should carry."""
        content = {key: value for key, value in msgspec.to_builtins(self).items() if key != "hash"}
        return sha256(canonical(content)).hexdigest()


class Span(Record, frozen=True, kw_only=True):
    """A window as the ledger writes it.

    Attributes:
        start: The first instant inside; null means since the log began.
        end: The first instant after.
        asked_at: When the first page of its walk was asked for; null where only the entry says when.
    """

    start: datetime | None
    end: datetime
    asked_at: datetime | None = None


class Collected(Record, frozen=True, kw_only=True):
    """What one scope's pass over the endpoint brought.

    Attributes:
        scope: ``organization`` or ``tenant``.
        status: Whether every window was read whole.
        windows: The windows that were read whole, oldest first.
        pages: Pages received.
        first_request_id: The endpoint's id of the first page's request; null when it sent none.
        last_request_id: The same of the last page.
        order: In which order the endpoint listed events; null when no two of them showed it.
        outside: Events that came though they lie outside the window that was asked for; they are in the lake.
        vanished: The ids that an earlier snapshot brought and that a window read again did not return any more; each
            is named once. The events stay in the lake.
        returned: The ids named as vanished before that came again.
        unread: Of an interrupted pass, the windows that it was to read and did not read whole, oldest first. What no
            later entry covers of them is a gap, as far as coverage goes beyond it.
    """

    scope: str
    status: Status
    windows: list[Span]
    pages: int
    first_request_id: str | None
    last_request_id: str | None
    order: Order | None = None
    outside: int = 0
    vanished: list[str] = msgspec.field(default_factory=list)
    returned: list[str] = msgspec.field(default_factory=list)
    unread: list[Span] = msgspec.field(default_factory=list)


class Counts(Record, frozen=True, kw_only=True):
    """What became of the events that arrived: received = new + known + mutated + quarantined + erased.

    Attributes:
        received: Events that arrived.
        new: Of these, rows added.
        known: Events that were there already, with the same payload.
        mutated: Events whose id was there with another payload; kept in quarantine.
        quarantined: Events that could not be placed; kept in quarantine.
        erased: Events that were erased or had expired, and are not taken back.
        late: Of the new ones, those inside a window that an earlier snapshot had read whole.
    """

    received: int = 0
    new: int = 0
    known: int = 0
    mutated: int = 0
    quarantined: int = 0
    erased: int = 0
    late: int = 0

    @property
    def accounted(self) -> int:
        """The sum that must equal `received`."""
        return self.new + self.known + self.mutated + self.quarantined + self.erased

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})


class PartitionState(Record, frozen=True, kw_only=True):
    """One partition as an entry leaves it.

    Attributes:
        partition: Its UTC day or month, in ISO form.
        rows: Its events.
        merkle_root: The root over the events' ``raw``, in the partition's order.
        sha256: The hash of the file; null when the partition holds no event any more and has no file.
    """

    partition: str
    rows: int
    merkle_root: str
    sha256: str | None


class QuarantineState(Record, frozen=True, kw_only=True):
    """One quarantine file as an entry leaves it.

    Attributes:
        number: The entry whose run met what is in it.
        items: Its lines.
        sha256: The hash of the file; null when nothing is left and there is no file.
    """

    number: int
    items: int
    sha256: str | None


class Removal(Record, frozen=True, kw_only=True):
    """The tombstone of an ``expire`` or ``erase``: what is gone, without saying whose it was.

    Attributes:
        reason: Why, in the words of who asked for it.
        before: Of an expiry, the first instant that was kept; else null.
        events: Rows removed.
        items: Quarantined items removed.
        ids_sha256: Of an erasure, the SHA-256 of each removed event's id, sorted, so that none of them is taken back.
        items_sha256: The SHA-256 of each removed quarantined text, sorted, for the same end.
        partitions: The touched partitions as they were before, oldest first; the entry's own ``partitions`` say how
            they are now.
    """

    reason: str
    before: datetime | None
    events: int
    items: int
    ids_sha256: list[str]
    items_sha256: list[str]
    partitions: list[PartitionState]


class Entry(Sealed, frozen=True, kw_only=True):
    """One line of the ledger.

    Attributes:
        number: Its place, from 1.
        kind: ``snapshot`` from the endpoint; ``import`` of events from elsewhere; ``retry`` of the quarantine;
            ``rebuild`` of the columns; ``expire`` or ``erase`` of events; ``recovery`` of what a run had changed that
            was killed before it could leave its own entry.
        started_at: When the run began.
        finished_at: When the entry was written.
        software: Name and version of what wrote it.
        collected: The passes over the endpoint; empty unless the run was a snapshot.
        counts: What became of the events that arrived.
        lateness_s: The longest time from ``effective_at`` to ``first_seen_at`` of a late event [s], rounded up; null
            without late events.
        partitions: Every partition that an arriving event fell into, as it is now, oldest first.
        quarantine: Every quarantine file that changed, as it is now, oldest first.
        removal: The tombstone; null when nothing was removed.
        previous: The hash of the entry before; null for the first.
        hash: The SHA-256 of this entry's canonical JSON without this key.
    """

    number: int
    kind: Kind
    started_at: datetime
    finished_at: datetime
    collected: list[Collected]
    counts: Counts
    partitions: list[PartitionState]
    previous: str | None
    quarantine: list[QuarantineState] = msgspec.field(default_factory=list)
    lateness_s: int | None = None
    removal: Removal | None = None
    software: str = f"auditframe {__version__}"


def canonical(value: object) -> bytes:
    """Encode as JSON in the one way that is hashed: sorted keys, no white space, UTF-8."""
    return msgspec.json.encode(value, order="sorted")
