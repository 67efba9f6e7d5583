"""Models of the reports on who is a member of what: the organization, projects, the tenant and groups."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.models.reading import Event, Row, first, ids, instant, instant_of, micros, moment, nulls_first, nulls_last

if TYPE_CHECKING:
    from collections.abc import Iterable

Place = tuple[str, str | None]
"""What somebody is a member of: a scope, and a project if it is one."""

ORGANIZATION: Place = ("organization", None)
TENANT: Place = ("tenant", None)
_ROLE_AT = {"user.added": ("data", "role"), "user.updated": ("changes_requested", "role")}


@dataclass(frozen=True, slots=True)
class Move:
    """What an event did to somebody's membership of a place: grant, change or revoke."""

    event: Event
    user_id: str
    place: Place
    effect: str
    role: str | None = None


def moves_of(log: list[Event]) -> list[Move]:
    """Return what events did to memberships, as they tell it, in time order."""
    found = []
    offers: dict[str, dict[str, str | None]] = {}
    for event in log:
        if event.type == "invite.sent" and event.resource_id is not None:
            offer = offers.setdefault(event.resource_id, {})
            offer |= {name: told for name in ("email", "role") if (told := event.told("data", name)) is not None}
        elif event.effect in ("grant", "change", "revoke"):
            found.append(_move(event, offers.get(event.resource_id or "", {})))
    return [move for move in found if move]


def _move(event: Event, offer: dict[str, str | None]) -> Move | None:
    if event.area == "user":
        user_id, place = event.resource_id, ("organization", event.project_id)
        role = event.told(*_ROLE_AT[event.type]) if event.type in _ROLE_AT else None
    elif event.area == "invite":
        user_id, place, role = _accepted_by(event, offer.get("email")), ORGANIZATION, offer.get("role")
    else:
        user_id, place, role = _tenant_user(event), TENANT, event.told("role")
    return Move(event, user_id, place, event.effect, role) if user_id is not None else None


def _tenant_user(event: Event) -> str | None:
    """Return whom an event about a user or a membership of the tenant names."""
    if event.area == "tenant.user":
        return first(event.told("user_id"), event.told("user", "id"), event.resource_id)
    return event.told("user_id") if event.area == "tenant.membership" else None


def _accepted_by(event: Event, email: str | None) -> str | None:
    is_other = email is not None and event.actor_email is not None and email.lower() != event.actor_email.lower()
    return event.actor_id if event.actor_kind == "user" and not is_other else None


def memberships(log: list[Event]) -> dict[tuple[str, Place], list[Move]]:
    """Return what happened to each membership; who leaves the organization leaves its projects too."""
    moves = moves_of(log)
    found: dict[tuple[str, Place], list[Move]] = {(move.user_id, move.place): [] for move in moves}
    for move in moves:
        found[move.user_id, move.place].append(move)
        if move.place == ORGANIZATION and move.effect == "revoke":
            for (user_id, place), mine in found.items():
                is_project = user_id == move.user_id and place[1] is not None
                # Before the first event about a project nobody leaves it, which the page leaves open.
                if is_project and mine and mine[-1].effect != "revoke":
                    mine.append(replace(move, place=place))
    return found


@dataclass(frozen=True, slots=True)
class Membership:
    """A membership at a moment.

    Attributes:
        moves: What happened to it since it began.
        is_from_before: Whether it began before the first event about it.
        event_ids: Ids of the events that it rests on.
    """

    moves: list[Move]
    is_from_before: bool
    event_ids: list[str]

    @property
    def role(self) -> str | None:
        return first(*(move.role for move in reversed(self.moves)))

    @property
    def joined(self) -> Event | None:
        added = (move.event for move in self.moves if move.effect == "grant")
        return None if self.is_from_before else next(added, None)

    @property
    def changed(self) -> Event | None:
        changes = (move for move in reversed(self.moves) if move.effect == "change" and move.role is not None)
        return next((move.event for move in changes), None)


