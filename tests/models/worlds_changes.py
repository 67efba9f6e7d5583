"""Worlds drawn at random of what is changed: roles, safeguards, allow-lists, limits and projects; and what to ask."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from tests.models.projects import LIMITS
from tests.models.reading import instant
from tests.models.worlds_accounts import Payload, instants, maybe, pick

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.models.reading import Event

_PEOPLE = {
    "user-a": "ada@example.com",
    "user-b": "bo@example.com",
    "user-A": "Ada@example.com",
    "user-c": "cy@example.org",
}
_SERVICES = ("svc-1", "svc-2")
_KEYS = ("key_1", "key_2", "key_3")
_PROJECTS = ("proj_1", "proj_2", "proj_A")
_GROUPS = ("group_1", "group_2")
_OWNERS = "role-api-organization-owner__api-organization__org-1"
_ROLES = ("role_1", "role_2_x", "role_owner", _OWNERS, "role-api-project-viewer__p")
_OFTEN = dict(zip(_ROLES, (5, 2, 1, 2, 1), strict=True))
_ROLE_NAMES = ("owner", "member", "admin", "reader", "Owner", "team-owner", "coowner", "org_admin")
_PERMISSIONS = (
    *("api.keys.write", "api.keys.read", "api.users.manage", "api.all", "api.*", "files.read", "x.delete", "readwrite"),
)
_LISTS = ("ipal_1", "ipal_2")
_CERTIFICATES = ("cert_1", "cert_2", "cert_3")
_NETWORKS = (
    *("192.0.2.0/25", "192.0.2.0/24", "192.0.2.128/25", "192.0.2.1", "192.0.2.1/32", " 192.0.2.1 ", "198.51.100.7"),
    *("::ffff:192.0.2.8", "::ffff:192.0.2.0/120", "2001:db8::/64", "2001:db8::1", "2001:DB8::1"),
    *("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "203.0.0.0/16", "203.1.0.0/16", "::/0", "2001:db8::/31"),
    *("10.0.0.0/8", "10.1.2.3/16", "172.16.0.0/12", "192.168.1.1", "127.0.0.1", "169.254.0.0/16", "100.64.0.0/10"),
    *("224.0.0.0/4", "fc00::/7", "fe80::1", "vpn", "192.0.2.0/33", "192.000.002.001", ""),
)
_IDS = ("ev_1", "EV_1", "ev_10", "Ev_1")


def _some(dice: Random, values: Sequence[str], most: int = 3) -> list[str | None]:
    """Draw some words, now and then one twice, or null."""
    return [*dice.choices(values, k=dice.randint(0, most)), *([None] if dice.random() < 0.04 else [])]


def _actor(dice: Random) -> dict[str, Any] | None:
    """Draw who acts: a session, the key of a user or of a service account, a key alone, or nobody."""
    kind = pick(dice, {"session": 65, "user key": 7, "service key": 17, "key": 5, "nobody": 6})
    if kind == "nobody":
        return None
    if kind == "session":
        from_ = {"ip_address": dice.choice(("192.0.2.1", "::ffff:192.0.2.1", "2001:DB8:0::1"))}
        from_ |= maybe(dice, 0.7, ip_address_details={"country": dice.choice(("DE", "US"))})
        return {"type": "session", "session": {"user": _user(dice)} | maybe(dice, 0.7, **from_)}
    key = maybe(dice, 0.95, id=dice.choice(_KEYS))
    if kind == "user key":
        key |= {"type": "user", "user": _user(dice)}
    elif kind == "service key":
        key |= {"type": "service_account", "service_account": {"id": dice.choice(_SERVICES)}}
    return {"type": "api_key", "api_key": key}


def _user(dice: Random) -> dict[str, Any]:
    id_ = _person(dice)
    shouted = _PEOPLE[id_].upper()
    whole = {"id": id_, "email": _PEOPLE[id_]}
    return dice.choices((whole, {"id": id_}, {"email": shouted}, {"id": id_, "email": shouted}), (86, 5, 4, 5))[0]


def _person(dice: Random) -> str:
    return dice.choices(list(_PEOPLE), (4, 4, 2, 1))[0]


def _address(dice: Random) -> str:
    email = _PEOPLE[_person(dice)]
    return dice.choice((email, email, email, email.upper()))


def _account(dice: Random) -> Payload:
    """Draw how a user or a service account comes, gets another role, or goes."""
    area, id_ = dice.choice((("user", _person(dice)), ("service_account", dice.choice(_SERVICES))))
    verb = dice.choice(("added" if area == "user" else "created", "updated", "updated", "deleted"))
    place = "changes_requested" if verb == "updated" else "data"
    given = {} if verb == "deleted" else maybe(dice, 0.9, **{place: {"role": dice.choice(_ROLE_NAMES)}})
    return f"{area}.{verb}", {"id": id_} | given


def _tenant_account(dice: Random) -> Payload:
    kind = dice.choice(("user.added", "user.updated", "user.removed", "membership.accepted", "membership.revoked"))
    user = _person(dice)
    whom = dice.choice(({"id": user}, {"user_id": user}, {"id": "member_1", "user_id": user}))
    given = {} if kind.endswith(("removed", "revoked")) else maybe(dice, 0.9, role=dice.choice(_ROLE_NAMES))
    return f"tenant.{kind}", whom | given


def _invite(dice: Random) -> Payload:
    offered = maybe(dice, 0.9, email=_address(dice)) | maybe(dice, 0.9, role=dice.choice(_ROLE_NAMES))
    id_ = {"id": dice.choice(("inv_1", "inv_2"))}
    sent = dice.choice(("chatgpt_workspace_invite.upserted", "user.invited", "api_organization_invite.upserted"))
    drawn: tuple[Payload, ...] = (
        ("invite.sent", id_ | {"data": offered}),
        ("invite.accepted", id_),
        (f"tenant.{sent}", id_ | offered),
    )
    return dice.choice(drawn)


def _role(dice: Random) -> Payload:
    verb = pick(dice, {"created": 3, "updated": 3, "deleted": 1})
    id_ = {"id": pick(dice, _OFTEN)}
    if verb == "deleted":
        return dice.choice(("role.deleted", "tenant.custom_role.deleted")), id_
    if dice.random() < 0.3:
        return f"tenant.custom_role.{verb}", id_ | {"name": "Locks", "permissions": _some(dice, _PERMISSIONS)}
    if verb == "created":
        named = {"role_name": dice.choice(("Keys", "owner", "Reader")), "permissions": _some(dice, _PERMISSIONS)}
        return "role.created", id_ | named | {"resource_type": "api.organization", "resource_id": "org-1"}
    added = maybe(dice, 0.5, permissions_added=_some(dice, _PERMISSIONS))
    removed = maybe(dice, 0.5, permissions_removed=_some(dice, _PERMISSIONS, 8))
    return "role.updated", id_ | {"changes_requested": added | removed | maybe(dice, 0.2, role_name="Doors")}


def _assignment(dice: Random) -> Payload:
    verb = pick(dice, {"created": 5, "deleted": 3})
    role = pick(dice, _OFTEN)
    principals = ((_person(dice), "user"), (dice.choice(_GROUPS), "group"), (dice.choice(_SERVICES), "service_account"))
    principal, kind = dice.choice(principals)
    own = {"id": f"asg_{dice.randrange(4)}"}
    if dice.random() < 0.25:
        area = dice.choice(("tenant.role_assignment", "tenant.resource_role_assignment"))
        received = {"group_id" if kind == "group" else "user_id": principal}
        return f"{area}.{verb}", own | received | dice.choice(({"role": dice.choice(_ROLE_NAMES)}, {"role_id": role}))
    received = {"principal_id": principal} | maybe(dice, 0.9, principal_type=kind)
    telling: dict[str, str] = {"id": f"role_assignment_{role}_{principal}"}
    named = dice.choice((own | {"role_id": role}, own | {"role_id": role}, telling, own))
    in_project = maybe(dice, 0.4, resource_id=dice.choice(_PROJECTS), resource_type="api.project")
    return f"role.assignment.{verb}", named | received | in_project


def _member(dice: Random) -> Payload:
    verb = pick(dice, {"added": 2, "removed": 1})
    group, user = dice.choice(_GROUPS), _person(dice)
    named = dice.choice(({"id": group}, {"group_id": group}))
    return f"tenant.group.member.{verb}", named | {"user_id": user}


def _group(dice: Random) -> Payload:
    kind = dice.choice(("group.created", "group.updated", "group.deleted", "tenant.group.deleted"))
    place = {"group.created": "data", "group.updated": "changes_requested"}.get(kind)
    named = {place: {"group_name": dice.choice(("Ops", "Devs"))}} if place else {}
    return kind, {"id": dice.choice(_GROUPS)} | named


def _key(dice: Random) -> Payload:
    verb = pick(dice, {"created": 3, "updated": 1, "deleted": 1})
    place = dice.choice(("data", "changes_requested")) if verb == "updated" else "data"
    scoped = {} if verb == "deleted" else {place: {"scopes": _some(dice, ("a", "b", "c"))}}
    return f"api_key.{verb}", maybe(dice, 0.95, id=dice.choice(_KEYS)) | scoped


def _limit(dice: Random) -> Payload:
    id_ = maybe(dice, 0.95, id=dice.choice(("rl-1", "rl-2")))
    if dice.random() < 0.25:
        return "rate_limit.deleted", id_
    names = dice.choices(LIMITS[: dice.choice((2, 6))], k=dice.randint(0, 3))
    return "rate_limit.updated", id_ | {
        "changes_requested": {name: dice.choice((0, 10, 20, 100, 2**53, None)) for name in names}
    }


def _project(dice: Random) -> Payload:
    verb = pick(dice, {"created": 1, "updated": 2, "archived": 1, "deleted": 1})
    title = dice.choice(("One", "Two", None))
    told = {"created": {"data": {"name": "n", "title": title}}, "updated": {"changes_requested": {"title": title}}}
    return f"project.{verb}", maybe(dice, 0.95, id=dice.choice(_PROJECTS)) | told.get(verb, {})


def _list(dice: Random) -> Payload:
    verb = pick(dice, {"created": 1, "updated": 3, "deleted": 1})
    pool = dice.choice((dice.sample(_NETWORKS, 6), _NETWORKS))
    listed = maybe(dice, 0.95, allowed_ips=_some(dice, pool, 4))
    named = maybe(dice, 0.95, id=dice.choice(_LISTS)) | {"name": dice.choice(("n", "m"))}
    return f"ip_allowlist.{verb}", named | ({} if verb == "deleted" else listed)


def _switch(dice: Random) -> Payload:
    """Draw how lists or certificates are turned on or off together."""
    way = dice.choice(("activated", "deactivated"))
    area, name, pool = dice.choice(
        (("ip_allowlist.config", "configs", _LISTS), *[("certificates", "certificates", _CERTIFICATES)] * 2)
    )
    things = [maybe(dice, 0.9, id=dice.choice(pool)) | {"name": "n"} for _ in range(dice.choice((0, 1, 1, 1, 2, 3)))]
    return f"{area}.{way}", maybe(dice, 0.95, **{name: things})


def _policy(dice: Random) -> Payload:
    """Draw what happens to a policy."""
    verb = pick(dice, {"attached": 3, "detached": 3, "created": 1, "updated": 1, "deleted": 1})
    flat = ("target_id", "resource_id", "principal_id")
    targets: list[dict[str, Any]] = [{place: dice.choice(("ws-1", "ws-2"))} for place in flat]
    targets.append({"target": {"id": dice.choice(("ws-1", "ws-2"))}})
    target = dice.choice(({}, *targets, targets[0] | targets[1], targets[1] | targets[3]))
    return f"tenant.policy.{verb}", {"id": dice.choice(("pol_1", "pol_2"))} | target


def _safeguard(dice: Random) -> Payload:
    """Draw what happens to another safeguard, which has an id and no more that counts."""
    life = ("created", "deleted", "updated")
    kinds = (
        *(f"certificate.{verb}" for verb in life),
        *(f"tenant.sso_connection.{verb}" for verb in (*life, "setup.started")),
        *(f"tenant.session_policy.{verb}" for verb in life),
        *("external_storage.registered", "external_storage.removed", "external_key.removed"),
        *("scim.enabled", "scim.disabled", "tenant.scim.directory.created", "tenant.scim.deletion.requested"),
        *("tenant.scim.setup.started", "tenant.sso.migrated", "tenant.product_access_policy.updated"),
        "tenant.third_party_app_policy.updated",
    )
    kind = dice.choice(kinds)
    pool = _CERTIFICATES if kind.startswith("certificate.") else ("thing_1", "thing_2")
    return kind, maybe(dice, 0.95, id=dice.choice(pool)) | maybe(dice, 0.5, name=dice.choice(("n", "m")))


def _setting(dice: Random) -> Payload:
    values = {
        "api_call_logging": ("disabled", "enabled_per_call", "enabled_for_all_projects", "Disabled"),
        "api_call_logging_project_ids": _PROJECTS,
        "threads_ui_visibility": ("NONE", "ANY_ROLE"),
        "usage_dashboard_visibility": ("OWNERS", "ANY_ROLE"),
        "title": ("T", "U"),
        "name": ("org", "gro"),
        "description": ("d", "e"),
    }
    asked = {name: dice.choice(pool) for name, pool in values.items() if dice.random() < 0.4}
    return "organization.updated", maybe(dice, 0.95, id="org-1") | {"changes_requested": asked}


def _binding(dice: Random) -> Payload:
    """Draw what a role may do on a connector from then on."""
    words = {"workspace_id": "ws", "connector_id": "c", "connector_name": "C", "resource_id": "ws__c"}
    told = words | {"resource_type": "connector", "role_id": dice.choice(_ROLES[:2]), "source": "s"}
    allowed = {"permissions": _some(dice, ("x", "y")), "enabled": dice.choice((True, False))}
    kept = {name: value for name, value in (told | allowed).items() if dice.random() < 0.7}
    return f"role.{dice.choice(('bound_to_resource', 'unbound_from_resource'))}", {"id": "ws__c"} | kept


def _provider(dice: Random) -> Payload:
    """Draw what happens to an identity provider, a mapping of one or an external key, with data of any form."""
    data = dice.choice(({"issuer": "i"}, {"issuer": "j", "n": [1, None]}, {}, None))
    id_ = {"id": dice.choice(("wip_1", "wip_2"))}
    area = dice.choice(("workload_identity_provider", "workload_identity_provider_mapping"))
    of_mapping = {"identity_provider_id": dice.choice(("wip_1", "wip_2"))} if area.endswith("mapping") else {}
    led_to = {"project_id": "proj_1", "service_account_id": "svc-1", "name": "p"}
    drawn: tuple[Payload, ...] = (
        (f"{area}.created", id_ | of_mapping | {"data": data}),
        (f"{area}.updated", id_ | of_mapping | {"changes_requested": data}),
        (f"{area}.deleted", id_ | of_mapping | (led_to if of_mapping else {})),
        ("external_key.registered", {"id": dice.choice(("thing_1", "thing_2")), "data": data}),
    )
    return dice.choice(drawn)


def _other(dice: Random) -> Payload:
    shared = {"project_id": dice.choice(_PROJECTS), "fine_tuned_model_checkpoint": "ft:1"}
    drawn: tuple[Payload, ...] = (
        ("login.succeeded", {}),
        ("login.failed", {"error_code": "x", "error_message": "m"}),
        ("future.thing.done", {"id": "x"}),
        ("api_key.rotated", {"id": "key_1"}),
        ("resource.deleted", {"id": "x", "resource_type": "file"}),
        ("checkpoint.permission.created", {"id": "ck_1", "data": shared}),
        ("checkpoint.permission.deleted", {"id": "ck_1"}),
        ("tenant.admin_api_key.created", {"id": "key_2"}),
    )
    return dice.choice(drawn)


_Draw = Callable[[Random], Payload]
Theme = tuple[tuple[_Draw, ...], ...]
"""What worlds are mostly about: each world about one of several."""
ACCESS: Theme = (
    (_account, _tenant_account, _invite, _role, _assignment, _member, _key),
    (_account, _tenant_account),
    (_role, _role, _assignment, _assignment, _member, _member, _group, _account, _other),
)
LIMITED: Theme = ((_limit,),)
PROJECTS: Theme = ((_project, _key, _account),)
ALLOWED: Theme = ((_list,),)
SAFEGUARDS: Theme = ((_switch, _switch, _policy, _safeguard, _safeguard, _setting, _list),)
THINGS: Theme = (
    (_setting, _binding, _provider, _role, _assignment, _list, _limit, _key),
    (_role, _account, _safeguard),
)
_ALL = (
    *dict.fromkeys(draw for theme in (ACCESS, SAFEGUARDS, THINGS) for draws in theme for draw in draws),
    _project,
    _other,
)


def world(dice: Random, theme: Theme) -> list[dict[str, Any]]:
    """Draw the events of a world, in no order: few things and few instants, so that much falls together."""
    times, share = instants(dice, dice.choice((5, 600, 7200, 36_000, 10 * 86_400))), dice.choice((0.5, 0.8, 0.95))
    numbers = dice.sample(range(1000), dice.choice((30, 40, 60, 60, 100, 160)) - len(_IDS))
    in_project, areas = dice.choice((0.1, 0.3, 0.6)), dice.choice(theme)
    events: list[dict[str, Any]] = []
    for id_ in (*(f"{dice.choice('eE')}{number:03d}" for number in numbers), *_IDS):
        type_, detail = dice.choice(areas if dice.random() < share else _ALL)(dice)
        events.append(
            {"id": id_, "type": type_, "effective_at": dice.choice(times), "actor": _actor(dice)}
            | ({type_: detail} if detail else {})
            | maybe(dice, 0 if type_.startswith("tenant.") else in_project, project=_in_project(dice))
        )
    joinings = (
        event for _ in range(dice.choice((1, 4, 8)) if theme is ACCESS else 0) for event in _joining(dice, times)
    )
    events += [{"id": f"join_{number}"} | event for number, event in enumerate(joinings)]
    dice.shuffle(events)
    return events


def strange_world(dice: Random) -> list[dict[str, Any]]:
    """Draw a world whose payloads hold what no documentation speaks of."""
    share = dice.choice((0.02, 0.1, 0.3))
    events = world(dice, THINGS)
    for event in events:
        if event["type"] in event:
            event[event["type"]] = _spoilt(dice, event[event["type"]], share)
    return events


# An empty object beside others in a list is on no page, so that it is not here.
_ODD: tuple[Any, ...] = (
    *(None, 7, 1.5, True, "text", "", {}, {"id": "deep"}),
    *([], ["l"], [1], [None], [[]], [1, "a"], [{"id": "in"}, {"n": 1}]),
)


def _spoilt(dice: Random, value: Any, share: float) -> Any:
    """Give fields of an object another kind, leave them out or add others, now and then."""
    if not isinstance(value, dict):
        return value
    kept = {name: _spoilt(dice, each, share) for name, each in value.items() if dice.random() > share / 2}
    spoilt = {name: dice.choice(_ODD) if dice.random() < share else each for name, each in kept.items()}
    return spoilt | maybe(dice, share, steps=dice.choice(_ODD))


def _in_project(dice: Random) -> dict[str, str]:
    id_ = dice.choice(_PROJECTS)
    return {"id": id_} | maybe(dice, 0.9, name=id_.title())


def _joining(dice: Random, times: Sequence[float]) -> list[dict[str, Any]]:
    """Draw an invite, its acceptance and the joining, by its role or by another, soon enough or not."""
    id_, at = _person(dice), dice.choice(times)
    whole = {"type": "session", "session": {"user": {"id": id_, "email": _PEOPLE[id_]}}}
    steps = (
        (
            _offer(dice, dice.choice((_PEOPLE[id_], _PEOPLE[id_], _address(dice)))),
            at - dice.choice((0, 60)),
            _actor(dice),
        ),
        (
            dice.choice((("invite.accepted", {"id": "inv_1"}), ("tenant.membership.accepted", {"user_id": id_}))),
            at,
            whole,
        ),
        (_entry(dice, id_), at + dice.choice((0, 1, 3599, 3600, 3601)), whole),
    )
    return [
        {"type": type_, "effective_at": step_at, type_: detail, "actor": actor}
        for (type_, detail), step_at, actor in steps
    ]


def _offer(dice: Random, email: str) -> Payload:
    offered = {"email": email} | maybe(dice, 0.85, role=dice.choice(("owner", "Owner", "member")))
    if dice.random() < 0.5:
        return "invite.sent", {"id": "inv_1", "data": offered}
    return dice.choice(("tenant.api_organization_invite.upserted", "tenant.user.invited")), {"id": "inv_1"} | offered


def _entry(dice: Random, id_: str) -> Payload:
    role = dice.choice(("owner", "owner", "admin"))
    if dice.random() < 0.7:
        return "user.added", {"id": id_, "data": {"role": role}}
    return "tenant.user.added", {"user_id": id_, "role": role}


def resource(dice: Random, log: Sequence[Event]) -> dict[str, Any]:
    """Ask for one resource, or for all."""
    ids = ("user-a", "proj_1", "ipal_1", "cert_1", "role_1", "org-1", "nobody", "ws__c")
    return maybe(dice, 0.3, resource_id=dice.choice(ids))


def actor(dice: Random, log: Sequence[Event]) -> dict[str, Any]:
    """Ask for one actor, or for all."""
    return maybe(
        dice, 0.6, actor=dice.choice(("user-a", "ada@example.com", "ADA@example.com", "BO@example.com", "key_1"))
    )


def area(dice: Random, log: Sequence[Event]) -> dict[str, Any]:
    """Ask for an area, or for all."""
    areas = ("tenant", "api_key", "role", "tenant.scim", "certificates", "future.thing", "organization", "nothing")
    return maybe(dice, 0.5, area=dice.choice(areas))


def within_minutes(dice: Random, log: Sequence[Event]) -> dict[str, Any]:
    """Ask for how long a privilege lasted, half the time."""
    return maybe(dice, 0.5, within_minutes=dice.choice((1, 10, 100, 1440, 10_080)))


def approvals(dice: Random, log: Sequence[Event]) -> dict[str, Any]:
    """Ask with the text of a file of approved changes, each of which fills some of its fields."""
    actors = (*_PEOPLE, *_PEOPLE.values(), "ADA@EXAMPLE.COM", *_SERVICES, *_KEYS, "nobody")
    things = (*_LISTS, *_CERTIFICATES, *_PROJECTS, "user-a", "org-1", "asg_1", "role_1")
    text = io.StringIO()
    file = csv.writer(text)
    file.writerow(("change", "actor", "resource_id", "starts_at", "ends_at"))
    for _ in range(dice.choice((0, 2, 5, 10, 20))):
        who, what = dice.choice(("", *dice.choices(actors, k=2))), dice.choice(("", "", dice.choice(things)))
        start, end = sorted(dice.sample(sorted({event.at for event in log}), 2))
        since, before = dice.choice(("", _written(dice, start))), dice.choice(("", _written(dice, end)))
        is_filled = who or what or since or before
        file.writerow((dice.choice(("", "CHG-1", "CHG-2")), who if is_filled else "nobody", what, since, before))
    return {"approved": text.getvalue()}


def _written(dice: Random, at: int) -> str:
    written = instant(at).isoformat()
    return dice.choice((written, written.replace("+00:00", "Z")))
