"""Models of the reports on service accounts, invites, and what removed people leave behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.models.keys import Key, living
from tests.models.members import (
    ASSIGNMENT_AREAS,
    GROUP_AREAS,
    ORGANIZATION,
    ROLE_ENDS,
    Move,
    emails,
    group_id_of,
    member_id_of,
    moves_of,
    role_id_of,
)
from tests.models.reading import (
    DAY_US,
    EPOCH,
    Event,
    Row,
    actor_of,
    first,
    ids,
    instant,
    instant_of,
    moment,
    only,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SERVICE_AREAS = ("service_account", "tenant.service_account")
_ROLE_AT = {
    "service_account.created": ("data", "role"),
    "service_account.updated": ("changes_requested", "role"),
    "tenant.service_account.updated": ("role",),
}


def service_accounts(log: list[Event]) -> list[Row]:
    """Return every service account that events are about, or are caused by."""
    named = {event.resource_id for event in log if event.area in SERVICE_AREAS}
    acting = {event.actor_id for event in log if event.actor_kind == "service_account"}
    rows = [_service_account(log, each) for each in (named | acting) - {None}]
    return sorted(rows, key=lambda row: (row["created_at"] or EPOCH, row["service_account_id"]))


def _service_account(log: list[Event], id_: str | None) -> Row:
    about = [event for event in log if event.area in SERVICE_AREAS and event.resource_id == id_]
    acts = [event for event in log if event.actor_kind == "service_account" and event.actor_id == id_]
    created = next((event for event in reversed(about) if event.effect == "create"), None)
    ended = next((event for event in reversed(about) if event.effect in ("create", "delete")), None)
    deleted = ended if ended and ended.effect == "delete" else None
    told = [event for event in about if _role_given(event) is not None]
    changed = next((event for event in reversed(told) if event.effect == "change"), None)
    places = [event.project_id for event in about if event.project_id is not None]
    return {
        "service_account_id": id_,
        "project_id": only(places or (event.project_id for event in acts)),
        "role": _role_given(told[-1]) if told else None,
        "created_by": actor_of(created),
        "created_at": instant_of(created),
        "state": "deleted" if deleted else "alive",
        "last_role_change_at": instant_of(changed),
        "deleted_at": instant_of(deleted),
        "keys_used": sorted({event.actor_key for event in acts if event.actor_key is not None}),
        "last_event_at": instant_of(next(reversed(acts), None)),
        "events_as_actor": len(acts),
        "event_ids": ids(about),
    }


def _role_given(event: Event) -> str | None:
    return event.told(*_ROLE_AT[event.type]) if event.type in _ROLE_AT else None


SENDINGS = (
    "invite.sent",
    "tenant.user.invited",
    "tenant.api_organization_invite.upserted",
    "tenant.chatgpt_workspace_invite.upserted",
)
_WITHDRAWALS = ("invite.deleted", "tenant.api_organization_invite.deleted")
_ANSWERS = ("invite.accepted", "tenant.membership.accepted", "tenant.membership.declined")


@dataclass(slots=True)
class Invite:
    """An invite: all that sent it, and what closed it last."""

    sendings: list[Event] = field(default_factory=list)
    closed: Event | None = None

    @property
    def last(self) -> Event:
        return self.sendings[-1]

    @property
    def email(self) -> str | None:
        email = self.last.told("email") if self.last.is_of_tenant else self.last.told("data", "email")
        return email.lower() if email is not None else None

    @property
    def role(self) -> str | None:
        return self.last.told("role") if self.last.is_of_tenant else self.last.told("data", "role")

    @property
    def is_open(self) -> bool:
        return self.closed is None or self.closed.order < self.last.order

    def is_closed_by(self, event: Event) -> bool:
        named = {event.resource_id, event.told("invite_id") if event.is_of_tenant else None} - {None}
        email = event.told("email") if event.area == "tenant.membership" and self.last.is_of_tenant else None
        return self.last.resource_id in named or (email is not None and email.lower() == self.email)


def open_invites(log: list[Event]) -> list[Invite]:
    """Return the invites that nobody answered or withdrew; one without an id is known by its event alone."""
    found: dict[tuple[str, str], Invite] = {}
    for event in log:
        if event.type in SENDINGS:
            found.setdefault((event.area, event.resource_id or event.id), Invite()).sendings.append(event)
        elif event.type in (*_WITHDRAWALS, *_ANSWERS):
            for invite in found.values():
                if invite.is_closed_by(event):
                    invite.closed = event
    return [invite for invite in found.values() if invite.is_open]


def pending_invites(log: list[Event], *, min_age_days: int = 7, as_of: str | None = None) -> list[Row]:
    """Return the open invites that were last sent so long ago."""
    at = moment(as_of, log)
    old = [invite for invite in open_invites(until(log, at)) if at - invite.last.at >= min_age_days * DAY_US]
    return [
        {
            "finding": f"pending_invites:{invite.sendings[0].id}",
            "severity": "medium" if (invite.role or "").lower() == "owner" else "low",
            "effective_at": instant(invite.sendings[0].at),
            "actor": invite.last.actor,
            "resource_id": invite.last.resource_id,
            "event_ids": ids(invite.sendings),
            "email": invite.email,
            "role": invite.role,
            "last_sent_at": instant(invite.last.at),
            "age_days": (at - invite.last.at) // DAY_US,
        }
        for invite in sorted(old, key=lambda invite: (invite.last.at, invite.sendings[0].id))
    ]


def _namer(log: list[Event], email: str | None) -> Event | None:
    """Return the first event that gives an address an id, unless events give it several."""
    named = [
        event
        for event in log
        if event.actor_id is not None and event.actor_email and event.actor_email.lower() == (email or "").lower()
    ]
    return named[0] if only(event.actor_id for event in named) else None


def _who_caused(log: list[Event], event: Event | None) -> str | None:
    """Return the id of who caused an event, by an address that nobody else has if it gives no id."""
    source = event if event is None or event.actor_id is not None else _namer(log, event.actor_email)
    return source.actor_id if source else None


def _comings_and_goings(log: list[Event]) -> list[Move]:
    """Return who was removed or came back, users and service accounts."""
    services = [
        Move(event, event.resource_id, ("service account", None), "revoke" if event.effect == "delete" else "grant")
        for event in log
        if event.area in SERVICE_AREAS and event.effect in ("create", "delete") and event.resource_id is not None
    ]
    moves = [move for move in moves_of(log) if move.effect in ("grant", "revoke")]
    return sorted((*moves, *services), key=lambda move: move.event.order)


def _undoes(back: Move, removal: Move) -> bool:
    """Say whether a return is one to where somebody was removed from; who is in a project is in the organization."""
    scope, project_id = removal.place
    if scope == "organization":
        return back.place[0] == scope and project_id in (None, back.place[1])
    return True


def _standing_removals(log: list[Event], person: str) -> list[Move]:
    mine = [move for move in _comings_and_goings(log) if move.user_id == person]
    returns = [move for move in mine if move.effect == "grant"]
    return [
        move
        for move in mine
        if move.effect == "revoke"
        and not any(back.event.order > move.event.order and _undoes(back, move) for back in returns)
    ]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody behind a key.

    Attributes:
        part: ``owner`` or ``creator``.
        id: Who it is.
        name: What the person is called.
        namer: The event that tells the id, if that which made the key does not.
    """

    part: str
    id: str
    name: str | None
    namer: Event | None = None


