"""Custom roles, assignments and memberships of groups, as the models of grants replay them."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING

from tests.models.reading import Event, first, texts_at

if TYPE_CHECKING:
    from collections.abc import Iterable

_LISTED = (resources.files("auditframe.reports") / "privileges.csv").read_text(encoding="utf-8")
_PATTERNS = [(row["kind"], re.compile(row["pattern"])) for row in csv.DictReader(_LISTED.splitlines())]

ROLE_CHANGES = ("role.created", "role.updated", "tenant.custom_role.created", "tenant.custom_role.updated")
ROLE_DELETIONS = ("role.deleted", "tenant.custom_role.deleted")
_GROUP_DELETIONS = ("group.deleted", "tenant.group.deleted")
ACCOUNTS = {
    **dict.fromkeys(("user.added", "user.updated", "tenant.user.added", "tenant.user.updated"), "user"),
    "tenant.membership.accepted": "user",
    **dict.fromkeys(("service_account.created", "service_account.updated"), "service_account"),
}
"""What gives an account a role, and what kind of account that is."""


def is_privileged(kind: str, name: str | None) -> bool:
    """Say whether the list of privileges has a role, the id of a role, or a permission."""
    return name is not None and any(each == kind and pattern.search(name.lower()) for each, pattern in _PATTERNS)


def _privileged(permissions: Iterable[str | None] | None) -> set[str]:
    return {each for each in permissions or () if each is not None and is_privileged("permission", each)}


def tenant_told(event: Event, name: str) -> str | None:
    """Return what an event of the tenant says, whose payloads are not documented."""
    return event.told(name) if event.is_of_tenant else None


def role_told(event: Event) -> str | None:
    return first(event.told("changes_requested", "role"), event.told("data", "role"), tenant_told(event, "role"))


def account_of(event: Event) -> str | None:
    """Return the user or service account whose role an event sets, or who is removed."""
    is_membership = event.type.startswith("tenant.membership.")
    return first(tenant_told(event, "user_id"), None if is_membership else event.resource_id)


@dataclass(slots=True)
class Role:
    """What events tell of a custom role.

    Attributes:
        is_defined: Whether an event told all that it allows.
        name: Its name.
        privileges: Its privileged permissions, each with the event that last said it.
    """

    is_defined: bool = False
    name: str | None = None
    privileges: dict[str, Event] = field(default_factory=dict)

    def alter(self, event: Event) -> set[str]:
        """Take an event into account, and return the privileged permissions that the role gained by it."""
        before, was_defined = set(self.privileges), self.is_defined
        whole, asked = texts_at(event.detail, "permissions"), ("changes_requested", "permissions_added")
        added = texts_at(event.detail, *asked)
        if whole is not None or event.type in ROLE_DELETIONS:
            self.is_defined, self.privileges = True, dict.fromkeys(_privileged(whole), event)
        self.privileges |= dict.fromkeys(_privileged(added), event)
        for permission in _privileged(texts_at(event.detail, "changes_requested", "permissions_removed")):
            self.privileges.pop(permission, None)
        named = (event.told("changes_requested", "role_name"), event.told("role_name"), tenant_told(event, "name"))
        self.name = first(*named, self.name)
        is_change = event.effect == "change" and (was_defined or added is not None)
        return set(self.privileges) - before if is_change else set()


def is_about_role(event: Event, role_id: str | None) -> bool:
    return role_id is not None and event.resource_id == role_id and event.type in (*ROLE_CHANGES, *ROLE_DELETIONS)


@dataclass(slots=True, eq=False)
class Assignment:
    """A role that was assigned."""

    event: Event
    principal_id: str | None
    kind: str
    role_id: str | None
    role: str | None

    @property
    def is_privileged_by_name(self) -> bool:
        return is_privileged("role", self.role) or is_privileged("role_id", self.role_id)

    def is_ended_by(self, event: Event) -> bool:
        """Say whether an event deletes it, its role, its group, or who received it."""
        if event.type == self.event.type.replace(".created", ".deleted"):
            return event.resource_id is not None and event.resource_id == self.event.resource_id
        if event.type in ROLE_DELETIONS:
            return is_about_role(event, self.role_id) and event.is_of_tenant == self.event.is_of_tenant
        if event.type in _GROUP_DELETIONS:
            return self.principal_id is not None and event.resource_id == self.principal_id
        if self.principal_id is None or self.kind == "group" or event.is_of_tenant != self.event.is_of_tenant:
            return False
        is_gone = event.project_id is None and removed(event) == self.principal_id
        return is_gone or (event.type == "service_account.deleted" and event.resource_id == self.principal_id)


def removed(event: Event) -> str | None:
    """Return the user whom an event removes from the organization, the tenant or a project."""
    is_removal = event.type in ("user.deleted", "tenant.user.removed", "tenant.membership.revoked")
    return account_of(event) if is_removal else None


def assignment_by(event: Event) -> Assignment | None:
    if not event.type.endswith("role_assignment.created") and event.type != "role.assignment.created":
        return None
    principal_id, group_id = event.told("principal_id"), tenant_told(event, "group_id")
    role_id, prefix, suffix = event.told("role_id"), "role_assignment_", f"_{principal_id}"
    own_id = event.resource_id or ""
    if role_id is None and principal_id is not None and own_id.startswith(prefix) and own_id.endswith(suffix):
        role_id = own_id.removeprefix(prefix).removesuffix(suffix)
    kind = first(event.told("principal_type"), "group" if group_id is not None else "user") or ""
    receiver = first(principal_id, tenant_told(event, "user_id"), group_id)
    return Assignment(event, receiver, kind, role_id, role_told(event))


@dataclass(frozen=True, slots=True)
class Membership:
    """Somebody put into a group."""

    event: Event
    group_id: str | None
    user_id: str | None

    def is_ended_by(self, event: Event) -> bool:
        """Say whether an event takes the member out, deletes the group, or removes the member from the tenant."""
        if event.type == "tenant.group.member.removed":
            left = membership_by(event)
            return (left.group_id, left.user_id) == (self.group_id, self.user_id)
        if event.type in _GROUP_DELETIONS:
            return event.resource_id == self.group_id
        return event.is_of_tenant and self.user_id is not None and removed(event) == self.user_id


def membership_by(event: Event) -> Membership:
    group_id = first(event.told("group_id"), event.resource_id)
    return Membership(event, group_id, event.told("user_id"))


def end_of(assignment: Assignment, log: list[Event], since: Event) -> Event | None:
    """Return what ends an assignment, or takes from its role the last of the privileges that it had since an event."""
    later = [event for event in log if event.order > assignment.event.order]
    ended = next((event for event in later if assignment.is_ended_by(event)), None)
    emptied = None if assignment.is_privileged_by_name else _emptied(assignment.role_id, log, since)
    return min((event for event in (ended, emptied) if event), key=lambda event: event.order, default=None)


def _emptied(role_id: str | None, log: list[Event], since: Event) -> Event | None:
    role = Role()
    for event in log:
        if is_about_role(event, role_id):
            is_later, was_privileged = event.order > since.order, bool(role.privileges)
            role.alter(event)
            if is_later and not (was_privileged and role.privileges):
                return event if was_privileged else None
    return None
