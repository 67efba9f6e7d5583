"""Worlds drawn at random of sessions: sign-ins, failed ones, habits and silences; and what to ask about them."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.models.reading import Event

Raw = dict[str, Any]
"""An object of the endpoint's JSON."""

# Nine days before Europe's clocks go forward.
_T0 = 1_773_964_800
_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60
_BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36"
_AGENTS = (
    *(_BROWSER.format(141), _BROWSER.format(142)),
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    *("python-requests/2.32.5", "python-requests/2.9", "curl/8.5.0", "wget"),
)
_JA4 = (
    *("t13d1516h2_8daaf6152771_02713d6af862", "t13d1516h2_8daaf6152771_b1ff8ab2d16f"),
    *("t13i181000_85036bcba153_d41ae481755e", "t12d190900_3f1a70c2be41_5d"),
)
_PROXY = _JA4[3]
_SAFARI = "t13d2014h2_a09f3c656075_14788d8d241b"
_CLIENTS = (
    *zip(_AGENTS[:3], _JA4[:3], strict=True),
    ("python-requests/2.32.5", "t13d1812h1_85036bcba153_375ca2c5e164"),
    ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) CriOS/141.0.0.0 Mobile/15E148 Safari/604.1", _SAFARI),
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.5 Safari/605.1.15", _SAFARI),
)
# Country, city, latitude and longitude, as text or as numbers; the last place is nowhere on earth.
_TOWNS: tuple[tuple[Any, ...], ...] = (
    ("DE", "Berlin", "52.52", "13.4"),
    ("NL", "Amsterdam", 52.37, 4.9),
    ("US", "San Francisco", "37.77", "-122.42"),
    ("FJ", "Suva", "-18.1", 178.4),
    ("WS", None, "-13.8", "-171.8"),
    ("FJ", "Taveuni", "-16.8", "180.1"),
)
_BLOCKS = ("192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:0:ff::", "2001:DB8:49::")
_ACTS = (
    *("project.created", "project.updated", "role.assignment.created", "logout.succeeded", "logout.failed"),
    *("user.added", "user.deleted", "tenant.user.added", "tenant.user.removed", "invite.accepted", "scim.disabled"),
    *("external_storage.registered", "workflow.version.created", "future.thing.done", "ping"),
)
# Many differ by the case of a letter alone.
_IDS = [first + second for first in string.ascii_letters + string.digits for second in "aAbBcC9_"]
# Zones whose rules have not changed for years, so that the versions of the time zone database agree.
ZONES = (
    *("UTC", "Europe/Berlin", "Europe/Dublin", "Asia/Kathmandu", "America/New_York", "America/St_Johns"),
    *("Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham"),
)


@dataclass(frozen=True, slots=True)
class Cast:
    """Who there is: the few whom most is about, and a crowd on whom passwords are tried."""

    people: list[Raw]
    crowd: list[Raw]


Scene = Callable[[Random, Cast], list[Raw]]


def _person(dice: Random, number: int) -> Raw:
    """Draw a user: whole, without an address, or without an id."""
    id_, email = {"id": f"user-{number}"}, {"email": f"p{number}@example.com"}
    return dice.choices((id_ | email, id_, email), (78, 12, 10))[0]


def _user(dice: Random, person: Raw) -> Raw:
    """Draw how an event tells of a person: the address in any spelling, half of it or nothing missing."""
    if dice.random() < 0.02:
        return dice.choice(({}, {"id": None}, {"id": 7}))
    user = dict(person)
    if "email" in user and dice.random() < 0.2:
        user["email"] = dice.choice((user["email"].upper(), user["email"].capitalize()))
    if len(user) == 2 and dice.random() < 0.04:
        user[dice.choice(("id", "email"))] = dice.choice((None, 7))
    return user


def _place(dice: Random) -> Raw:
    """Draw where sessions come from."""
    addresses = (f"{dice.choice(_BLOCKS)}{dice.randint(1, 3)}", "::ffff:192.0.2.1", None, 5)
    place: Raw = {"ip_address": dice.choices(addresses, (96, 2, 1, 1))[0]}
    if dice.random() < 0.25:
        return place
    known = {"country": dice.choice(("DE", "NL", "US", "FJ")), "asn": dice.choice(("64496", "64497", "64500"))}
    details = {name: value if dice.random() < 0.88 else dice.choice((None, 5)) for name, value in known.items()}
    return place | {"ip_address_details": details}


def _session(dice: Random, person: Raw | None, place: Raw | None = None, client: tuple[str, str] | None = None) -> Raw:
    """Draw a session as an actor; nobody's without a person, from anywhere without a place."""
    agent, ja4 = client or (dice.choice(_AGENTS), dice.choice(_JA4))
    shown = {"user_agent": agent, "ja4": ja4}
    session = (_place(dice) if place is None else place) | {
        name: value if dice.random() < 0.95 else None for name, value in shown.items()
    }
    if person is not None:
        session["user"] = _user(dice, person)
    return {"type": "session", "session": session} | ({"api_key": None} if dice.random() < 0.2 else {})


