"""Models of the reports on privileges that are given: a replay, event by event, of who holds what."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from tests.models.reading import MINUTE_US, Event, Row, first, ids, instant_of, only
from tests.models.roles import (
    ACCOUNTS,
    ROLE_CHANGES,
    ROLE_DELETIONS,
    Assignment,
    Membership,
    Role,
    account_of,
    assignment_by,
    end_of,
    is_about_role,
    is_privileged,
    membership_by,
    removed,
    role_told,
    tenant_told,
)

TENANT_OFFERS = (
    "tenant.user.invited",
    "tenant.chatgpt_workspace_invite.upserted",
    "tenant.api_organization_invite.upserted",
)
_JOININGS = ("user.added", "tenant.user.added", "tenant.membership.accepted")


@dataclass(slots=True, eq=False)
class Grant:
    """An event that gives a privilege, or a role of which events do not tell what it allows.

    Attributes:
        event: The event.
        how: role, assignment, member, widening or invite.
        principal_id: Who received it; the role, if that was widened; the address, if it is an invite.
        kind: What kind of principal that is.
        role: The role's name, else its id.
        is_known: Whether it is known to be a privilege.
        holders: Who thereby holds it.
        permissions: The privileged permissions that it brings.
        basis: Earlier events that it rests on.
        assignments: The assignment, or those of the group that was joined, each with what its role is called.
        members: Those who hold it as members of a group.
        membership: The joining of the group.
    """

    event: Event
    how: str
    principal_id: str | None
    kind: str
    role: str | None
    is_known: bool = True
    holders: set[str] = field(default_factory=set)
    permissions: set[str] = field(default_factory=set)
    basis: list[Event] = field(default_factory=list)
    assignments: dict[Assignment, str | None] = field(default_factory=dict)
    members: list[Membership] = field(default_factory=list)
    membership: Membership | None = None


@dataclass(slots=True)
class Replay:
    """What stands, event by event, and the grants until then."""

    grants: list[Grant] = field(default_factory=list)
    roles: dict[str, Role] = field(default_factory=dict)
    assignments: list[Assignment] = field(default_factory=list)
    memberships: list[Membership] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """Take an event into account: what it gives comes before what it ends."""
        assignment = assignment_by(event)
        if event.type in ACCOUNTS:
            self._give_role(event)
        elif event.type == "invite.sent" or event.type in TENANT_OFFERS:
            self._invite(event)
        elif assignment is not None:
            self._assign(assignment)
        elif event.type in ROLE_CHANGES and event.resource_id is not None:
            self._alter(event, event.resource_id)
        elif event.type == "tenant.group.member.added":
            self._join(membership_by(event))
        elif event.type in ROLE_DELETIONS and event.resource_id is not None:
            self.roles.setdefault(event.resource_id, Role()).alter(event)
        self.assignments = [each for each in self.assignments if not each.is_ended_by(event)]
        self.memberships = [each for each in self.memberships if not each.is_ended_by(event)]

    def _give_role(self, event: Event) -> None:
        role, account = role_told(event), account_of(event)
        if is_privileged("role", role):
            holders = {account} if account is not None else set()
            self.grants.append(Grant(event, "role", account, ACCOUNTS[event.type], role, holders=holders))

    def _invite(self, event: Event) -> None:
        role, email = role_told(event), first(event.told("data", "email"), tenant_told(event, "email"))
        if is_privileged("role", role):
            self.grants.append(Grant(event, "invite", email, "invited", role))

    def _assign(self, assignment: Assignment) -> None:
        role = self._role(assignment)
        is_known = assignment.is_privileged_by_name or bool(role.privileges)
        if is_known or not role.is_defined:
            name = self._name(assignment)
            grant = Grant(
                assignment.event,
                "assignment",
                assignment.principal_id,
                assignment.kind,
                name,
                is_known,
                permissions=set(role.privileges),
                basis=list(role.privileges.values()),
                assignments={assignment: name},
            )
            self._hold(grant, [assignment])
        self.assignments.append(assignment)

    def _alter(self, event: Event, role_id: str) -> None:
        role = self.roles.setdefault(role_id, Role())
        gained = role.alter(event)
        if gained:
            held = [each for each in self.assignments if each.role_id == role_id]
            basis, name = [each.event for each in held], first(role.name, role_id)
            grant = Grant(event, "widening", role_id, "role", name, permissions=gained, basis=basis)
            self._hold(grant, held)

    def _join(self, joining: Membership) -> None:
        """Put somebody into a group, with the roles that it holds by then."""
        standing = [
            each
            for each in self.assignments
            if each.principal_id == joining.group_id is not None
            and (each.is_privileged_by_name or self._role(each).privileges)
        ]
        self.grants.append(
            Grant(
                joining.event,
                "member",
                joining.user_id,
                "user",
                None,
                bool(standing),
                holders={joining.user_id} if joining.user_id is not None else set(),
                basis=[event for each in standing for event in (each.event, *self._role(each).privileges.values())],
                assignments={each: self._name(each) for each in standing},
                membership=joining,
            )
        )
        self.memberships.append(joining)

    def _role(self, assignment: Assignment) -> Role:
        return self.roles.get(assignment.role_id or "", Role())

    def _name(self, assignment: Assignment) -> str | None:
        return first(self._role(assignment).name, assignment.role, assignment.role_id)

    def _hold(self, grant: Grant, held: list[Assignment]) -> None:
        """Add a grant, with those who hold what is assigned, and how they came into its groups."""
        for each in held:
            if each.kind == "group" and each.principal_id is not None:
                members = [member for member in self.memberships if member.group_id == each.principal_id]
                grant.members += members
                grant.holders |= {member.user_id for member in members if member.user_id is not None}
            elif each.principal_id is not None:
                grant.holders.add(each.principal_id)
        self.grants.append(grant)


def grants_of(log: list[Event]) -> list[Grant]:
    """Return what events give, in time order."""
    replay = Replay()
    for event in log:
        replay.take(event)
    for grant in replay.grants:
        if grant.how == "member" and grant.assignments:
            grant.role = _held_longest(grant, log)
    return replay.grants


def _held_longest(grant: Grant, log: list[Event]) -> str | None:
    """Return the role of a group that is held longest from a joining on, of several the first in the alphabet."""

    def rank(assignment: Assignment) -> tuple[float, str]:
        end = end_of(assignment, log, grant.event)
        return -end.at if end else -inf, grant.assignments[assignment] or ""

    return grant.assignments[min(grant.assignments, key=rank)]


def finding(name: str, event: Event, severity: str, **columns: object) -> Row:
    """Return the row of a check."""
    return {
        "finding": f"{name}:{event.id}",
        "severity": severity,
        "effective_at": instant_of(event),
        "actor": event.actor,
        **columns,
    }


def privileged_grants(log: list[Event]) -> list[Row]:
    """Return who was given which privilege; roles of which events do not tell, together for each actor."""
    grants = [grant for grant in grants_of(log) if grant.is_known or grant.how == "assignment"]
    unknown: dict[str, list[Grant]] = {}
    for grant in grants:
        if not grant.is_known:
            unknown.setdefault(grant.event.actor or f"nobody, in {grant.event.id}", []).append(grant)
    rows = [(grant.event, _privileged_grant(grant)) for grant in grants if grant.is_known]
    rows += [(several[0].event, _unknown_roles(several)) for several in unknown.values()]
    return [row for _, row in sorted(rows, key=lambda pair: pair[0].order)]


def _privileged_grant(grant: Grant) -> Row:
    is_mild = grant.how == "invite" or (grant.how == "widening" and not grant.holders)
    return finding(
        "privileged_grants",
        grant.event,
        "medium" if is_mild else "high",
        resource_id=grant.event.resource_id,
        event_ids=ids([*grant.basis, grant.event]),
        how=grant.how,
        principal_id=grant.principal_id,
        principal_type=grant.kind,
        role=grant.role,
        permissions=sorted(grant.permissions),
        known=True,
        holders=sorted(grant.holders),
    )


def _unknown_roles(grants: list[Grant]) -> Row:
    roles = {grant.role for grant in grants}
    return finding(
        "privileged_grants",
        grants[0].event,
        "medium",
        resource_id=only(grant.event.resource_id for grant in grants),
        event_ids=ids(grant.event for grant in grants),
        how="assignment",
        principal_id=only(grant.principal_id for grant in grants),
        principal_type=only(grant.kind for grant in grants),
        role=roles.pop() if len(roles) == 1 else None,
        permissions=[],
        known=False,
        holders=sorted(set[str]().union(*(grant.holders for grant in grants))),
    )


def privilege_flicker(log: list[Event], *, within_minutes: int = 60) -> list[Row]:
    """Return the privileges that ended soon after they were given, and what was done meanwhile."""
    rows = []
    for grant in grants_of(log):
        is_joined = grant.principal_id is not None and grant.principal_id == grant.event.actor_id
        end = _end(grant, log) if grant.is_known or grant.how == "assignment" or is_joined else None
        if end is not None and end.at - grant.event.at <= within_minutes * MINUTE_US:
            rows.append(_flicker(grant, end, log))
    return rows


def _flicker(grant: Grant, end: Event, log: list[Event]) -> Row:
    uses = [
        event
        for event in log
        if grant.event.order < event.order < end.order
        and event.actor_id in grant.holders
        and event.effect != "login_failed"
    ]
    return finding(
        "privilege_flicker",
        grant.event,
        "high" if grant.is_known else "medium",
        resource_id=grant.event.resource_id,
        event_ids=ids([grant.event, *uses, end]),
        how=grant.how,
        principal_id=grant.principal_id,
        role=grant.role,
        known=grant.is_known,
        ended_at=instant_of(end),
        held_s=round((end.at - grant.event.at) / 1_000_000),
        uses=len(uses),
        used_for=sorted({event.type for event in uses}),
    )


def _end(grant: Grant, log: list[Event]) -> Event | None:
    """Return what took a privilege back; nothing, if it is an invite's."""
    later = [event for event in log if event.order > grant.event.order]
    if grant.how == "role":
        return next((event for event in later if _takes_role(event, grant)), None)
    if grant.how == "widening":
        return _narrowed(grant, later)
    ends = [end_of(assignment, log, grant.event) for assignment in grant.assignments]
    emptied = max((end for end in ends if end), key=lambda end: end.order) if ends and all(ends) else None
    joining = grant.membership
    left = next((event for event in later if joining is not None and joining.is_ended_by(event)), None)
    return min((end for end in (emptied, left) if end), key=lambda end: end.order, default=None)


