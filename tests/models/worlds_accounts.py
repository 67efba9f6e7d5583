"""Worlds drawn at random of users, keys, service accounts, invites, groups and roles, and what to ask about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.models.reading import EPOCH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from tests.models.reading import Event

Payload = tuple[str, dict[str, Any]]
"""A type and what stands under it."""

_T0 = 1_767_225_600
_DAY_S = 86_400
_USERS = {
    "user-a": "ada@example.com",
    "user-b": "bo@example.com",
    "user-B": "Bo2@example.com",
    "user-c": "cy@example.org",
}
_STRAYS = ("ada@example.com", "ADA@example.com", "bo@example.com", "cy@example.org", "CY@example.org")
_KEYS = ("key_1", "key_2", "KEY_1", "key_3")
_SERVICES = ("svc_1", "svc_2", "SVC_1")
_GROUPS = ("group_1", "Group_1", "tg_1")
_ROLES = ("role_1", "role_2")
_GIVEN = ("owner", "member", "reader")
_SCOPES = (
    *("api.all", "*", "all", "models:*", "wall", "api.Admin", "api.management.read", "api.owner.x", "api.read"),
    *("api.write", "write", "api.files.write", "api.write.files", "API.MANAGE", "delete.x", "api.files.delete"),
)
_ADDRESSES = ("192.0.2.1", "2001:db8::2", None)
_IDS = ("ev_1", "EV_1", "ev_10", "Ev_1")


@dataclass(frozen=True, slots=True)
class Mood:
    """What a world is like: how often things end, people return and keys act, and what there is.

    Attributes:
        ends: How often things end.
        returns: How often people return.
        uses: How often keys act.
        keys: The keys that there are.
        tenant_invites: Ids of invites that events of the tenant name.
    """

    ends: float
    returns: float
    uses: float
    keys: tuple[str, ...]
    tenant_invites: tuple[str, ...]


def pick(dice: Random, weights: Mapping[str, float]) -> str:
    """Draw one of some words, each as often as it weighs."""
    return dice.choices(list(weights), list(weights.values()))[0]


def maybe(dice: Random, share: float, **fields: Any) -> dict[str, Any]:
    """Draw some fields, or none of them."""
    return fields if dice.random() < share else {}


def _actor(dice: Random, mood: Mood) -> dict[str, Any] | None:
    """Draw who acts: a session, the key of a user or of a service account, a key alone, or nobody."""
    often = {"session": 8, "user key": 3 * mood.uses, "service key": 3 * mood.uses, "key": mood.uses, "nobody": 2}
    kind = pick(dice, often)
    if kind == "nobody":
        return None
    if kind == "session":
        session = {"user": _user_object(dice), "ip_address": dice.choice(_ADDRESSES)}
        return {"type": "session", "session": session} | maybe(dice, 0.2, api_key=None)
    key = maybe(dice, 0.9, id=dice.choice(mood.keys))
    if kind == "user key":
        key |= {"type": "user", "user": _user_object(dice)}
    elif kind == "service key":
        key |= {"type": "service_account", "service_account": {"id": dice.choice(_SERVICES)}}
    return {"type": "api_key", "api_key": key}


def _user_object(dice: Random) -> dict[str, Any]:
    """Draw a user: whole, without an id, without an address, or with somebody's address."""
    id_, stray = dice.choice(list(_USERS)), dice.choice(_STRAYS)
    whole = {"id": id_, "email": _USERS[id_]}
    return dice.choices(({"email": stray}, {"id": id_}, {"id": id_, "email": stray}, whole), (10, 8, 6, 76))[0]


def _key(dice: Random, mood: Mood) -> Payload:
    verb = pick(dice, {"created": 6, "updated": 3, "deleted": 2 * mood.ends, "rotated": 0.3})
    place = "data" if verb == "created" or dice.random() < 0.4 else "changes_requested"
    scopes = {place: {"scopes": dice.sample(_SCOPES, dice.choice((0, 1, 1, 2, 3)))}}
    is_scoped = verb in ("created", "updated") and dice.random() < 0.7
    return f"api_key.{verb}", maybe(dice, 0.95, id=dice.choice(mood.keys)) | (scopes if is_scoped else {})


