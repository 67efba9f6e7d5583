"""Models of the reports on what was done to things: their history, their fields, and what nobody approved."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.models.controls import touched
from tests.models.projects import LIMITS
from tests.models.reading import Event, Row, at_most, at_path, instant_of, micros, text_at

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLACES = {
    "resource": ("id",),
    "detail_resource_id": ("resource_id",),
    "detail_principal_id": ("principal_id",),
    "detail_role_id": ("role_id",),
    "detail_certificates_id": ("certificates", "id"),
    "detail_configs_id": ("configs", "id"),
    "detail_data_project_id": ("data", "project_id"),
    "detail_project_id": ("project_id",),
    "detail_service_account_id": ("service_account_id",),
    "detail_identity_provider_id": ("identity_provider_id",),
    "detail_changes_requested_resource_id": ("changes_requested", "resource_id"),
    "detail_workspace_id": ("workspace_id",),
    "detail_connector_id": ("connector_id",),
}
"""Where an event names a resource, by what the report calls the place."""


def resource_history(log: list[Event], *, resource_id: str | None = None) -> list[Row]:
    """Return what happened to each resource, or to one."""
    return [
        {
            "resource_id": id_,
            "effective_at": instant_of(event),
            "type": event.type,
            "effect": event.effect,
            "via": place,
            "actor": event.actor,
            "ip_address": event.ip_address,
            "project_id": event.project_id,
            "event_id": event.id,
        }
        for event in log
        for id_, place in _named(event).items()
        if resource_id in (None, id_)
    ]


def _named(event: Event) -> dict[str, str]:
    """Return the resources that an event names, each with the first place that does."""
    found: dict[str, str] = {}
    for place, path in _PLACES.items():
        listed = event.detail.get(path[0])
        several = [text_at(thing, *path[1:]) for thing in listed] if isinstance(listed, list) else [event.told(*path)]
        for id_ in sorted(id_ for id_ in several if id_ is not None):
            found.setdefault(id_, place)
    return found


_CHANGES = ("create", "change", "delete", "grant", "revoke", "control_on", "control_off")
_TIME, _PERSON, _RESOURCE = range(3)


class _Approval(NamedTuple):
    """A line of the file of approved changes; a field that is empty matches everything."""

    change: str
    actor: str
    resource_id: str
    starts_at: str
    ends_at: str

    def misses(self, event: Event, id_: str | None) -> list[int]:
        """Return in what it differs from a change of a thing."""
        is_theirs = self.actor.lower() == event.mailbox or self.actor in ("", event.actor_id, event.actor_key)
        is_early = self.starts_at != "" and event.at < micros(self.starts_at)
        is_late = self.ends_at != "" and event.at >= micros(self.ends_at)
        differs = {_TIME: is_early or is_late, _PERSON: not is_theirs, _RESOURCE: self.resource_id not in ("", id_)}
        return [what for what, is_other in differs.items() if is_other]

    def names_what_is_shared(self, missed: int) -> bool:
        """Say whether it names the actor, or the resource, beside what differs."""
        named = (self.actor or self.resource_id, self.resource_id, self.actor)
        return named[missed] != ""


def unapproved_changes(log: list[Event], *, approved: str) -> list[Row]:
    """Return the changes that no approval covers, of those in the text of a CSV file."""
    approvals = [_Approval(**line) for line in csv.DictReader(approved.splitlines())]
    return [
        {
            "finding": ":".join(("unapproved_changes", event.id, *([id_] if id_ and id_ != event.resource_id else []))),
            "severity": at_most(event.severity, "medium"),
            "effective_at": instant_of(event),
            "actor": event.actor,
            "resource_id": id_,
            "event_ids": [event.id],
            "type": event.type,
            "nearest": _nearest(approvals, event, id_),
        }
        for event in log
        if event.effect in _CHANGES
        for id_ in sorted(touched(event), key=lambda id_: id_ or "")
        if all(approval.misses(event, id_) for approval in approvals)
    ]


def _nearest(approvals: list[_Approval], event: Event, id_: str | None) -> str | None:
    """Return an approval that differs in one thing.

    Of several, which the page leaves open, it is one that differs in the time, else in the person, else in the
    resource; of these the first in the alphabet.
    """
    near = [
        (missed[0], approval.change or "an approval without a name")
        for approval in approvals
        if len(missed := approval.misses(event, id_)) == 1 and approval.names_what_is_shared(missed[0])
    ]
    return min(near)[1] if near else None


_ASKED, _GIVEN = ("changes_requested",), ("data",)
_FIELDS: dict[str, tuple[tuple[str, ...], ...]] = {
    **dict.fromkeys(("scopes", "group_name", "role", "title"), (_ASKED, _GIVEN)),
    **dict.fromkeys(("email", "fine_tuned_model_checkpoint"), (_GIVEN,)),
    **dict.fromkeys(("description", "threads_ui_visibility", "usage_dashboard_visibility"), (_ASKED,)),
    **dict.fromkeys(("api_call_logging", "api_call_logging_project_ids", *LIMITS), (_ASKED,)),
    **dict.fromkeys(("role_name", "resource_type", "resource_id"), (_ASKED, ())),
    **dict.fromkeys(("allowed_ips", "permissions", "principal_id", "principal_type", "enabled"), ((),)),
    **dict.fromkeys(("identity_provider_id", "service_account_id"), ((),)),
    "name": (_ASKED, _GIVEN, ()),
    "project_id": (_GIVEN, ()),
}
"""Where an event tells a field: the paths of the objects that may hold it, in the order in which they count."""
_WITH_DATA = ("external_key", "workload_identity_provider", "workload_identity_provider_mapping")
_SIGN_INS = ("login", "login_failed", "logout")


class _Value(NamedTuple):
    """What an event asks for, and whether that is the whole value or a part that changes it."""

    text: str
    is_whole: bool
    event: Event


def change_log(log: list[Event], *, resource_id: str | None = None) -> list[Row]:
    """Return each field that an event sets, with its value before."""
    past: dict[Any, dict[Any, _Value]] = {}
    rows: list[Row] = []
    for event in log:
        if event.effect not in _SIGN_INS:
            place = event.project_id if event.area in ("user", "rate_limit") else None
            alone = event.id if event.resource_id is None else None
            held = past.setdefault((event.area, event.resource_id, place, alone), {})
            rows += _set_by(event, held)
    return [row for row in rows if resource_id in (None, row["resource_id"])]


def _set_by(event: Event, held: dict[Any, _Value]) -> Iterator[Row]:
    """Return the rows of an event, and take it into account in what is held of its thing."""
    role = event.told("role_id") if _binds(event) else None
    if _makes(event):
        held.clear()
    for name, value in sorted(_values(event).items()):
        last = held.get((name, role))
        is_known = (last is not None and last.is_whole) or (_makes(event) and last is None) or _deletes(event)
        before = value.text if _deletes(event) else last.text if last is not None and last.is_whole else None
        after = None if _deletes(event) else value.text
        yield {
            "effective_at": instant_of(event),
            "type": event.type,
            "effect": event.effect,
            "resource_id": event.resource_id,
            "field": name,
            "before": before,
            "before_known": is_known,
            "after": after,
            "changed": before != after if is_known and value.is_whole else None,
            "actor": event.actor,
            "project_id": event.project_id,
            "event_id": event.id,
            "previous_event_id": last.event.id if last else None,
        }
        held[name, role] = value
    if _deletes(event):
        held.clear()


def _binds(event: Event) -> bool:
    """Say whether an event tells what a role may do on a resource, which neither makes nor deletes that resource."""
    return event.type in ("role.bound_to_resource", "role.unbound_from_resource")


def _makes(event: Event) -> bool:
    return not _binds(event) and (event.effect in ("create", "grant") or event.type.endswith(".registered"))


def _deletes(event: Event) -> bool:
    return not _binds(event) and (event.effect in ("delete", "revoke") or event.type.endswith(".deleted"))


def _values(event: Event) -> dict[str, _Value]:
    """Return the fields that an event sets."""
    found = {}
    for name, places in _FIELDS.items():
        values = (at_path(event.detail, *place, name) for place in places)
        value = next((value for value in values if value is not None), None)
        if value is not None and not _names_a_thing(event, name):
            found[name] = _Value(_shown(value), True, event)
    return _parts(event) | found


def _names_a_thing(event: Event, name: str) -> bool:
    is_of_binding = _binds(event) and name in ("resource_id", "resource_type")
    return is_of_binding or (event.type, name) == ("resource.deleted", "resource_type")


def _parts(event: Event) -> dict[str, _Value]:
    """Return the data that is set as a whole, and what changes a part of a value."""
    found = {}
    asked = {word: at_path(event.detail, "changes_requested", f"permissions_{word}") for word in ("added", "removed")}
    parts = ", ".join(f"{word} {_shown(value)}" for word, value in asked.items() if value is not None)
    if parts:
        found["permissions"] = _Value(f"in part {parts}", False, event)
    if event.area in _WITH_DATA:
        data, changes = event.detail.get("data"), event.detail.get("changes_requested")
        if data is not None and not event.type.endswith(".updated"):
            found["data"] = _Value(_json(data), True, event)
        elif changes is not None:
            found["data"] = _Value(f"in part {_json(changes)}", False, event)
    return found


def _shown(value: Any) -> str:
    """Show a value as the report does: a list sorted, with nulls at the end."""
    if isinstance(value, list):
        return _json(sorted(value, key=lambda each: (each is None, each or "")))
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