def _takes_role(event: Event, grant: Grant) -> bool:
    """Say whether an event gives an account a lesser role in the same place, or removes it from there."""
    given, role = grant.event, role_told(event)
    if grant.principal_id is None or event.is_of_tenant != given.is_of_tenant:
        return False
    if ACCOUNTS.get(event.type) == grant.kind and role is not None:
        is_theirs = account_of(event) == grant.principal_id and event.project_id == given.project_id
        return is_theirs and not is_privileged("role", role)
    if grant.kind == "user":
        return removed(event) == grant.principal_id and event.project_id in (None, given.project_id)
    return event.type == "service_account.deleted" and event.resource_id == grant.principal_id


def _narrowed(grant: Grant, later: list[Event]) -> Event | None:
    """Return what took the first of the permissions that a role had gained."""
    role = Role(is_defined=True, privileges=dict.fromkeys(grant.permissions, grant.event))
    for event in later:
        if is_about_role(event, grant.principal_id):
            role.alter(event)
            if grant.permissions - set(role.privileges):
                return event
    return None


def self_grants(log: list[Event]) -> list[Row]:
    """Return the privileges that people gave to themselves."""
    return [row for grant in grants_of(log) for row in _self_grant(grant, log)]


def _self_grant(grant: Grant, log: list[Event]) -> list[Row]:
    through = _through(grant, log)
    is_joining = grant.how == "role" and through == "id" and grant.event.type in _JOININGS
    offered = _offered(grant.event, log) if is_joining else []
    is_unknown_group = grant.how == "member" and not grant.is_known
    is_excused = (grant.role or "").lower() in [role.lower() for role in offered if role is not None]
    if through is None or is_excused or (is_unknown_group and through != "id"):
        return []
    is_direct = through in ("id", "e-mail") and grant.how in ("role", "assignment")
    is_mild = not grant.is_known or None in offered
    made = _key_made(grant, log) if through == "key" else None
    joined = [each.event for each in grant.members if each.user_id == grant.event.actor_id]
    path = joined if through in ("group", "role") else [made]
    row = finding(
        "self_grants",
        grant.event,
        "medium" if is_mild else "critical" if is_direct else "high",
        resource_id=grant.event.resource_id,
        event_ids=ids([*grant.basis, *path, grant.event]),
        how=grant.how,
        through=through,
        principal_id=grant.principal_id,
        role=grant.role,
        permissions=sorted(grant.permissions),
        known=grant.is_known,
        key_event_id=made.id if made else None,
    )
    return [row]


