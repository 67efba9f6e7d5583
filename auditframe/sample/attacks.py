"""Attacks on sign-ins in every size from hardly to plainly seen, and the outage that looks like one."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

from auditframe.sample.habits import in_office
from auditframe.sample.incidents import Storyline, failed
from auditframe.sample.people import BOTNET, HOSTING, SCRIPT, Device, Place
from auditframe.sample.plans import Plan, event_id, session

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from auditframe.sample.dice import Dice
    from auditframe.sample.people import Cast, Person

_MINUTE_S = 60
_HOUR_S = 3_600
_DAY_S = 86_400
_ROOM = 9_000
_CLOUD = Place("2001:db8:c1::", 1, _ROOM, 0, "US", "Ashburn", "Virginia", "VA", "64509", "39.04", "-77.49")
_STREET = Place("2001:db8:5e::", 1, _ROOM, 1, "DE", "Mainz", "Rhineland-Palatinate", "RP", "64501", "49.99", "8.25")
_BROWSER = Device(
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "0f7a3c5e19b84d26a1c3e5079b2d4f68",
    "t13d1516h2_8daaf6152771_02713d6af862",
)


def attacks(dice: Dice, cast: Cast, people: Sequence[Person], *, rounds: int) -> Iterator[Storyline]:
    """Plan an attack of every kind once a round, each on another account as long as there are others.

    Args:
        dice: Chance.
        cast: The organization, for the bounds of the sample.
        people: Those who may be attacked.
        rounds: How many attacks of each kind.
    """
    left, order = list(people), []
    while left:
        order.append(left.pop(dice.below(len(left))))
    victims = cycle(order)
    for _ in range(rounds):
        yield _burst(dice, cast, next(victims))
        yield _spray(dice, cast, order)
        yield _stuffing(dice, cast, next(victims))
        yield _slow(dice, cast, next(victims))
        yield _failures_then_success(dice, cast, next(victims))


def outage_hours(dice: Dice, cast: Cast, person: Person, *, beside: Iterable[Storyline]) -> tuple[int, int]:
    """Draw from when until when nobody can sign in: in a person's office hours, when no attack gets in."""
    entries = [plan.at for one in beside for plan in one.plans if plan.type == "login.succeeded"]
    while True:
        at = dice.between(cast.start + _DAY_S, cast.end - _DAY_S)
        length = dice.pick((10, 20, 45, 90, 120)) * _MINUTE_S
        if in_office(person, at) and in_office(person, at + length) and not any(at <= e < at + length for e in entries):
            return at, at + length


