"""Habits: when the people of a made-up organization sign in, from where, and how they mistype.

People mistype in runs: one mistake is followed by another with a chance that is each person's own, so that a run's
length is geometric. They try again within seconds, come by the office hours of their own place, all at once on Monday
mornings, and hardly at weekends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from auditframe.sample.incidents import Storyline
from auditframe.sample.people import HOMES, HOSTING, OFFICES, SCRIPT, Device, Person, Place
from auditframe.sample.plans import Plan, event_id, office_second, seated, session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from auditframe.sample.dice import Dice
    from auditframe.sample.people import Cast

_HOUR_S = 3_600
_DAY_S = 86_400
_ROOM = 9_000  # addresses of a network that has one for everybody
_ONE_OFFICE = 100  # an organization of fewer people sits in one place, most of it

SHARED = replace(OFFICES[1], hosts=1)
"""An office whose people all show one address."""
_OWN_HOMES = tuple(
    replace(home, network=network, first=1, hosts=_ROOM)
    for home, network in zip(HOMES, ("2001:db8:48::", "2001:db8:49::", "2001:db8:4a::"), strict=True)
)
_UPDATE_DAYS = 28  # how often a browser gets another version
_VERSION = re.compile(r"(?<=Chrome/|ersion/|irefox/)\d+")
_PHONE = Device(
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 "
    "Mobile/15E148 Safari/604.1",
    "c279b0189edb9269da7bc43dea5e0c36",
    "t13d2014h2_a09f3c656075_e42f34c56612",
)
_CARRIER = Place("2001:db8:ce::", 1, _ROOM, 1, "DE", "Bonn", "North Rhine-Westphalia", "NW", "64505", "50.73", "7.09")
_HOTELS = (
    Place("2001:db8:e7::", 1, _ROOM, 1, "FR", "Lyon", "Auvergne-Rhône-Alpes", "ARA", "64506", "45.76", "4.83"),
    Place("2001:db8:e8::", 1, _ROOM, 8, "SG", "Singapore", "Singapore", "01", "64507", "1.35", "103.82"),
    Place("2001:db8:e9::", 1, _ROOM, -5, "CA", "Montreal", "Quebec", "QC", "64508", "45.50", "-73.57"),
)


@dataclass(frozen=True, slots=True)
class Habit:
    """How a person signs in.

    Attributes:
        person: Who.
        traits: The traps that the person is: ``mistypes``, ``travels``, ``mobile``, ``no_email``, ``new_starter``.
        signs_in: On how many of 100 working days.
        mistypes: How many of 100 sign-ins begin with a mistake.
        again: How many of 100 mistakes are followed by another.
        is_frayed: Whether its events lack parts now and then.
    """

    person: Person
    traits: tuple[str, ...]
    signs_in: int
    mistypes: int
    again: int
    is_frayed: bool


def settle(dice: Dice, cast: Cast, *, traps: bool) -> tuple[Person, ...]:
    """Give everybody a home of their own; with traps, an office that shows one address, and newcomers on one Monday."""
    office = SHARED if traps else OFFICES[1]
    first_day = monday(dice.between(cast.start + 7 * _DAY_S, cast.end - 7 * _DAY_S))
    people = []
    for person in cast.people:
        place = OFFICES.index(person.office)
        if len(cast.people) < _ONE_OFFICE and not dice.chance(4):
            place = 1
        begins = person.begins
        if traps and begins > cast.start and dice.chance(3):
            begins = first_day + (9 - OFFICES[place].offset_h) * _HOUR_S + dice.below(2 * _HOUR_S)
        stays = person.ends > begins + _DAY_S
        ends = person.ends if stays else cast.end + _DAY_S
        seat = office if place == 1 else OFFICES[place]
        people.append(replace(person, begins=begins, ends=ends, office=seat, home=_OWN_HOMES[place]))
    return tuple(people)


def habit(dice: Dice, cast: Cast, person: Person, *, traps: bool) -> Habit:
    """Draw a person's habits; with traps some are of the kind that looks like an attack, the first ones surely."""
    drawn = {"mistypes": (6, 25), "travels": (1, 12), "mobile": (2, 10), "no_email": (8, 20)}
    traits = [
        trait for trait, (seat, one_in) in drawn.items() if traps and (person.seat == seat or dice.chance(one_in))
    ]
    if traps and person.begins > cast.start:
        traits.append("new_starter")
    mistypes, again = dice.between(3, 12), dice.between(20, 40)
    if "mistypes" in traits:
        mistypes, again = dice.between(40, 70), dice.between(45, 65)
    return Habit(person, tuple(traits), dice.between(15, 70), mistypes, again, traps)


