"""Models of the reports on API keys."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.models.reading import (
    DAY_US,
    Event,
    Row,
    actor_of,
    at_path,
    first,
    ids,
    instant,
    instant_of,
    moment,
    only,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_MINUTE_US = 60_000_000


@dataclass(slots=True)
class Key:
    """An API key: the events about it and those that it caused, in time order."""

    id: str
    about: list[Event] = field(default_factory=list)
    by: list[Event] = field(default_factory=list)

    def of(self, effect: str) -> list[Event]:
        return [event for event in self.about if event.effect == effect]

    @property
    def created(self) -> Event | None:
        return next(iter(self.of("create")), None)

    @property
    def changed(self) -> Event | None:
        return next(reversed(self.of("change")), None)

    @property
    def deleted(self) -> Event | None:
        return next(reversed(self.of("delete")), None)

    @property
    def used(self) -> Event | None:
        return next(reversed(self.by), None)

    @property
    def since(self) -> Event:
        """What made it, else the first event that names it."""
        return self.created or min((*self.about[:1], *self.by[:1]), key=lambda event: event.order)

    @property
    def project_id(self) -> str | None:
        return only(event.project_id for event in self.about)

    @property
    def owner_id(self) -> str | None:
        return only(event.actor_id for event in self.by)

    @property
    def owner(self) -> str | None:
        """What the owner is called: of several addresses the last in the alphabet, which the page leaves open."""
        names = (event.actor for event in self.by if event.actor_id is not None)
        return max((name for name in names if name is not None), default=None) if self.owner_id else None

    @property
    def scoped(self) -> Event | None:
        """The last event that says what it may do."""
        return next((event for event in reversed(self.about) if scopes_of(event) is not None), None)

    @property
    def event_ids(self) -> list[str]:
        return ids((*self.about, self.used, *(() if self.created else self.by[:1])))


def scopes_of(event: Event | None) -> list[str] | None:
    """Return the scopes that an event asks for."""
    for place in ("changes_requested", "data"):
        scopes = at_path(event.detail, place, "scopes") if event else None
        if isinstance(scopes, list) and all(isinstance(scope, str) for scope in scopes):
            return scopes
    return None


def keys_of(log: list[Event]) -> list[Key]:
    """Return the keys that events are about, or are caused by."""
    found: dict[str, Key] = {}
    for event in log:
        if event.area == "api_key" and event.resource_id is not None:
            found.setdefault(event.resource_id, Key(event.resource_id)).about.append(event)
        if event.actor_key is not None:
            found.setdefault(event.actor_key, Key(event.actor_key)).by.append(event)
    return list(found.values())


def living(log: list[Event]) -> list[Key]:
    """Return the keys that no event deletes, as an admin key neither, and whose project none ends."""
    ended = {(event.area, event.resource_id) for event in log if event.effect == "delete"}

    def lives(key: Key) -> bool:
        ends = {("api_key", key.id), ("tenant.admin_api_key", key.id), ("project", key.project_id or "")}
        return not ends & ended

    return [key for key in keys_of(log) if lives(key)]


def api_keys(log: list[Event]) -> list[Row]:
    """Return every key, with what became of it."""
    keys = sorted(keys_of(log), key=lambda key: (key.created.at if key.created else 0, key.id))
    return [
        {
            "key_id": key.id,
            "project_id": key.project_id,
            "creator": actor_of(key.created),
            "created_at": instant_of(key.created),
            "scopes": scopes_of(key.scoped),
            "last_change_at": instant_of(key.changed),
            "deleted_at": instant_of(key.deleted),
            "deleted_by": actor_of(key.deleted),
            "last_used_at": instant_of(key.used),
            "events_as_actor": len(key.by),
            "event_ids": ids(key.about),
        }
        for key in keys
    ]


def stale_keys(log: list[Event], *, max_age_days: int = 90, as_of: str | None = None) -> list[Row]:
    """Return the living keys that nobody made or altered for so long."""
    at = moment(as_of, log)
    touched = [(max(key.since.at, key.changed.at if key.changed else 0), key.id, key) for key in living(until(log, at))]
    return [
        {
            "finding": f"stale_keys:{key.since.id}:{key.id}",
            "severity": "medium",
            "effective_at": instant(last),
            "actor": first(actor_of(key.created), key.owner),
            "resource_id": key.id,
            "event_ids": key.event_ids,
            "created_at": instant_of(key.created),
            "last_change_at": instant_of(key.changed),
            "age_days": (at - key.since.at) // DAY_US,
            "unaltered_days": (at - last) // DAY_US,
            "last_used_at": instant_of(key.used),
        }
        for last, _, key in sorted(touched, key=lambda each: each[:2])
        if at - last > max_age_days * DAY_US
    ]


def keys_never_used(log: list[Event], *, min_age_days: int = 30, as_of: str | None = None) -> list[Row]:
    """Return the living keys that are so old and caused no event."""
    at = moment(as_of, log)
    idle = [key for key in living(until(log, at)) if not key.by and at - key.since.at > min_age_days * DAY_US]
    return [
        {
            "finding": f"keys_never_used:{key.since.id}",
            "severity": "low",
            "effective_at": instant(key.since.at),
            "actor": actor_of(key.created),
            "resource_id": key.id,
            "event_ids": key.event_ids,
            "created_at": instant_of(key.created),
            "age_days": (at - key.since.at) // DAY_US,
            "project_id": key.project_id,
        }
        for key in sorted(idle, key=lambda key: (key.since.at, key.id))
    ]


_WIDEST_FIRST = ("all", "admin", "write")


def _access(scope: str) -> str | None:
    """Read a scope by its words."""
    words = re.split(r"[.:/_-]", scope.lower())
    if words[-1] in ("all", "*"):
        return "all"
    if {"admin", "management", "owner"} & set(words) and words[-1] != "read":
        return "admin"
    return "write" if len(words) <= 2 and words[-1] in ("write", "manage", "delete") else None


def broad_scope_keys(log: list[Event], *, as_of: str | None = None) -> list[Row]:
    """Return the living keys that may do everything, administer, or write everywhere."""
    rows = []
    for key in living(until(log, moment(as_of, log))):
        scopes = scopes_of(key.scoped) or []
        broad = {scope: access for scope in scopes if (access := _access(scope))}
        if key.scoped and broad:
            width = min(map(_WIDEST_FIRST.index, broad.values()))
            rows.append(((width, key.scoped.at, key.id), _broad(key, key.scoped, scopes, broad)))
    return [row for _, row in sorted(rows, key=lambda each: each[0])]


def _broad(key: Key, scoped: Event, scopes: list[str], broad: dict[str, str]) -> Row:
    return {
        "finding": f"broad_scope_keys:{scoped.id}",
        "severity": "medium",
        "effective_at": instant(scoped.at),
        "actor": scoped.actor,
        "resource_id": key.id,
        "event_ids": [scoped.id],
        "access": min(broad.values(), key=_WIDEST_FIRST.index),
        "broad_scopes": sorted(broad),
        "scopes": scopes,
        "project_id": key.project_id,
    }


def admin_key_events(log: list[Event]) -> list[Row]:
    """Return what was done to admin keys, and by whom they are used."""
    severities = {"create": "high", "change": "high", "delete": "low"}
    rows = []
    for event in log:
        if event.area == "tenant.admin_api_key":
            uses = [use for use in log if use.actor_key is not None and use.actor_key == event.resource_id]
            last = next(reversed(uses), None)
            rows.append(
                {
                    "finding": f"admin_key_events:{event.id}",
                    "severity": severities.get(event.effect, "medium"),
                    "effective_at": instant(event.at),
                    "actor": event.actor,
                    "resource_id": event.resource_id,
                    "event_ids": ids((event, last)),
                    "effect": event.effect,
                    "key_name": event.told("name"),
                    "ip_address": event.ip_address,
                    "used_by": sorted({who for use in uses if (who := first(use.actor_email, use.actor_id))}),
                    "events_as_actor": len(uses),
                    "last_used_at": instant_of(last),
                }
            )
    return rows


def key_bursts(log: list[Event], *, within_minutes: int = 60) -> list[Row]:
    """Return the keys that were made and deleted again so soon."""
    lives = [(made, gone, key) for key in keys_of(log) for made, gone in _lives(key)]
    return [
        _burst(key, made, gone)
        for made, gone, key in sorted(lives, key=lambda each: each[0].order)
        if gone.at - made.at <= within_minutes * _MINUTE_US
    ]


def _lives(key: Key) -> Iterator[tuple[Event, Event]]:
    """Yield what made a key with what deleted it next; in one instant, a key is made before it is deleted."""
    made: Event | None = None
    for event in sorted(key.about, key=lambda event: (event.at, event.effect == "delete", event.id)):
        if event.effect == "create":
            made = made or event
        elif event.effect == "delete" and made:
            yield made, event
            made = None


def _burst(key: Key, made: Event, gone: Event) -> Row:
    caused = [event for event in key.by if made.at <= event.at <= gone.at]
    return {
        "finding": f"key_bursts:{made.id}",
        "severity": "medium",
        "effective_at": instant(made.at),
        "actor": made.actor,
        "resource_id": key.id,
        "event_ids": ids((made, gone, *caused)),
        "deleted_at": instant(gone.at),
        "deleted_by": gone.actor,
        "lived_minutes": (gone.at - made.at) / _MINUTE_US,
        "events_as_actor": len(caused),
        "types": sorted({event.type for event in caused}),
        "project_id": made.project_id,
    }
