"""Placing: an event's JSON text becomes a row's ingredients, or goes to quarantine with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditframe.errors import EventError
from auditframe.flatten._convert import is_text
from auditframe.pages import parse_value, split_members

if TYPE_CHECKING:
    from datetime import datetime

_YEAR_10000_S = 253_402_300_800
_MICROSECONDS = 1_000_000


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

    text: bytes
    reason: str
    event_id: str | None
    field: str
    scope: str | None = None
    seen_at: datetime | None = None

    def error(self) -> EventError:
        """Return the error that a strict reader raises for it."""
        return EventError(
            f"Event {self.event_id or 'without an id'}: {self.reason}", event_id=self.event_id, field=self.field
        )


@dataclass(frozen=True, slots=True)
class Row:
    """A placeable event, cut at the keys that columns read."""

    id: str
    type: str
    at_us: int
    raw: str
    actor: bytes
    project: bytes
    detail: bytes


def place(text: bytes) -> Row | Quarantined:
    """Cut an event at the keys that columns read, or say why it has no place."""
    members = split_members(text)
    if members is None:
        return Quarantined(text, "It is no JSON object.", None, "")
    raw = _utf8(text)
    if raw is None:
        return Quarantined(text, "It is not valid UTF-8.", None, "")
    id_, type_ = _name(members.get("id")), _name(members.get("type"))
    at_us = _at_us(members.get("effective_at"))
    for name, value in (("id", id_), ("type", type_), ("effective_at", at_us)):
        if value is None:
            return Quarantined(text, _reason(name, present=name in members), id_, name)
    assert id_ is not None and type_ is not None and at_us is not None  # noqa: S101, PT018 - for the type checker
    detail = members.get(type_, b"null")
    return Row(id_, type_, at_us, raw, members.get("actor", b""), members.get("project", b""), detail)


def _reason(name: str, *, present: bool) -> str:
    wanted = "a whole or fractional number of Unix seconds from 1970 to 9999" if name == "effective_at" else "text"
    return f"Its '{name}' is not {wanted}." if present else f"It has no '{name}'."


def _utf8(text: bytes) -> str | None:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _name(value: bytes | None) -> str | None:
    if value is None:
        return None
    decoded = parse_value(value)
    return decoded if is_text(decoded) and decoded else None


def _at_us(value: bytes | None) -> int | None:
    if value is None:
        return None
    seconds = parse_value(value)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < _YEAR_10000_S:
        return None
    return seconds * _MICROSECONDS if isinstance(seconds, int) else round(seconds * _MICROSECONDS)
