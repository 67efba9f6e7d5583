"""Placing: an event's JSON text is cut at the keys that columns read, or goes to quarantine with a reason."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from auditframe.catalogue import catalogue
from auditframe.errors import EventError
from auditframe.flatten._convert import is_text
from auditframe.pages import REFUSALS, parse_value, split_members
from auditframe.text import inert

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

MOST_BYTES = 2**31 - 1
"""How many bytes of texts one Arrow array can hold."""

_YEAR_10000_S = 253_402_300_800


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What arrived but could not be placed.

    Attributes:
        text: What arrived, byte for byte.
        reason: Why it could not be placed, as a sentence.
        event_id: Its id; None when it has no usable one.
        field: The field that is missing or unusable; "" when the whole text is.
        scope: The pass that brought it; None when nobody said.
        seen_at: When it arrived; None when nobody said.
    """

    text: bytes = field(repr=False)
    reason: str
    event_id: str | None
    field: str
    scope: str | None = None
    seen_at: datetime | None = None

    def error(self) -> EventError:
        """Return the error that a strict reader raises for it."""
        event = inert(self.event_id[:80]) if self.event_id else "without an id"
        return EventError(f"Event {event}: {self.reason}", event_id=self.event_id, field=self.field)


@dataclass(frozen=True, slots=True)
class Placed:
    """Events that came together, cut at the keys that columns read.

    Attributes:
        rows: Those that have a place, in the given order.
        raws: The text of each, byte for byte.
        quarantine: Those that have none, in the given order.
        scope: The pass that brought them; None when nobody said.
        seen_at: When they arrived; None when nobody said.
    """

    rows: list[Row] = field(repr=False)
    raws: list[bytes] = field(repr=False)
    quarantine: list[Quarantined]
    scope: str | None
    seen_at: datetime | None


class Row(msgspec.Struct, gc=False):
    """A placeable event, cut at the keys that columns read.

    Attributes:
        id: Its id, not empty.
        type: Its type, not empty.
        effective_at: Its time [s].
        actor: The JSON text under that key; empty when there is none.
        project: The same.
        detail: The JSON text under the key named like the type; ``null`` when there is none.
    """

    id: str
    type: str
    effective_at: int | float
    actor: Raw
    project: Raw
    detail: Raw


def _known(type_: str) -> Any:
    """Make a type's own row, which msgspec fills from an event's text; its `type` is a constant."""
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        ("id", str),
        ("effective_at", int | float),
        ("actor", Raw, Raw(b"")),
        ("project", Raw, Raw(b"")),
        ("detail", Raw, Raw(b"null")),
    ]
    row = msgspec.defstruct(type_, fields, tag_field="type", tag=type_, rename={"detail": type_}, gc=False)
    row.type = type_  # type: ignore[attr-defined]
    return row


_as_known: msgspec.json.Decoder[Row] = msgspec.json.Decoder(reduce(or_, map(_known, catalogue())))


def place(texts: Iterable[bytes], *, scope: str | None = None, seen_at: datetime | None = None) -> Placed:
    """Cut the JSON texts of events, as `pages.parse_page` cuts them, at the keys that columns read.

    Args:
        texts: Each the text of one event.
        scope: The pass that brought them.
        seen_at: When they arrived, aware.
    """
    rows: list[Row] = []
    raws: list[bytes] = []
    quarantine: list[Quarantined] = []
    for text in texts:
        try:
            row = _as_known.decode(text)
            is_utf8 = text.isascii() or text.decode()
            is_placed = row.id and 0 <= row.effective_at < _YEAR_10000_S and len(text) <= MOST_BYTES and is_utf8
        except REFUSALS:
            is_placed = False  # a type nobody listed, or a quirk, or no place at all
        placed = row if is_placed else _place(text)
        if isinstance(placed, Quarantined):
            quarantine.append(replace(placed, scope=scope, seen_at=seen_at))
            continue
        rows.append(placed)
        raws.append(text)
    return Placed(rows, raws, quarantine, scope, seen_at)


def _place(text: bytes) -> Row | Quarantined:
    """Cut any event at the keys that columns read, or say why it has no place."""
    members = split_members(text)
    if members is None:
        return Quarantined(text, "It is no JSON object.", None, "")
    if len(text) > MOST_BYTES:
        return Quarantined(text, "It is longer than a text in a column can be (2 GiB).", None, "")
    if not _is_utf8(text):
        return Quarantined(text, "It is not valid UTF-8.", None, "")
    id_, type_ = _name(members.get("id")), _name(members.get("type"))
    at = _seconds(members.get("effective_at"))
    for name, value in (("id", id_), ("type", type_), ("effective_at", at)):
        if value is None:
            return Quarantined(text, _reason(name, present=name in members), id_, name)
    assert id_ is not None and type_ is not None and at is not None  # noqa: S101, PT018 - for the type checker
    actor, project = (Raw(members.get(name, b"")) for name in ("actor", "project"))
    return Row(id_, type_, at, actor, project, Raw(members.get(type_, b"null")))


def _reason(name: str, *, present: bool) -> str:
    wanted = "a whole or fractional number of Unix seconds from 1970 to 9999" if name == "effective_at" else "text"
    return f"Its '{name}' is not {wanted}." if present else f"It has no '{name}'."


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _name(value: bytes | None) -> str | None:
    name = _decoded(value)
    return name if is_text(name) and name else None


def _seconds(value: bytes | None) -> int | float | None:
    seconds = _decoded(value)
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return seconds if is_number and 0 <= seconds < _YEAR_10000_S else None


def _decoded(value: bytes | None) -> Any:
    try:
        return None if value is None else parse_value(value)
    except ValueError:
        return None  # nested too deeply