def outage(dice: Dice, people: Iterable[Person], hours: tuple[int, int]) -> Iterator[Plan]:
    """Plan what people do when nobody can sign in: they are thrown out, try, try again, and get in afterwards."""
    start, end = hours
    for person in people:
        if not in_office(person, start) or dice.below(100) >= 70:
            continue
        actor = session(person, place=person.office, host=dice.below(person.office.hosts), device=person.device)
        at = dice.between(start, start + (end - start) * 3 // 4)
        for _ in range(dice.between(1, 6)):
            if at < end:
                yield failed(dice, at, actor)
            at += dice.between(10, 240)
        back = end + dice.below(_HOUR_S)
        yield Plan(event_id(dice, back), back, "login.succeeded", actor)


def _burst(dice: Dice, cast: Cast, victim: Person) -> Storyline:
    """Plan 8 to 80 failures on one account from one address, seconds apart."""
    count, pace = dice.between(*dice.pick(((8, 12), (12, 20), (20, 40), (40, 81)))), dice.pick((2, 5, 15, 40))
    at, actor = _opening(dice, cast, victim, count * pace), _one_address(dice, victim)
    return Storyline("burst", victim.id, _series(dice, at, pace, [actor] * count))


def _spray(dice: Dice, cast: Cast, people: Sequence[Person]) -> Storyline:
    """Plan one or two failures on each of 6 to 400 accounts from one address, within minutes or within two days."""
    reach = min(dice.between(*dice.pick(((6, 10), (10, 25), (25, 80), (80, 401)))), len(people))
    length = dice.pick((5 * _MINUTE_S, _HOUR_S, 6 * _HOUR_S, _DAY_S, 2 * _DAY_S))
    first, (place, host, device) = dice.below(len(people)), _source(dice)
    targets: list[Person | None] = []
    for number in range(reach):
        targets += [people[(first + number) % len(people)]] * (1 + dice.below(2))
        targets += [None] * (dice.below(8) == 0)
    actors = [session(target, place=place, host=host, device=device) for target in targets]
    pace = max(length // len(actors), 1)
    plans = _series(dice, _opening(dice, cast, people[first], pace * len(actors) + _HOUR_S), pace, actors)
    if dice.chance(5):
        at = plans[-1].at + dice.between(1, _HOUR_S)
        plans = (*plans, Plan(event_id(dice, at), at, "login.succeeded", actors[0]))
    return Storyline("password_spray", place.address(host), plans)


def _stuffing(dice: Dice, cast: Cast, victim: Person) -> Storyline:
    """Plan failures on one account from 6 to 60 addresses, within half an hour or within half a day."""
    count = dice.between(*dice.pick(((6, 9), (9, 15), (15, 30), (30, 61))))
    pace = dice.pick((1_800, 2 * _HOUR_S, 12 * _HOUR_S)) // count
    at, host, place = (
        _opening(dice, cast, victim, pace * count),
        dice.below(_ROOM),
        dice.pick((BOTNET, BOTNET, _STREET)),
    )
    actors = [session(victim, place=place, host=host + 17 * turn, device=_BROWSER) for turn in range(count)]
    return Storyline("credential_stuffing", victim.id, _series(dice, at, pace, actors))


def _slow(dice: Dice, cast: Cast, victim: Person) -> Storyline:
    """Plan one failure every 30 to 180 minutes over 2 to 7 days, from one to three addresses."""
    pace, days = dice.between(30, 181) * _MINUTE_S, dice.between(2, 8)
    count = days * _DAY_S // pace
    at, addresses = (
        _opening(dice, cast, victim, pace * count),
        [_one_address(dice, victim) for _ in range(1 + dice.below(3))],
    )
    return Storyline("slow", victim.id, _series(dice, at, pace, [dice.pick(addresses) for _ in range(count)]))


def _failures_then_success(dice: Dice, cast: Cast, victim: Person) -> Storyline:
    """Plan 5 to 20 failures on one account from one address, and then a success from there."""
    count, pace = dice.between(5, 21), dice.pick((3, 20, 60, 300))
    at, actor = _opening(dice, cast, victim, (count + 2) * pace), _one_address(dice, victim)
    failures = _series(dice, at, pace, [actor] * count)
    entry = failures[-1].at + 1 + dice.below(pace)
    last = Plan(event_id(dice, entry), entry, "login.succeeded", actor)
    return Storyline("failures_then_success", victim.id, (*failures, last))


def _series(dice: Dice, at: int, pace: int, actors: Sequence[dict[str, Any]]) -> tuple[Plan, ...]:
    """Plan failures about `pace` seconds apart, one an actor."""
    return tuple(failed(dice, at + pace * turn + dice.below(pace), actor) for turn, actor in enumerate(actors))


def _opening(dice: Dice, cast: Cast, victim: Person, length: int) -> int:
    """Draw when an attack begins: any time, at the victim's night, or on its Monday morning."""
    first, last = cast.start + _DAY_S, cast.end - length - 1
    at, way = dice.between(first, last), dice.below(3)
    if way == 0:
        return at
    shift = victim.office.offset_h * _HOUR_S
    midnight = at - (at + shift) % _DAY_S
    if way == 1:
        return min(max(midnight + dice.below(5 * _HOUR_S), first), last)
    monday = midnight - ((midnight + shift) // _DAY_S + 3) % 7 * _DAY_S
    return min(max(monday + dice.between(7 * _HOUR_S, 11 * _HOUR_S), first), last)


def _one_address(dice: Dice, victim: Person) -> dict[str, Any]:
    place, host, device = _source(dice)
    return session(victim, place=place, host=host, device=device)


def _source(dice: Dice) -> tuple[Place, int, Device]:
    """Draw where an attack comes from: three times in four a cloud host, else what looks like somebody's home."""
    place = dice.pick((HOSTING, HOSTING, _CLOUD, _STREET))
    return place, dice.below(place.hosts), _BROWSER if place is _STREET else SCRIPT