def _membership(mine: list[Move], at: int) -> Membership | None:
    """Return the membership at a moment.

    Who was removed and is changed after that is a member again, which the page leaves open.
    """
    past = [move for move in mine if move.event.at <= at]
    removals = [nth for nth, move in enumerate(past) if move.effect == "revoke"]
    since = past[removals[-1] + 1 :] if removals else past
    is_from_before = not removals and mine[0].effect != "grant"
    if not since and not is_from_before:
        return None
    return Membership(since, is_from_before, ids(move.event for move in since or mine[:1]))


def emails(log: list[Event]) -> dict[str, str]:
    """Return the address that each user acted with last.

    Of several in one instant it is the first in the alphabet, which the page leaves open.
    """
    found: dict[str, tuple[int, str]] = {}
    for event in log:
        if event.actor_kind == "user" and event.actor_id is not None and event.actor_email is not None:
            at, email = found.get(event.actor_id, (-1, ""))
            later = event.actor_email if event.at > at else min(email, event.actor_email)
            found[event.actor_id] = event.at, later
    return {user_id: email for user_id, (_, email) in found.items()}


def members_as_of(log: list[Event], *, as_of: str | None = None) -> list[Row]:
    """Return every membership at a moment."""
    at, email = moment(as_of, log), emails(log)
    histories = memberships(log)
    states = {each: _membership(mine, at) for each, mine in histories.items()}
    for event in log:
        each = (event.actor_id or "", ORGANIZATION)
        if event.actor_kind == "user" and event.actor_id and event.effect != "login_failed" and each not in states:
            states[each] = Membership([], is_from_before=True, event_ids=[event.id])
    rows = [
        {
            "user_id": user_id,
            "email": email.get(user_id),
            "scope": scope,
            "project_id": project_id,
            "role": state.role,
            "role_known": state.role is not None,
            "joined_at": instant_of(state.joined),
            "from_before": state.is_from_before,
            "last_change_at": instant_of(state.changed),
            "event_ids": state.event_ids,
        }
        for (user_id, (scope, project_id)), state in states.items()
        if state
    ]
    return sorted(
        rows,
        key=lambda row: (row["scope"], nulls_first(row["project_id"]), nulls_last(row["email"]), row["user_id"]),
    )


def access_diff(log: list[Event], *, before: str | None = None, after: str | None = None) -> list[Row]:
    """Return the memberships that differ at two moments."""
    start = log[0].at - 1 if before is None else micros(before)
    end, email = moment(after, log), emails(log)
    rows = []
    for (user_id, (scope, project_id)), mine in memberships(log).items():
        old, new = _membership(mine, start), _membership(mine, end)
        change = _change(old, new)
        if change is not None:
            between = [move.event for move in mine if start < move.event.at <= end]
            decisive = new.moves[0].event if new and change == "joined" else between[-1]
            rows.append(
                {
                    "user_id": user_id,
                    "email": email.get(user_id),
                    "scope": scope,
                    "project_id": project_id,
                    "change": change,
                    "role_before": old.role if old else None,
                    "role_after": new.role if new else None,
                    "effective_at": instant(decisive.at),
                    "actor": decisive.actor,
                    "event_ids": ids(between),
                }
            )
    return sorted(
        rows, key=lambda row: (row["effective_at"], row["user_id"], row["scope"], nulls_first(row["project_id"]))
    )


def _change(old: Membership | None, new: Membership | None) -> str | None:
    if old and new:
        return "role changed" if old.role != new.role else None
    if old or new:
        return "joined" if new else "left"
    return None


GROUP_AREAS = ("group", "tenant.group")
ASSIGNMENT_AREAS = ("role.assignment", "tenant.role_assignment", "tenant.resource_role_assignment")
ROLE_ENDS = ("role.deleted", "tenant.custom_role.deleted")


def group_id_of(event: Event) -> str | None:
    """Return the group that an event is about."""
    if event.area in (*GROUP_AREAS, "tenant.group.member"):
        return first(event.told("group_id") if event.is_of_tenant else None, event.resource_id)
    if event.area in ASSIGNMENT_AREAS:
        given = event.told("principal_id") if event.told("principal_type") == "group" else None
        return first(given, event.told("group_id") if event.is_of_tenant else None)
    return None


def member_id_of(event: Event) -> str | None:
    """Return whom an event about a member of a group names."""
    return first(event.told("user_id"), event.told("member_id"))


