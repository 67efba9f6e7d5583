"""What happens in the organization: lives of people and keys, daily sign-ins, automation, administration."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from auditframe.catalogue import catalogue
from auditframe.sample.details import API_SCOPES
from auditframe.sample.dice import Weighted
from auditframe.sample.people import Person, ServiceAccount
from auditframe.sample.plans import Plan, event_id, key_actor, office_second, seated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from auditframe.sample.dice import Dice
    from auditframe.sample.people import Cast, Key, Project

_DAY_S = 86_400

# Told as lives below, so never drawn at random: a key is not deleted and then used.
_TOLD_AREAS = frozenset({"api_key", "user", "service_account", "project", "invite"})
_DAILY_AREAS = frozenset({"login", "logout"})
_AUTOMATION = Weighted(
    {
        "resource.deleted": 40,
        "rate_limit.updated": 14,
        "tenant.user.looked_up": 12,
        "workflow.version.created": 8,
        "checkpoint.permission.created": 3,
        "checkpoint.permission.deleted": 2,
        "role.assignment.created": 4,
        "role.assignment.deleted": 3,
        "tenant.group.member.added": 4,
        "tenant.group.member.removed": 3,
    }
)
_NOBODY = frozenset({"tenant.workload_identity.access_token.issued", "tenant.migration.completed"})
_ADMINISTRATION = Weighted(
    {
        name: 4 if kind.scope == "organization" else 1
        for name, kind in catalogue().items()
        if kind.area not in _TOLD_AREAS | _DAILY_AREAS
    }
)
_DAILY = Weighted({"visit": 26, "automation": 20, "issue": 4, "administration": 3})


def lives(dice: Dice, cast: Cast) -> Iterator[Plan]:
    """Plan what begins and ends: people, projects, service accounts and keys."""
    for person in cast.people:
        yield from _life_of_person(dice, cast, person)
    for project in cast.projects:
        yield from _within(project, _life_of_project(dice, cast, project))
    for number, account in enumerate(cast.service_accounts):
        yield from _within(account.project, _life_of_account(dice, cast, account, number))
    for number, key in enumerate(cast.keys):
        yield from _within(key.project, _life_of_key(dice, cast, key, number))


def allowlists(dice: Dice, cast: Cast) -> Iterator[Plan]:
    """Plan an IP allow-list that is written, enforced, switched off for an hour, and enforced again."""
    span = cast.end - cast.start
    owner, made, off = dice.pick(cast.owners), cast.start + span // 10, cast.start + span // 2
    one = {"id": "ipal_" + dice.token(12), "name": "offices"}
    config = {"configs": [one]}
    yield _by(dice, owner, made, "ip_allowlist.created", {**one, "allowed_ips": ["192.0.2.0/24", "203.0.113.0/24"]})
    yield _by(dice, owner, made + 90, "ip_allowlist.config.activated", config)
    yield _by(dice, owner, off, "ip_allowlist.config.deactivated", config)
    yield _by(dice, owner, off + 3_540, "ip_allowlist.updated", {"id": one["id"], "allowed_ips": ["192.0.2.0/24"]})
    yield _by(dice, owner, off + 3_600, "ip_allowlist.config.activated", config)


def one_of_each(dice: Dice, cast: Cast) -> Iterator[Plan]:
    """Plan one event of every type that the lives do not tell, so that none is missing."""
    for type_, kind in catalogue().items():
        if kind.area not in _TOLD_AREAS:
            at = office_second(dice, cast.start, cast.end)
            yield _by(dice, dice.pick(cast.owners), at, type_)


def everyday(dice: Dice, cast: Cast) -> Iterator[Plan]:
    """Plan everyday life without end: sign-ins, automation, tokens, administration."""
    keys = tuple(key for key in cast.keys if key.used)
    while True:
        what = _DAILY.draw(dice)
        if what == "visit":
            yield from _visit(dice, cast)
        elif what == "automation" and keys:
            yield from _run(dice, cast, dice.pick(keys))
        elif what == "issue":
            at = dice.between(cast.start, cast.end)
            yield Plan(event_id(dice, at), at, "tenant.workload_identity.access_token.issued", None)
        else:
            at = office_second(dice, cast.start, cast.end)
            yield _by(dice, dice.pick(cast.owners), at, _ADMINISTRATION.draw(dice))


def _visit(dice: Dice, cast: Cast) -> Iterator[Plan]:
    """Plan one person's sign-in, now and then after a mistyped password, and perhaps the sign-out."""
    person = dice.pick(cast.people)
    start, end = max(person.begins + 2, cast.start), min(person.ends, cast.end)
    at = office_second(dice, start, end, offset_h=person.office.offset_h)
    actor = seated(dice, person)
    mistakes = dice.between(1, 3) if dice.chance(12) else 0
    for turn in range(mistakes):
        earlier = max(start, at - 20 * (mistakes - turn))
        yield Plan(event_id(dice, earlier), earlier, "login.failed", actor)
    yield Plan(event_id(dice, at), at, "login.succeeded", actor)
    leaves = at + 1_800 + dice.below(8 * 3_600)
    if leaves < end and dice.below(3):
        yield Plan(event_id(dice, leaves), leaves, "logout.failed" if dice.chance(60) else "logout.succeeded", actor)