def _key(dice: Random, cast: Cast) -> Raw:
    """Draw an API key as an actor: a service account's, a user's, or one that does not tell whose it is."""
    service_account = {"type": "service_account", "service_account": {"id": f"svc_{dice.randint(1, 2)}"}}
    user = {"type": "user", "user": _user(dice, dice.choice(cast.people))}
    owner = dice.choices((service_account, user, {}), (1, 2, 1))[0]
    return {"type": "api_key", "api_key": {"id": f"key_{dice.randint(1, 4)}"} | owner}


def _actor(dice: Random, cast: Cast) -> Raw | None:
    kind = dice.choices(("person", "key", "nobody's session", "nobody"), (75, 15, 5, 5))[0]
    if kind == "nobody":
        return None
    if kind == "key":
        return _key(dice, cast)
    return _session(dice, dice.choice(cast.people) if kind == "person" else None)


def _event(dice: Random, type_: str, at: float, actor: Raw | None, detail: Raw | None = None) -> Raw:
    """Draw an event without an id, in a project or not."""
    event: Raw = {"type": type_, "effective_at": at, "actor": actor}
    if type_ == "login.failed":
        code = dice.choice(("invalid_credentials", "mfa_failed", None))
        detail = dice.choice(({"error_code": code}, {"error_code": code}, {}, None))
    if detail is not None:
        event[type_] = detail
    if dice.random() < 0.35:
        event["project"] = {"id": dice.choice(("proj_1", "proj_2", "Proj_1"))}
        event["project"] |= {"name": dice.choice(("Search", "Old", None))} if dice.random() < 0.6 else {}
    return event


def _when(dice: Random, start: int, span_s: int, step_s: int) -> float:
    """Draw an instant on a grid, so that much falls together; now and then one within a second."""
    return start + dice.randrange(0, span_s, step_s) + dice.choice((*[0] * 60, 0.25, 0.5, 0.999999))


def noise(dice: Random, cast: Cast) -> list[Raw]:
    """Draw anything: at hours and ends of days of some weeks, or in the minutes of an hour."""
    days, step_s = dice.choice(((1, 60), (3, 1800), (20, 6 * _HOUR_S), (70, 12 * _HOUR_S), (60, 5 * _HOUR_S)))
    events = []
    for _ in range(dice.randint(20, 90)):
        at = _when(dice, _T0, days * _DAY_S, step_s) - dice.choice((*[0] * 9, 1))
        type_ = dice.choice(("login.succeeded", "login.failed", dice.choice(_ACTS)))
        about = dice.choice(cast.people).get("id") if "user" in type_ else dice.choice(("proj_1", "proj_2"))
        detail = {"id": dice.choice((about, about, about, None))}
        events.append(_event(dice, type_, at, _actor(dice, cast), detail))
    return events


def _haste(dice: Random) -> tuple[int, int]:
    """Draw how long an attack lasts, and how far apart its attempts are at least."""
    return dice.choice(((20, 1), (30 * _MINUTE_S, 60), (90 * _MINUTE_S, 300), (3 * _HOUR_S, 600)))


def spray(dice: Random, cast: Cast) -> list[Raw]:
    """Draw failures from one address on many accounts, and logins around them."""
    place, (span_s, step_s) = _place(dice), _haste(dice)
    start = _T0 + dice.randrange(0, 3 * _DAY_S, _HOUR_S)
    tried = dice.sample(cast.crowd, dice.randint(4, 14))
    events = []
    for person in [each for each in tried for _ in range(dice.choice((1, 1, 2)))]:
        who = None if dice.random() < 0.08 else person
        events.append(_event(dice, "login.failed", _when(dice, start, span_s, step_s), _session(dice, who, place)))
    for _ in range(dice.randint(0, 6)):
        who = dice.choice((dice.choice(tried), dice.choice([*cast.crowd, None])))
        at = _when(dice, start - _HOUR_S, span_s + 3 * _HOUR_S, step_s)
        events.append(_event(dice, "login.succeeded", at, _session(dice, who, place)))
    return events