def _through(grant: Grant, log: list[Event]) -> str | None:
    """Return what makes the actor and the receiver of a grant the same."""
    actor, mailbox = grant.event.actor_id, grant.event.mailbox
    if grant.how == "invite":
        return "e-mail" if mailbox is not None and mailbox == (grant.principal_id or "").lower() else None
    if actor is not None and grant.how != "widening" and grant.principal_id == actor:
        return "id"
    mailboxes: dict[str | None, str] = {
        event.actor_id: event.mailbox for event in log if event.actor_id and event.mailbox
    }
    if mailbox is not None and grant.kind == "user" and mailboxes.get(grant.principal_id) == mailbox:
        return "e-mail"
    if actor in grant.holders and grant.kind in ("group", "role"):
        return grant.kind
    return "key" if _key_made(grant, log) else None


def _key_made(grant: Grant, log: list[Event]) -> Event | None:
    """Return how the actor made a key that acted for the service account that received a grant."""
    used = {
        event.actor_key
        for event in log
        if event.actor_kind == "service_account" and event.actor_id == grant.principal_id is not None
    }
    actor = grant.event.actor_id
    made = (event for event in log if event.type == "api_key.created" and event.resource_id in used - {None})
    return next((event for event in made if event.actor_id == actor is not None), None)


