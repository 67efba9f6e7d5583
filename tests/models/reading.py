"""An event of the endpoint's JSON, as the models read it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import resources
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_Key = TypeVar("_Key")
_Item = TypeVar("_Item")
Row = dict[str, Any]
MINUTE_US = 60_000_000
DAY_US = 86_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CATALOGUE = (resources.files("auditframe") / "catalogue.csv").read_text(encoding="utf-8")
CATALOGUE = {row["type"]: row for row in csv.DictReader(_CATALOGUE.splitlines())}
_SEVERITIES = ("info", "low", "medium", "high", "critical")


@dataclass(frozen=True, slots=True)
class Event:
    """An event; what is missing, or no text where a text belongs, is None.

    Attributes:
        id: Its id.
        type: Its type.
        at: When it took effect [microseconds since 1970].
        project_id: The project that it is filed under.
        project_name: What it calls that project.
        actor_type: ``session`` or ``api_key``.
        actor_kind: ``user`` or ``service_account``; where neither is told of, the type of the API key.
        actor_id: Id of the user or service account who caused it.
        actor_email: E-mail address of the user.
        actor_key: Id of the API key that was acted with.
        ip_address: Where the session came from, in the canonical spelling.
        session: The session; empty if there is none.
        detail: The payload; empty if it is no object.
    """

    id: str
    type: str
    at: int
    project_id: str | None
    project_name: str | None
    actor_type: str | None
    actor_kind: str | None
    actor_id: str | None
    actor_email: str | None
    actor_key: str | None
    ip_address: str | None
    session: dict[str, Any]
    detail: dict[str, Any]

    @property
    def area(self) -> str:
        return self.type.rpartition(".")[0]

    @property
    def effect(self) -> str:
        return CATALOGUE[self.type]["effect"] if self.type in CATALOGUE else "other"

    @property
    def severity(self) -> str:
        """How much attention it deserves after the catalogue, which must list it."""
        return CATALOGUE[self.type]["severity"]

    @property
    def is_of_tenant(self) -> bool:
        return self.type.startswith("tenant.")

    @property
    def order(self) -> tuple[int, str]:
        return self.at, self.id

    @property
    def resource_id(self) -> str | None:
        return self.told("id")

    @property
    def actor(self) -> str | None:
        """What the actor is called: by e-mail address, else by id, else by API key."""
        return first(self.actor_email, self.actor_id, self.actor_key)

    @property
    def mailbox(self) -> str | None:
        """The e-mail address in lower case."""
        return None if self.actor_email is None else self.actor_email.lower()

    @property
    def account(self) -> str | None:
        """What actors are compared by: e-mail address in lower case, else id, else API key."""
        return first(self.mailbox, self.actor_id, self.actor_key)

    @property
    def country(self) -> str | None:
        return text_at(self.session, "ip_address_details", "country")

    @property
    def city(self) -> str | None:
        return text_at(self.session, "ip_address_details", "city")

    @property
    def coordinates(self) -> tuple[float, float] | None:
        """Latitude and longitude of the address [degrees]; None if one is missing."""
        north, east = (number_at(self.session, "ip_address_details", name) for name in ("latitude", "longitude"))
        return None if north is None or east is None else (north, east)

    @property
    def asn(self) -> str | None:
        return text_at(self.session, "ip_address_details", "asn")

    @property
    def user_agent(self) -> str | None:
        return text_at(self.session, "user_agent")

    @property
    def ja4(self) -> str | None:
        return text_at(self.session, "ja4")

    def told(self, *path: str) -> str | None:
        """Return the text at a path of the payload."""
        return text_at(self.detail, *path)


def read(events: Iterable[dict[str, Any]]) -> list[Event]:
    """Read events, in the order of (instant, id)."""
    return sorted(map(_event, events), key=lambda event: event.order)


def _event(raw: dict[str, Any]) -> Event:
    detail, actor = raw.get(raw["type"]), raw.get("actor")
    session = at_path(actor, "session")
    user = at_path(actor, "session", "user") or at_path(actor, "api_key", "user")
    service_account, key_type = text_at(actor, "api_key", "service_account", "id"), text_at(actor, "api_key", "type")
    return Event(
        id=raw["id"],
        type=raw["type"],
        at=int((Decimal(repr(raw["effective_at"])) * 1_000_000).to_integral_value()),
        project_id=text_at(raw, "project", "id"),
        project_name=text_at(raw, "project", "name"),
        actor_type=text_at(actor, "type"),
        actor_kind="user" if user else ("service_account" if service_account else key_type),
        actor_id=first(text_at(user, "id"), service_account),
        actor_email=text_at(user, "email"),
        actor_key=text_at(actor, "api_key", "id"),
        ip_address=_canonical(text_at(session, "ip_address")),
        session=session if isinstance(session, dict) else {},
        detail=detail if isinstance(detail, dict) else {},
    )


def _canonical(address: str | None) -> str | None:
    """Return an address in its canonical spelling, an IPv4 address in one of IPv6 as itself."""
    if address is None:
        return None
    parsed = ip_address(address)
    return str((parsed.ipv4_mapped if parsed.version == 6 else None) or parsed)


def at_path(value: Any, *path: str) -> Any:
    """Return what stands at a path of JSON; None if nothing does."""
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def text_at(value: Any, *path: str) -> str | None:
    """Return the text at a path of JSON."""
    found = at_path(value, *path)
    return found if isinstance(found, str) else None


def number_at(value: Any, *path: str) -> float | None:
    """Return the number at a path of JSON, written as one or as text."""
    found = at_path(value, *path)
    return None if found is None else float(found)


def texts_at(value: Any, *path: str) -> list[str | None] | None:
    """Return the list of texts, and of nulls, at a path of JSON."""
    found = at_path(value, *path)
    is_listed = isinstance(found, list) and all(each is None or isinstance(each, str) for each in found)
    return found if is_listed else None


def at_most(severity: str, most: str) -> str:
    return min(severity, most, key=_SEVERITIES.index)


def first(*values: str | None) -> str | None:
    """Return the first value that there is."""
    return next((value for value in values if value is not None), None)


def only(values: Iterable[str | None]) -> str | None:
    """Return the one value that there is; None if there are several."""
    different = {value for value in values if value is not None}
    return different.pop() if len(different) == 1 else None


def how_many(values: Iterable[Any]) -> int:
    """Count different values, without those that are missing."""
    return len({value for value in values if value is not None})


def grouped(items: Iterable[_Item], key: Callable[[_Item], _Key]) -> dict[_Key, list[_Item]]:
    """Put events, or what is made of them, together by a key, each group in the order in which they come."""
    groups: dict[_Key, list[_Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def ids(events: Iterable[Event | None]) -> list[str]:
    """Return the events' ids in time order, each once."""
    return [id_ for _, id_ in sorted({event.order for event in events if event is not None})]


def moment(as_of: str | None, log: Sequence[Event]) -> int:
    """Return the moment asked for [microseconds since 1970]: that of the newest event, if none is given."""
    return log[-1].at if as_of is None else micros(as_of)


def until(log: Sequence[Event], at: int) -> list[Event]:
    """Leave out what took effect after a moment."""
    return [event for event in log if event.at <= at]


def micros(given: str) -> int:
    return (datetime.fromisoformat(given) - EPOCH) // timedelta(microseconds=1)


def instant(at: int) -> datetime:
    return EPOCH + timedelta(microseconds=at)


def instant_of(event: Event | None) -> datetime | None:
    return None if event is None else instant(event.at)


def actor_of(event: Event | None) -> str | None:
    return None if event is None else event.actor


def nulls_last(value: str | None) -> tuple[bool, str]:
    return value is None, value or ""


def nulls_first(value: str | None) -> tuple[bool, str]:
    return value is not None, value or ""
