"""What arrived and has no row: one file of lines for each entry whose run met some."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

import msgspec

from auditframe.errors import LakeCorruptError
from auditframe.lake.faults import cause, open_regular, read_regular
from auditframe.lake.layout import listed
from auditframe.lake.records import QuarantineState
from auditframe.lake.storage import put, remove

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from auditframe.flatten import Quarantined
    from auditframe.lake.layout import Layout


class Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a quarantine file.

    Attributes:
        kind: ``unplaced`` for what could not become a row, ``mutation`` for another payload of a known id.
        event_id: Null when it has no usable one.
        field: The field that is missing or unusable; "" when the whole text is.
        reason: Why it is here, as a sentence.
        text: What arrived; of bytes that are not UTF-8, null.
        base64: These bytes; else null.
        sha256: The hash of what arrived.
        scope: The pass that brought it; null when nobody said.
        quarantined_at: When.
    """

    kind: Literal["unplaced", "mutation"]
    event_id: str | None
    field: str
    reason: str
    text: str | None
    base64: str | None
    sha256: str
    scope: str | None
    quarantined_at: datetime

    def __repr__(self) -> str:
        return f"Kept(kind={self.kind!r}, event_id={self.event_id!r}, reason={self.reason!r}, sha256={self.sha256!r})"

    @property
    def content(self) -> bytes:
        """What arrived, byte for byte."""
        return base64.b64decode(self.base64 or "") if self.text is None else self.text.encode()


def kept(kind: Literal["unplaced", "mutation"], item: Quarantined) -> Kept:
    """Make the line that holds an item."""
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
        scope=item.scope,
        quarantined_at=item.seen_at or datetime.now(UTC),
    )


def read_quarantine(layout: Layout) -> Iterator[tuple[int, Kept]]:
    """Yield every quarantined item with the number of the entry that met it, oldest entry first.

    Raises:
        LakeCorruptError: A line is not what the lake wrote.
    """
    decoder = msgspec.json.Decoder(Kept)
    for path in (layout.quarantine / name for name in listed(layout.quarantine) if name.endswith(".jsonl")):
        try:
            number = int(path.stem)
            with open_regular(path) as file:
                for line in file:
                    yield number, decoder.decode(line)
        except (msgspec.MsgspecError, ValueError, OSError) as error:
            raise _not_ours(path, error) from error


def add_quarantine(layout: Layout, number: int, items: Iterable[Kept]) -> None:
    """Add items to the file of an entry's quarantine, which is replaced whole."""
    path = layout.quarantine_file(number)
    try:
        there = read_regular(path) if path.exists() else b""
    except OSError as error:
        raise _not_ours(path, error) from error
    put(there + _lines(items), path, staging=layout.staging)


def write_quarantine(layout: Layout, number: int, items: Iterable[Kept]) -> None:
    """Replace the file of an entry's quarantine; without items there is none."""
    path = layout.quarantine_file(number)
    lines = _lines(items)
    if lines:
        put(lines, path, staging=layout.staging)
    else:
        remove(path)


def _lines(items: Iterable[Kept]) -> bytes:
    return b"".join(msgspec.json.encode(item) + b"\n" for item in items)


def quarantine_state(layout: Layout, number: int) -> QuarantineState:
    """Say how an entry's quarantine file is now.

    Raises:
        LakeCorruptError: It cannot be read.
    """
    path = layout.quarantine_file(number)
    try:
        data = read_regular(path)
    except FileNotFoundError:
        return QuarantineState(number=number, items=0, sha256=None)
    except OSError as error:
        raise _not_ours(path, error) from error
    return QuarantineState(number=number, items=data.count(b"\n"), sha256=sha256(data).hexdigest())


def _not_ours(path: Path, error: Exception) -> LakeCorruptError:
    return LakeCorruptError(f"{path} is not what the lake wrote: {cause(error)}. See: auditframe verify", path=path)