def _admin_key(dice: Random, mood: Mood) -> Payload:
    verb = dice.choice(("created", "updated", "deleted", "rotated"))
    named = maybe(dice, 0.5, name=dice.choice(("deploy", "", "ci")))
    return f"tenant.admin_api_key.{verb}", maybe(dice, 0.9, id=dice.choice(mood.keys)) | named


def _role_given(dice: Random, verb: str) -> dict[str, Any]:
    """Draw where an event of the organization tells a role, if it does."""
    place = {"added": "data", "created": "data", "updated": "changes_requested"}.get(verb)
    return maybe(dice, 0.75, **{place: {"role": dice.choice(_GIVEN)}}) if place else {}


def _user(dice: Random, mood: Mood) -> Payload:
    verb = pick(dice, {"added": 4 * mood.returns, "updated": 3, "deleted": 4})
    return f"user.{verb}", maybe(dice, 0.96, id=dice.choice(list(_USERS))) | _role_given(dice, verb)


def _tenant_user(dice: Random, mood: Mood) -> Payload:
    verbs = ("user.added", "user.updated", "user.removed", "user.looked_up")
    kind = dice.choice((*verbs, "membership.revoked", "membership.accepted", "membership.declined"))
    user_id = dice.choice(list(_USERS))
    of_member = {"id": "member_1", "user_id": user_id}
    nested = {"id": "member_1", "user": {"id": user_id}}
    whom = dice.choices(({"id": user_id}, of_member, nested, {"user_id": user_id}), (8, 9, 2, 1))[0]
    answer = _answer(dice, mood) if "membership" in kind else {}
    return f"tenant.{kind}", whom | answer | maybe(dice, 0.75, role=dice.choice(_GIVEN))


def _answer(dice: Random, mood: Mood) -> dict[str, Any]:
    """Draw how a membership names the invite that it answers."""
    invite_id = dice.choice(mood.tenant_invites)
    return maybe(dice, 0.3, email=dice.choice(_STRAYS)) | maybe(dice, 0.4, invite_id=invite_id)


def _service(dice: Random, mood: Mood) -> Payload:
    often = {"created": 5 * mood.returns, "updated": 3, "deleted": 3 * mood.ends}
    kind = pick(dice, often | {"tenant updated": 1, "tenant deleted": mood.ends})
    detail = maybe(dice, 0.95, id=dice.choice(_SERVICES))
    if kind == "tenant updated":
        detail |= maybe(dice, 0.75, role=dice.choice(_GIVEN))
    prefix, _, verb = kind.rpartition(" ")
    return f"{prefix}{'.' if prefix else ''}service_account.{verb}", detail | _role_given(dice, kind)


def _invite(dice: Random, mood: Mood) -> Payload:
    verb = pick(dice, {"sent": 6, "accepted": 3 * mood.ends, "deleted": mood.ends})
    data = maybe(dice, 0.85, email=dice.choice(_STRAYS)) | maybe(dice, 0.8, role=dice.choice(_GIVEN))
    detail = maybe(dice, 0.95, id=dice.choice(("inv_1", "inv_2")))
    return f"invite.{verb}", detail | ({"data": data} if verb == "sent" else {})


def _tenant_invite(dice: Random, mood: Mood) -> Payload:
    sent = {"user.invited": 3, "api_organization_invite.upserted": 3, "chatgpt_workspace_invite.upserted": 3}
    ended = ("api_organization_invite.deleted", "membership.accepted", "membership.declined")
    kind = pick(dice, sent | dict.fromkeys(ended, mood.ends))
    if "membership" in kind:
        return f"tenant.{kind}", {"id": "member_1"} | _answer(dice, mood)
    detail = maybe(dice, 0.8, email=dice.choice(_STRAYS)) | maybe(dice, 0.4, role=dice.choice(_GIVEN))
    return f"tenant.{kind}", maybe(dice, 0.95, id=dice.choice(mood.tenant_invites)) | detail


def _group(dice: Random, mood: Mood) -> Payload:
    verb = pick(dice, {"created": 4, "updated": 3, "deleted": 2 * mood.ends})
    id_, name = dice.choice(_GROUPS), dice.choice(("Ops", "ops", "Dev"))
    is_named = verb != "deleted" and dice.random() < 0.75
    if dice.random() < 0.5:
        group = dice.choices(({"id": id_}, {"id": "x_1", "group_id": id_}, {}), (8, 2, 0.4))[0]
        return f"tenant.group.{verb}", group | ({"name": name} if is_named else {})
    place = "data" if verb == "created" else "changes_requested"
    return f"group.{verb}", maybe(dice, 0.96, id=id_) | ({place: {"group_name": name}} if is_named else {})