def routine(dice: Dice, who: Habit, cast: Cast, *, reset_at: int | None) -> Iterator[Plan]:
    """Plan a person's sign-ins over the sample.

    Args:
        dice: Chance.
        who: The person and its habits.
        cast: The organization, for the bounds of the sample.
        reset_at: When everybody's password was reset; None for never.
    """
    person = who.person
    start, end = max(person.begins, cast.start), min(person.ends, cast.end)
    shift = person.office.offset_h * _HOUR_S
    is_new, has_reset = person.begins > cast.start, reset_at is None
    for midnight in range(start - (start + shift) % _DAY_S, end, _DAY_S):
        at = _moment(dice, who, midnight, is_new=is_new, is_due=not has_reset and midnight > (reset_at or 0))
        if at is None or not start <= at < end:
            continue
        mistakes = _mistakes(dice, who, at)
        if is_new:
            mistakes, is_new = dice.below(7), False
        if not has_reset and reset_at is not None and at >= reset_at:
            mistakes, has_reset = (1 + _run(dice, 45) if dice.below(100) < 65 else 0), True
        today = replace(who, person=replace(person, device=_device(person, midnight // _DAY_S, cast.start // _DAY_S)))
        actor = _frayed(dice, who, _actor(dice, today, midnight // _DAY_S))
        yield from (plan for plan in _visit(dice, at, mistakes, actor) if plan.at < end)


def service(dice: Dice, cast: Cast, number: int) -> Storyline:
    """Plan a program that signs in steadily from one address, until its password expires and until it is renewed."""
    account = Person(
        id="user-" + dice.token(24),
        email=f"ci-{number}@example.org",
        role="member",
        begins=cast.start,
        ends=cast.end,
        seat=number,
        office=HOSTING,
        home=HOSTING,
        device=SCRIPT,
    )
    actor = session(account, place=HOSTING, host=dice.below(HOSTING.hosts), device=SCRIPT)
    every = dice.pick((1_800, 3_600, 7_200))
    span = cast.end - cast.start
    expires = cast.start + span * dice.between(35, 70) // 100
    renewed = expires + dice.between(5, 21) * _DAY_S
    plans = []
    for due in range(cast.start + dice.below(every), cast.end, every):
        at = min(due + dice.below(60), cast.end - 1)
        plans.append(_try(dice, at, actor, is_good=not expires <= at < renewed))
    return Storyline("expired_service", account.id, tuple(plans))


def strangers(dice: Dice, cast: Cast) -> Iterator[Plan]:
    """Plan tries that name no account, from all over: what any login page sees."""
    for midnight in range(cast.start, cast.end, _DAY_S):
        for _ in range(dice.below(3 + len(cast.people) // 500)):
            at = midnight + dice.below(_DAY_S)
            actor = session(None, place=HOSTING, host=dice.below(HOSTING.hosts), device=SCRIPT)
            for _ in range(1 + _run(dice, 40)):
                yield _try(dice, min(at, cast.end - 1), None if dice.chance(6) else actor, is_good=False)
                at += 1 + dice.below(90)


def in_office(person: Person, at: int) -> bool:
    """Whether it is office hours of a working day where a person works."""
    local = at + person.office.offset_h * _HOUR_S
    return person.begins <= at < person.ends and _weekday(local // _DAY_S) < 5 and 8 <= local % _DAY_S // _HOUR_S < 18


def monday(at: int) -> int:
    """Return the UTC midnight that the week of a second began with."""
    day = at // _DAY_S
    return (day - _weekday(day)) * _DAY_S


def _moment(dice: Dice, who: Habit, midnight: int, *, is_new: bool, is_due: bool) -> int | None:
    """Draw when a person signs in on a day, which begins at its local midnight; None for not at all."""
    person = who.person
    if is_new:
        return max(person.begins, midnight) + dice.between(60, 3_600)
    weekday = _weekday((midnight + person.office.offset_h * _HOUR_S) // _DAY_S)
    comes = 3 if weekday > 4 else 95 if weekday == 0 or is_due else who.signs_in
    if dice.below(100) >= comes:
        return None
    if weekday == 0:
        return midnight + dice.between(7 * _HOUR_S + 1_800, 10 * _HOUR_S)
    return office_second(dice, midnight, midnight + _DAY_S, offset_h=person.office.offset_h)


def _mistakes(dice: Dice, who: Habit, at: int) -> int:
    """Draw how many mistakes a sign-in begins with; after a weekend twice as often as else."""
    local = at + who.person.office.offset_h * _HOUR_S
    chance = min(who.mistypes * (2 if _weekday(local // _DAY_S) == 0 else 1), 80)
    return 1 + _run(dice, who.again) if dice.below(100) < chance else 0


def _run(dice: Dice, again: int) -> int:
    """Draw how many more follow, each with a chance of `again` in 100."""
    length = 0
    while dice.below(100) < again:
        length += 1
    return length


def _actor(dice: Dice, who: Habit, day: int) -> dict[str, Any]:
    """Write a person's session: from the office, from home, on the move, or from this fortnight's hotel."""
    person = who.person
    trip, since = divmod(day + person.seat, 14)
    if "travels" in who.traits and since < 5:
        hotel, room = _HOTELS[(person.seat + trip) % len(_HOTELS)], person.seat * 31 + trip * 7
        return session(person, place=hotel, host=dice.below(_ROOM) if dice.chance(4) else room, device=person.device)
    if "mobile" in who.traits and dice.below(100) < 60:
        return session(person, place=_CARRIER, host=dice.below(_ROOM), device=person.device)
    return seated(dice, person)


def _device(person: Person, day: int, first_day: int) -> Device:
    """Return what a person signs in with on a day: a browser that is updated every four weeks, or a phone.

    One in eight has a phone, and uses it one day in four. No chance is drawn: who looks at no client sees the same.
    """
    seat = person.seat
    device = _PHONE if seat % 8 == 5 and (7 * seat + 5 * day) % 4 == 0 else person.device
    updates = (day - first_day + seat) // _UPDATE_DAYS - seat // _UPDATE_DAYS
    return replace(device, user_agent=_VERSION.sub(lambda found: str(int(found[0]) + updates), device.user_agent))


def _frayed(dice: Dice, who: Habit, actor: dict[str, Any]) -> dict[str, Any]:
    """Take the e-mail away from those who show none, and now and then put an explicit null."""
    shown = actor["session"]
    if "no_email" in who.traits:
        return {**actor, "session": {**shown, "user": {"id": who.person.id}}}
    fate = dice.below(200) if who.is_frayed else -1
    if fate == 0:
        return {**actor, "session": {**shown, "user": {**shown["user"], "email": None}}}
    return {**actor, "session": {**shown, "ip_address": None}} if fate == 1 else actor


def _visit(dice: Dice, at: int, mistakes: int, actor: Mapping[str, Any]) -> Iterator[Plan]:
    """Plan mistakes seconds apart and then the way in; now and then by a new password, or not at all that day."""
    for _ in range(mistakes):
        yield _try(dice, at, actor, is_good=False)
        at += 3 + dice.below(27)
    if mistakes and dice.chance(25):
        return
    if mistakes > 2 and dice.chance(4):
        at += dice.between(300, _HOUR_S)
    yield _try(dice, at, actor, is_good=True)


def _try(dice: Dice, at: int, actor: Mapping[str, Any] | None, *, is_good: bool) -> Plan:
    return Plan(event_id(dice, at), at, "login.succeeded" if is_good else "login.failed", actor)


def _weekday(day: int) -> int:
    """Return the weekday of a day since 1970-01-01, a Thursday; 0 is a Monday."""
    return (day + 3) % 7