def role_id_of(event: Event) -> str | None:
    """Return the role that an assignment names, by role_id or by an id that is made of it."""
    start, end = "role_assignment_", f"_{event.told('principal_id')}"
    own = event.resource_id or ""
    is_made = own.startswith(start) and own.endswith(end) and len(own) > len(start + end)
    return first(event.told("role_id"), own[len(start) : -len(end)] if is_made else None)


@dataclass(slots=True)
class Assignment:
    """A role given to a group.

    Attributes:
        name: What it is known by: its id, or else its role.
        role_id: The role that an event about it named last.
        is_given: Whether it was given, and not taken back.
        role_end: What deleted its role first since.
    """

    name: str
    role_id: str | None = None
    is_given: bool = False
    role_end: Event | None = None


@dataclass(slots=True)
class Group:
    """A group until a moment."""

    name: str | None = None
    is_deleted: bool = False
    member_ids: set[str] = field(default_factory=set)
    assignments: dict[str, Assignment] = field(default_factory=dict)

    @property
    def roles(self) -> list[str]:
        given = (each for each in self.assignments.values() if each.is_given and not each.role_end)
        return sorted({first(each.role_id, each.name) or "" for each in given})

    @property
    def role_ends(self) -> list[Event]:
        """The ends of roles whose assignments would last without them."""
        return [each.role_end for each in self.assignments.values() if each.is_given and each.role_end]


def groups_as_of(log: list[Event], *, as_of: str | None = None) -> list[Row]:
    """Return every group at a moment."""
    at = moment(as_of, log)
    rows = []
    for group_id in {group_id_of(event) for event in log} - {None}:
        mine = [event for event in log if group_id_of(event) == group_id]
        past = [event for event in mine if event.at <= at]
        ends = [event for event in log if event.type in ROLE_ENDS and event.at <= at]
        is_from_before = mine[0].effect != "create"
        group = _replayed(sorted((*past, *ends), key=lambda event: event.order))
        if (past or is_from_before) and not group.is_deleted:
            rows.append(
                {
                    "group_id": group_id,
                    "scope": _scope_of(mine),
                    "name": group.name,
                    "created_at": None if is_from_before else instant(mine[0].at),
                    "from_before": is_from_before,
                    "members": len(group.member_ids),
                    "member_ids": sorted(group.member_ids),
                    "roles": group.roles,
                    "event_ids": ids((*past, *group.role_ends)) if past else [mine[0].id],
                }
            )
    return sorted(rows, key=lambda row: (row["scope"], nulls_last(row["name"]), row["group_id"]))


def _scope_of(mine: list[Event]) -> str:
    """Say whose a group is: the tenant's if an event about it or a member is, or if all events are."""
    is_managed = any(event.area in ("tenant.group", "tenant.group.member") for event in mine)
    return "tenant" if is_managed or all(event.is_of_tenant for event in mine) else "organization"


def _replayed(events: Iterable[Event]) -> Group:
    group = Group()
    for event in events:
        if event.type in ROLE_ENDS:
            _end_role(group, event)
        elif event.area in GROUP_AREAS:
            named = (event.told("data", "group_name"), event.told("changes_requested", "group_name"))
            group.name = first(*named, event.told("name"), group.name)
            group.is_deleted |= event.effect == "delete"
        elif event.area == "tenant.group.member":
            _move_member(group, event)
        else:
            _assign(group, event)
    return group


def _move_member(group: Group, event: Event) -> None:
    member_id = member_id_of(event)
    if member_id is not None and event.effect == "grant":
        group.member_ids.add(member_id)
    elif member_id is not None:
        group.member_ids.discard(member_id)


def _assign(group: Group, event: Event) -> None:
    role_id = role_id_of(event)
    name = first(event.resource_id, role_id)
    if name is not None:
        each = group.assignments.setdefault(name, Assignment(name))
        each.role_id = first(role_id, each.role_id)
        each.is_given = event.effect == "grant"
        each.role_end = None


def _end_role(group: Group, event: Event) -> None:
    for each in group.assignments.values():
        if each.role_id is not None and each.role_id == event.resource_id:
            each.role_end = each.role_end or event