def _member(dice: Random, mood: Mood) -> Payload:
    verb = pick(dice, {"added": 3, "removed": 1})
    id_ = dice.choice(_GROUPS)
    group = dice.choices(({"id": id_}, {"id": "y", "group_id": id_}), (7, 3))[0]
    who = maybe(dice, 0.96, **{dice.choice(("user_id", "user_id", "member_id")): dice.choice(list(_USERS))})
    return f"tenant.group.member.{verb}", group | who | maybe(dice, 0.1, name="Bo")


def _assignment(dice: Random, mood: Mood) -> Payload:
    verb = pick(dice, {"created": 3, "deleted": 1})
    area = pick(dice, {"role.assignment": 4, "tenant.role_assignment": 2, "tenant.resource_role_assignment": 1})
    role_id, kind = dice.choice(_ROLES), pick(dice, {"group": 3, "user": 2})
    principal_id = dice.choice(_GROUPS if kind == "group" else list(_USERS))
    principal = {"principal_id": principal_id, "principal_type": kind}
    if area == "role.assignment":
        own = dice.choice((f"role_assignment_{role_id}_{principal_id}", "asg_1", "asg_2"))
        return f"{area}.{verb}", {"id": own} | principal | maybe(dice, 0.4, role_id=role_id)
    received = {f"{kind}_id": principal_id} if dice.random() < 0.8 else principal
    own_id = maybe(dice, 0.5, id=dice.choice(("tas_1", "tas_2")))
    return f"{area}.{verb}", own_id | received | maybe(dice, 0.85, role_id=role_id) | maybe(dice, 0.1, name="Admin")


def _role(dice: Random, mood: Mood) -> Payload:
    return dice.choice(("role.deleted", "role.created", "tenant.custom_role.deleted")), {"id": dice.choice(_ROLES)}


def _project(dice: Random, mood: Mood) -> Payload:
    verb = pick(dice, {"created": 4, "updated": 4, "archived": mood.ends, "deleted": mood.ends})
    return f"project.{verb}", {"id": dice.choice(("proj_1", "proj_2", "proj_9"))}


def _session(dice: Random, mood: Mood) -> Payload:
    return dice.choice(("login.succeeded", "login.failed", "logout.succeeded", "logout.failed", "new.thing")), {}


_AREAS = (
    *(_key, _admin_key, _user, _tenant_user, _service, _invite, _tenant_invite),
    *(_group, _member, _assignment, _role, _project, _session),
)


@dataclass(frozen=True, slots=True)
class Theme:
    """What worlds are mostly about.

    Attributes:
        areas: What most of their events are about.
        spans_s: How long they may last [s].
        ends: How often things may end.
        uses: How often keys may act.
        tenant_invites: Ids of invites that events of the tenant name.
    """

    areas: tuple[Callable[[Random, Mood], Payload], ...]
    spans_s: tuple[int, ...] = (60, 7200, 10 * _DAY_S, 40 * _DAY_S, 200 * _DAY_S)
    ends: tuple[float, ...] = (0.05, 0.3, 1)
    uses: tuple[float, ...] = (0.05, 0.3, 1)
    tenant_invites: tuple[str, ...] = ("winv_1", "tinv_1", "inv_1")


KEYS = Theme((_key, _project, _session))
BURSTS = Theme((_key, _session), spans_s=(10, 60, 7200, 20_000), ends=(2,))
IDLE_KEYS = Theme((_key,), spans_s=(40 * _DAY_S, 100 * _DAY_S, 200 * _DAY_S), ends=(0.05,), uses=(0.05,))
ADMIN_KEYS = Theme((_admin_key, _session))
PEOPLE = Theme((_user, _tenant_user, _service, _invite, _key))
GROUPS = Theme((_group, _member, _assignment, _role))
INVITES = Theme((_invite, _tenant_invite))
# What the tenant says of an invite to the organization closes it in pending_invites, and not yet in offboarding_gaps.
LEAVERS = Theme((_user, _key, _service, _invite, _member, _assignment), tenant_invites=("winv_1", "tinv_1"))