def stuffing(dice: Random, cast: Cast) -> list[Raw]:
    """Draw failures on one account from many addresses, and logins around them."""
    person, (span_s, step_s) = dice.choice(cast.people), _haste(dice)
    start = _T0 + dice.randrange(0, 3 * _DAY_S, _HOUR_S)
    places: list[Raw] = [
        {"ip_address": f"203.0.113.{number}", "ip_address_details": {"asn": dice.choice(("1", "2", "3", None))}}
        for number in range(dice.randint(4, 16))
    ]
    events = []
    for place in [each for each in places for _ in range(dice.choice((1, 1, 2)))]:
        actor = _session(dice, person, dice.choice((place, place, {})))
        events.append(_event(dice, "login.failed", _when(dice, start, span_s, step_s), actor))
    for _ in range(dice.randint(0, 5)):
        at = _when(dice, start - _HOUR_S, span_s + 3 * _HOUR_S, step_s)
        place = dice.choice((dice.choice(places), _place(dice)))
        events.append(_event(dice, "login.succeeded", at, _session(dice, person, place)))
    return events


def guesses(dice: Random, cast: Cast) -> list[Raw]:
    """Draw failures of few people, each before a login."""
    events = []
    for _ in range(dice.randint(1, 4)):
        person, places = dice.choice(cast.people), (_place(dice), _place(dice))
        start = _T0 + dice.randrange(0, 10 * _DAY_S, 6 * _HOUR_S)
        failed = [_when(dice, start, _HOUR_S + 60, dice.choice((1, 60, 600))) for _ in range(dice.randint(2, 8))]
        before = [start - dice.choice((1, _HOUR_S, _DAY_S))] if dice.random() < 0.7 else []
        worked = [*before, start + dice.choice((_HOUR_S, _HOUR_S, 600, 1800))]
        for type_, times in (("login.failed", failed), ("login.succeeded", worked)):
            events += [_event(dice, type_, at, _session(dice, person, dice.choice(places))) for at in times]
    return events