def _people_of(key: Key, log: list[Event]) -> Iterator[Person]:
    if key.owner_id is not None:
        yield Person("owner", key.owner_id, key.owner)
    creator_id = _who_caused(log, key.created)
    if key.created and creator_id is not None and creator_id != key.owner_id:
        namer = _namer(log, key.created.actor_email) if key.created.actor_id is None else None
        yield Person("creator", creator_id, key.created.actor, namer)


def orphaned_keys(log: list[Event], *, as_of: str | None = None) -> list[Row]:
    """Return the living keys whose owner or creator was removed and did not come back."""
    at = moment(as_of, log)
    log = until(log, at)
    rows = [
        _orphaned(key, person, removals, at)
        for key in living(log)
        for person in _people_of(key, log)
        if (removals := _standing_removals(log, person.id))
    ]
    return sorted(
        rows,
        key=lambda row: (row["severity"] == "medium", row["effective_at"], row["resource_id"], row["part"] != "owner"),
    )


def _orphaned(key: Key, person: Person, removals: list[Move], at: int) -> Row:
    def is_elsewhere(removal: Move) -> bool:
        return removal.place[1] is not None and removal.place[1] != key.project_id

    removal = min(removals, key=lambda each: (is_elsewhere(each), each.event.order))
    is_medium = is_elsewhere(removal) or (person.part == "creator" and key.owner_id is not None)
    return {
        "finding": f"orphaned_keys:{removal.event.id}:{key.id}",
        "severity": "medium" if is_medium else "high",
        "effective_at": instant(removal.event.at),
        "actor": person.name,
        "resource_id": key.id,
        "event_ids": ids((key.created, removal.event, key.used, person.namer)),
        "removed": person.id,
        "part": person.part,
        "project_id": key.project_id,
        "alive_days": (at - removal.event.at) // DAY_US,
        "last_used_at": instant_of(key.used),
    }


Left = list[tuple[str, Event]]
"""Things that somebody left behind, each with the event that it rests on."""


def offboarding_gaps(log: list[Event], *, as_of: str | None = None) -> list[Row]:
    """Return what each user who was removed from the organization left behind, by its kind."""
    at, email = moment(as_of, log), emails(log)
    log = until(log, at)
    return [
        _gap(removal, email.get(removal.user_id, removal.user_id), kind, left, at)
        for removal, back in _departures(log)
        for kind, left in _left_behind(log, removal, back).items()
        if left
    ]