def world(dice: Random, theme: Theme) -> list[dict[str, Any]]:
    """Draw the events of a world, in no order: few things and few instants, so that much falls together."""
    weights = [dice.choice((2, 6)) if draw in theme.areas else dice.choice((0.1, 0.3, 1)) for draw in _AREAS]
    mood = Mood(
        ends=dice.choice(theme.ends),
        returns=dice.choice((0.05, 0.3, 1)),
        uses=dice.choice(theme.uses),
        keys=dice.choice((_KEYS, (*_KEYS, *(f"key_x{number}" for number in range(12))))),
        tenant_invites=theme.tenant_invites,
    )
    times, is_odd = instants(dice, dice.choice(theme.spans_s)), dice.random() < 0.15
    numbers = dice.sample(range(1000), dice.choice((30, 40, 60, 60, 100, 200)) - len(_IDS))
    ids = [*(f"{dice.choice('eE')}{number:03d}" for number in numbers), *_IDS]
    events = []
    for id_ in ids:
        type_, detail = dice.choices(_AREAS, weights)[0](dice, mood)
        events.append(
            {"id": id_, "type": type_, "effective_at": dice.choice(times)}
            | ({type_: _odd(dice, type_, detail) if is_odd else detail} if detail else {})
            | maybe(dice, 0.9, actor=_actor(dice, mood))
            | maybe(dice, _share_in_project(type_), project={"id": dice.choice(("proj_1", "proj_1", "proj_2"))})
        )
    dice.shuffle(events)
    return events


def instants(dice: Random, span_s: int) -> list[float]:
    """Draw when events may be: at the ends of days, in fractions of a second, soon after another."""
    found: list[float] = [_T0, _T0 + span_s]
    for _ in range(dice.choice((4, 12, 40))):
        at, day = _T0 + dice.randint(0, span_s), _T0 + dice.randint(0, span_s // _DAY_S) * _DAY_S
        near_day, in_second = day + dice.choice((0, 1)), at + dice.choice((0.25, 0.5, 0.75))
        soon_after = dice.choice(found) + dice.choice((1, 60, 600, 3600, 3601))
        found.append(dice.choices((at, near_day, in_second, soon_after), (40, 30, 15, 15))[0])
    return found


def _odd(dice: Random, type_: str, detail: dict[str, Any]) -> Any:
    """Draw something that is not as documented now and then.

    A list on the way of a column is walked into, and what no documentation gives a type is read as the text of its
    JSON: neither is on the reports' pages, so that neither is drawn.
    """
    oddity = dice.random()
    if oddity < 0.1:
        return dice.choice((None, [], "text", {"id": None}, {"id": 7}))
    if oddity < 0.25 and not type_.startswith("tenant."):
        return detail | {dice.choice(list(detail)): dice.choice((None, 7, True, {"id": "x"}))}
    return detail


def _share_in_project(type_: str) -> float:
    area = type_.partition(".")[0]
    return {"api_key": 0.75, "service_account": 0.75, "project": 0.75, "user": 0.45}.get(area, 0.04)


def _time(dice: Random, log: Sequence[Event]) -> str:
    days = dice.choice((0, 0, 0, 0, 1, 30, 90))
    at = dice.choice(log).at + dice.choice((0, 0, 0, 1, -1, 1_000_000, -1_000_000))
    return (EPOCH + timedelta(days=days, microseconds=at)).isoformat()


def nothing(dice: Random, log: Sequence[Event]) -> dict[str, Any]:
    """Ask with the defaults."""
    return {}


def as_of(dice: Random, log: Sequence[Event]) -> dict[str, Any]:
    """Ask for a moment, half the time."""
    return maybe(dice, 0.5, as_of=_time(dice, log))


def between(dice: Random, log: Sequence[Event]) -> dict[str, Any]:
    """Ask for two moments, for one, or for none."""
    before, after = sorted((_time(dice, log), _time(dice, log)))
    return maybe(dice, 0.6, before=before) | maybe(dice, 0.6, after=after)


def within_minutes(dice: Random, log: Sequence[Event]) -> dict[str, Any]:
    """Ask for how long a key lived, more often than not."""
    return maybe(dice, 0.6, within_minutes=dice.choice((0, 1, 10, 100_000)))


def aged(name: str, *days: int) -> Callable[[Random, Sequence[Event]], dict[str, Any]]:
    """Make what asks for an age by its parameter's name, more often than not, and for a moment."""
    return lambda dice, log: as_of(dice, log) | maybe(dice, 0.65, **{name: dice.choice(days)})
