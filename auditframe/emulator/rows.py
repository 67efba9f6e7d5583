"""The events, each read as far as finding and listing it needs."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditframe.catalogue import lookup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Row:
    """One event, ready to be served.

    Attributes:
        raw: Its JSON text, the same bytes in every answer.
        id: Its id; "" when it has none.
        at: When it took effect [Unix seconds].
        scope: The pass that returns it.
        matches: For each list parameter, the values under which it is found.
        serial: Its number among all events that the app was ever given.
    """

    raw: bytes
    id: str
    at: int
    scope: str
    matches: Mapping[str, frozenset[str]]
    serial: int

    @property
    def cursor(self) -> str:
        """A cursor for this row that is no event's id."""
        return f"cursor_{self.serial:08d}"


def read_rows(events: Iterable[Mapping[str, Any] | bytes], *, serials: Iterator[int]) -> Iterator[Row]:
    """Read what must be known of each event; one without a usable time is listed beside the one given before it."""
    at = 0
    for event in events:
        raw = event if isinstance(event, bytes) else _serialized(event)
        known = _parsed(event) if isinstance(event, bytes) else event
        time = known.get("effective_at")
        at = int(time) if isinstance(time, int | float) and math.isfinite(time) else at
        type_ = _text(known.get("type"))
        yield Row(raw, _text(known.get("id")), at, lookup(type_).scope, _found_under(known, type_), next(serials))


def _serialized(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _parsed(raw: bytes) -> Mapping[str, Any]:
    try:
        event = json.loads(raw)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _found_under(event: Mapping[str, Any], type_: str) -> dict[str, frozenset[str]]:
    session, key = _inside(event, "actor", "session"), _inside(event, "actor", "api_key")
    users = (_inside(session, "user"), _inside(key, "user"))
    actors = (*users, _inside(key, "service_account"), key)
    return {
        "project_ids[]": _texts(_inside(event, "project").get("id")),
        "event_types[]": _texts(type_),
        "actor_ids[]": _texts(*(actor.get("id") for actor in actors)),
        "actor_emails[]": _texts(*(user.get("email") for user in users)),
        "resource_ids[]": _texts(_inside(event, type_).get("id")),
    }


def _inside(outer: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        inner = outer.get(name)
        outer = inner if isinstance(inner, dict) else {}
    return outer


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(*values: object) -> frozenset[str]:
    return frozenset(value for value in values if isinstance(value, str) and value)