def habit(dice: Random, cast: Cast) -> list[Raw]:
    """Draw what somebody does at the same hour for weeks, and then at others."""
    person, place = dice.choice(cast.people), _place(dice)
    usual, days = dice.randint(0, 23), dice.choice((6, 12, 34, 50, 60))
    events = []
    for day in range(days):
        at = _T0 + day * _DAY_S + (usual + dice.choice((0, 0, 0, 1, -1))) * _HOUR_S
        type_ = dice.choice(("login.succeeded", "project.updated"))
        events.append(_event(dice, type_, at, _session(dice, person, place, (_AGENTS[0], _JA4[0]))))
    for _ in range(dice.randint(2, 14)):
        at = _T0 + dice.randrange(days // 2, days + 3) * _DAY_S + dice.randrange(0, _DAY_S, 900)
        for _ in range(dice.choice((1, 1, 2, 3))):
            type_ = dice.choice(("login.succeeded", "project.created", "logout.succeeded", "login.failed"))
            later = at + dice.choice((0, 0, 1, 900, 3 * _HOUR_S, 6 * _HOUR_S))
            detail = {"id": dice.choice(("proj_1", "proj_2"))} if type_ == "project.created" else None
            events.append(_event(dice, type_, later, _session(dice, person), detail))
    return events


def silence(dice: Random, cast: Cast) -> list[Raw]:
    """Draw people who fall silent and come back, who are added, removed, and never heard of."""
    grid_s, boss = dice.choice((_DAY_S, 9 * _DAY_S, 15 * _DAY_S)), cast.people[0]
    events = [_event(dice, "login.succeeded", _T0 + 120 * _DAY_S, _session(dice, boss))]
    for person in [*cast.people, *dice.sample(cast.crowd, 3)]:
        for _ in range(dice.randint(0, 3)):
            type_ = dice.choice(("login.succeeded", "project.updated", "login.failed"))
            events.append(_event(dice, type_, _when(dice, _T0, 120 * _DAY_S, grid_s), _session(dice, person)))
        for _ in range(dice.choice((0, 1, 1, 2, 3))):
            type_, at = dice.choice(("user.added", "user.deleted")), _when(dice, _T0, 120 * _DAY_S, grid_s)
            events.append(_event(dice, type_, at, _session(dice, boss), {"id": person.get("id")}))
    return events


def _town(dice: Random) -> Raw:
    """Draw where sessions come from, with coordinates; a tenth tells no network."""
    address, number = f"{dice.choice(_BLOCKS)}{dice.randint(1, 3)}", dice.choice(("64496", "64497", "64500"))
    details = dict(zip(("country", "city", "latitude", "longitude"), dice.choice(_TOWNS), strict=True))
    details = {name: value if dice.random() < 0.95 else dice.choice((None, 5)) for name, value in details.items()}
    told = dice.choices(((address, number), (address, None), (None, number), (None, None)), (80, 5, 5, 10))[0]
    return {"ip_address": told[0], "ip_address_details": details | {"asn": told[1]}}


def travel(dice: Random, cast: Cast) -> list[Raw]:
    """Draw logins of few people from few places, some of which they share, on few days."""
    homes = [(person, _town(dice)) for person in cast.people[: dice.randint(1, 5)]]
    shared, days = [_town(dice) for _ in range(dice.randint(1, 3))], dice.choice((2, 4))
    events = []
    for _ in range(dice.randint(15, 60)):
        person, home = dice.choice(homes)
        place = dice.choice((home, home, dice.choice(shared), _town(dice)))
        at = _when(dice, _T0, days * _DAY_S, dice.choice((10 * _MINUTE_S, _HOUR_S, 6 * _HOUR_S)))
        events.append(_event(dice, "login.succeeded", at, _session(dice, person, place)))
    return events


def prints(dice: Random, cast: Cast) -> list[Raw]:
    """Draw sessions from offices, the last of which is behind a proxy, and from elsewhere, in few clients.

    What holds of an address with several numbers, or with one that only a session without an actor, a client or a
    handshake gives, the page does not say: each has one at most, and the first session from an office is whole.
    """
    numbers = {"192.0.2.1": "64496", "192.0.2.2": "64497", "192.0.2.3": "64497", "198.51.100.1": "64500"}
    offices = [{"ip_address": address, "ip_address_details": {"asn": asn}} for address, asn in numbers.items()]
    elsewhere: list[Raw] = [{"ip_address": address} for address in ("192.0.2.1", "198.51.100.1", "203.0.113.1", None)]
    is_one_for_all, events = dice.random() < 0.7, []
    for office, person, (agent, ja4) in zip(offices, cast.crowd, _CLIENTS, strict=False):
        session = office | {"user_agent": agent, "ja4": ja4, "user": person}
        events.append(_event(dice, "login.succeeded", _T0, {"type": "session", "session": session}))
    for _ in range(dice.randint(30, 120)):
        place, (agent, ja4) = dice.choice([*offices, *offices, *elsewhere]), dice.choice(_CLIENTS)
        proxied = _PROXY if is_one_for_all else f"t12d190900_{ja4.partition('_')[2]}"
        usual = proxied if place["ip_address"] == "198.51.100.1" and dice.random() < 0.8 else ja4
        client = agent, usual if dice.random() < 0.9 else dice.choice(_JA4)
        type_ = dice.choice(("login.succeeded", "project.updated", "future.thing.done", "login.failed"))
        actor = _session(dice, dice.choice([*cast.people, None]), place, client)
        events.append(_event(dice, type_, _when(dice, _T0, 3 * _DAY_S, 6 * _HOUR_S), actor))
    return events


def usual_days(dice: Random, cast: Cast) -> list[Raw]:
    """Draw days of some failures, and a last one without a login.

    How the limit of a day is fitted the page does not say: the failures of no day but the last may be beyond it. Sums
    of even numbers of logins keep what is expected off the middle between two decimals, where rounding is a matter of
    floating point.
    """
    days = sorted(dice.sample(range(14), dice.randint(3, 10)))
    numbers = [(2 * dice.randint(5, 9), dice.randint(1, 3)) for _ in days[1:]] + [(0, dice.randint(1, 6))]
    events = []
    for day, (logins, failures) in zip(days, numbers, strict=True):
        for type_ in ["login.succeeded"] * logins + ["login.failed"] * failures:
            at = _T0 + _DAY_S * day + dice.choice((0, dice.randrange(0, _DAY_S, _HOUR_S), _DAY_S - 0.25))
            events.append(_event(dice, type_, at, _actor(dice, cast)))
    return events


_SCENES: tuple[Scene, ...] = (noise, spray, stuffing, guesses, habit, silence)


def world(dice: Random, favourite: Scene) -> list[Raw]:
    """Draw the events of a world, in no order; most worlds are mostly about the favourite scene."""
    cast = _cast(dice)
    others = dice.sample(_SCENES, dice.randint(1, 3))
    scenes = (favourite, favourite, others[0]) if dice.random() < 0.8 else (noise, *others)
    return _shuffled(dice, [event for scene in scenes for event in scene(dice, cast)])


def only(dice: Random, scene: Scene) -> list[Raw]:
    """Draw the events of a world of one scene, in no order."""
    return _shuffled(dice, scene(dice, _cast(dice)))


def _cast(dice: Random) -> Cast:
    return Cast(
        people=[_person(dice, number) for number in range(dice.randint(3, 7))],
        crowd=[_person(dice, number) for number in range(20, 36)],
    )


def _shuffled(dice: Random, events: list[Raw]) -> list[Raw]:
    dice.shuffle(events)
    return [{"id": id_} | event for id_, event in zip(dice.sample(_IDS, 300), events, strict=False)]


def among(**choices: Sequence[Any]) -> Callable[[Random, Sequence[Event]], dict[str, Any]]:
    """Make what asks for each of some parameters, more often than not, and for nothing but the choices."""
    return lambda dice, log: {name: dice.choice(values) for name, values in choices.items() if dice.random() < 0.6}