def _departures(log: list[Event]) -> list[tuple[Move, Event | None]]:
    """Return each removal from the organization of somebody who was not removed already, with the return after it."""
    moves = [move for move in moves_of(log) if move.place == ORGANIZATION and move.effect != "change"]
    found = []
    for user_id in {move.user_id for move in moves}:
        mine = [move for move in moves if move.user_id == user_id]
        removals = [mine[0], *(move for earlier, move in pairwise(mine) if earlier.effect == "grant")]
        for removal in removals:
            if removal.effect == "revoke":
                later = (move.event for move in mine if move.event.order > removal.event.order)
                found.append((removal, next((event for event in later if event.effect == "grant"), None)))
    return sorted(found, key=lambda each: each[0].event.order)


def _gap(removal: Move, name: str, kind: str, left: Left, at: int) -> Row:
    things = sorted({thing for thing, _ in left})
    return {
        "finding": f"offboarding_gaps:{removal.event.id}:{kind}",
        "severity": {"events": "critical", "keys": "high"}.get(kind, "medium"),
        "effective_at": instant(removal.event.at),
        "actor": name,
        "resource_id": removal.user_id,
        "event_ids": ids((removal.event, *(event for _, event in left))),
        "left_behind": kind,
        "things": things,
        "count": len(left) if kind == "events" else len(things),
        "age_days": (at - removal.event.at) // DAY_US,
    }


def _left_behind(log: list[Event], removal: Move, back: Event | None) -> dict[str, Left]:
    """Return what was left behind, kinds in the order of the alphabet."""
    events = _caused(log, removal, back)
    if back is not None:
        return {"events": events}
    finders: dict[str, Callable[[list[Event], str], Left]] = {
        "assignments": _assignments,
        "groups": _groups,
        "invites": _invites,
        "keys": _keys,
        "service accounts": _services,
    }
    found = {"events": events} | {kind: find(log, removal.user_id) for kind, find in finders.items()}
    return dict(sorted(found.items()))


def _caused(log: list[Event], removal: Move, back: Event | None) -> Left:
    return [
        (event.type, event)
        for event in log
        if event.actor_id == removal.user_id
        and event.order > removal.event.order
        and (back is None or event.order < back.order)
        and event.area != "logout"
        and event.effect != "login_failed"
    ]


def _keys(log: list[Event], user_id: str) -> Left:
    return [(key.id, key.since) for key in living(log) if user_id in (key.owner_id, _who_caused(log, key.created))]


def _services(log: list[Event], user_id: str) -> Left:
    return [
        (event.resource_id, event)
        for nth, event in enumerate(log)
        if event.area in SERVICE_AREAS and event.effect == "create" and event.resource_id is not None
        if _who_caused(log, event) == user_id
        and not any(
            end.area in SERVICE_AREAS and end.effect == "delete" and end.resource_id == event.resource_id
            for end in log[nth:]
        )
    ]


def _invites(log: list[Event], user_id: str) -> Left:
    """Return the open invites to the organization that somebody sent since they were last closed."""
    return [
        (invite.last.resource_id, sent)
        for invite in open_invites(log)
        if invite.last.resource_id is not None and not invite.last.is_of_tenant
        for sent in invite.sendings
        if (invite.closed is None or sent.order > invite.closed.order) and _who_caused(log, sent) == user_id
    ]


def _assignments(log: list[Event], user_id: str) -> Left:
    return [
        (name, event)
        for nth, event in enumerate(log)
        if event.area in ASSIGNMENT_AREAS and event.effect == "grant" and _receiver(event) == user_id
        if (name := _name_of(event)) is not None and not any(_takes_back(end, event) for end in log[nth:])
    ]


def _receiver(event: Event) -> str | None:
    return first(event.told("principal_id"), event.told("user_id") if event.is_of_tenant else None)


def _name_of(assignment: Event) -> str | None:
    """Return what an assignment is known by: its id, or else its role."""
    return first(assignment.resource_id, role_id_of(assignment))


def _takes_back(end: Event, given: Event) -> bool:
    """Say whether an event ends an assignment: by its id whomever it names, or by its role and receiver."""
    if end.type in ROLE_ENDS:
        return end.resource_id is not None and end.resource_id == role_id_of(given)
    is_same = end.resource_id is not None or _receiver(end) == _receiver(given)
    is_one = (end.resource_id, _name_of(end)) == (given.resource_id, _name_of(given))
    return end.area in ASSIGNMENT_AREAS and end.effect == "revoke" and is_one and is_same


def _groups(log: list[Event], user_id: str) -> Left:
    return [
        (group_id, event)
        for nth, event in enumerate(log)
        if event.area == "tenant.group.member" and event.effect == "grant" and member_id_of(event) == user_id
        if (group_id := group_id_of(event)) is not None and not _is_left(log[nth:], group_id, user_id)
    ]


def _is_left(later: Sequence[Event], group_id: str, user_id: str) -> bool:
    """Say whether a group is deleted or left by somebody."""
    return any(
        (event.area in GROUP_AREAS and event.effect == "delete")
        or (event.area == "tenant.group.member" and event.effect == "revoke" and member_id_of(event) == user_id)
        for event in later
        if group_id_of(event) == group_id
    )