def _run(dice: Dice, cast: Cast, key: Key) -> Iterator[Plan]:
    """Plan one run of a script: one event or several of a type, most in the same second."""
    at = dice.between(max(key.begins, cast.start), min(key.ends, cast.end))
    type_, actor = _AUTOMATION.draw(dice), key_actor(dice, key)
    project = None if catalogue()[type_].scope == "tenant" else key.project
    for _ in range(1 + dice.below(4) * dice.below(2)):
        yield Plan(event_id(dice, at), at, type_, actor, project)
        at = min(at + dice.below(2), min(key.ends, cast.end) - 1)


def _life_of_person(dice: Dice, cast: Cast, person: Person) -> Iterator[Plan]:
    owner, joined, left = dice.pick(cast.owners), person.begins, person.ends
    invite, role = {"id": "invite-" + dice.token(16)}, {"role": person.role}
    sent = joined - 60 - dice.below(2 * _DAY_S)
    yield _by(dice, owner, sent, "invite.sent", {**invite, "data": {"email": person.email, **role}})
    yield _by(dice, person, joined, "invite.accepted", invite)
    yield _by(dice, person, joined + 1, "user.added", {"id": person.id, "data": role})
    if person.seat % 9 == 4:
        at = office_second(dice, max(joined, cast.start), min(left, cast.end))
        yield _by(dice, owner, at, "user.updated", {"id": person.id, "changes_requested": {"role": "member"}})
    if person.seat % 11 == 6:
        withdrawn = {"id": "invite-" + dice.token(16)}
        at = office_second(dice, cast.start, cast.end)
        guest = {"email": f"guest{person.seat}@example.org", "role": "member"}
        yield _by(dice, owner, at, "invite.sent", {**withdrawn, "data": guest})
        yield _by(dice, owner, at + 3_600, "invite.deleted", withdrawn)
    yield _by(dice, owner, left, "user.deleted", {"id": person.id})


def _life_of_project(dice: Dice, cast: Cast, project: Project) -> Iterator[Plan]:
    owner, ref = dice.pick(cast.owners), {"id": project.id}
    titles = {"name": project.title, "title": project.title}
    yield _by(dice, owner, project.begins, "project.created", {**ref, "data": titles})
    at = office_second(dice, max(project.begins + 60, cast.start), min(project.ends, cast.end))
    yield _by(dice, owner, at, "project.updated", {**ref, "changes_requested": {"title": project.title}})
    yield _by(dice, owner, project.ends, "project.archived", ref)
    yield _by(dice, owner, project.ends + (cast.end - cast.start) // 32, "project.deleted", ref)


def _life_of_account(dice: Dice, cast: Cast, account: ServiceAccount, number: int) -> Iterator[Plan]:
    owner, ref = dice.pick(cast.owners), {"id": account.id}
    yield _by(dice, owner, account.begins, "service_account.created", {**ref, "data": {"role": "member"}})
    if number % 3 == 0:
        change = {"changes_requested": {"role": dice.pick(("member", "owner"))}}
        yield _by(dice, owner, _amid(dice, cast, account), "service_account.updated", {**ref, **change})
    yield _by(dice, owner, account.ends, "service_account.deleted", ref)


def _life_of_key(dice: Dice, cast: Cast, key: Key, number: int) -> Iterator[Plan]:
    by, ref = key.owner if isinstance(key.owner, Person) else dice.pick(cast.owners), {"id": key.id}
    yield _by(dice, by, key.begins, "api_key.created", {**ref, "data": {"scopes": dice.some(API_SCOPES)}})
    # The specification's form and the one in the vendor's own example: both occur.
    form = ("changes_requested", "data")[number % 2]
    for _ in range(dice.below(3)):
        scopes = {form: {"scopes": dice.some(API_SCOPES)}}
        yield _by(dice, by, _amid(dice, cast, key), "api_key.updated", {**ref, **scopes})
    yield _by(dice, by, key.ends, "api_key.deleted", ref)


def _amid(dice: Dice, cast: Cast, life: ServiceAccount | Key) -> int:
    """Draw a second inside a life and the sample, or outside the sample when they do not meet."""
    return dice.between(max(life.begins + 1, cast.start), min(life.ends, cast.end))


def _within(project: Project, plans: Iterable[Plan]) -> Iterator[Plan]:
    return (replace(plan, project=project) for plan in plans)


def _by(dice: Dice, person: Person, at: int, type_: str, known: Mapping[str, Any] = MappingProxyType({})) -> Plan:
    actor = None if type_ in _NOBODY else seated(dice, person)
    return Plan(event_id(dice, at), at, type_, actor, known=known)