def _offered(joining: Event, log: list[Event]) -> list[str | None]:
    """Return the roles that the joiner accepted within the hour before; None for what events do not tell."""
    accepted = (
        event
        for event in log
        if event.actor_id == joining.actor_id
        and event.actor_kind == "user"
        and 0 <= joining.at - event.at <= 60 * MINUTE_US
    )
    return [role for event in accepted for role in _roles_accepted(event, joining, log)]


def _roles_accepted(accepted: Event, joining: Event, log: list[Event]) -> list[str | None]:
    before = [event for event in log if event.order < accepted.order]
    if accepted.type == "tenant.membership.accepted":
        theirs = accepted.mailbox or "nobody's"
        offers = [event for event in before if event.type in TENANT_OFFERS and _mailbox(event) == theirs]
        roles = [role_told(event) for event in offers if joining.is_of_tenant or "api_organization" in event.type]
        return roles if offers else [None] if joining.is_of_tenant else []
    if accepted.type != "invite.accepted" or joining.is_of_tenant:
        return []
    sent = [event for event in before if event.type == "invite.sent" and event.resource_id == accepted.resource_id]
    mailboxes = [mailbox for event in sent if (mailbox := _mailbox(event)) is not None]
    if mailboxes and accepted.mailbox not in (None, mailboxes[-1]):
        return []
    return [next((role for event in reversed(sent) if (role := role_told(event)) is not None), None)]


def _mailbox(offer: Event) -> str | None:
    """Return the address that an invite went to, in lower case."""
    email = first(offer.told("data", "email"), tenant_told(offer, "email"))
    return None if email is None else email.lower()
