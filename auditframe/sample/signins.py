"""A made-up organization's sign-ins: labelled attacks, and labelled traps that look like attacks and are none."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from auditframe.errors import AuditFrameError
from auditframe.sample.attacks import attacks as planned_attacks
from auditframe.sample.attacks import outage, outage_hours
from auditframe.sample.dice import Dice
from auditframe.sample.habits import SHARED, habit, monday, routine, service, settle, strangers
from auditframe.sample.incidents import Storyline, labels
from auditframe.sample.people import gather
from auditframe.sample.written import SignIns, in_order, write
from auditframe.window import parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from auditframe.sample.people import Cast, Person
    from auditframe.sample.plans import Plan
    from auditframe.window import Instant

    Hours = tuple[int, int]

_DAY_S = 86_400
_FEWEST_PEOPLE, _FEWEST_DAYS = 12, 14  # fewer hold no attack on six accounts, or none of a week
_EVERYBODY = "organization"


def signins(  # noqa: PLR0913 - an organization is described once, by name
    *,
    seed: int = 7,
    people: int = 300,
    days: int = 60,
    end: Instant = "2026-11-01",
    attacks: int = 1,
    traps: bool = True,
) -> SignIns:
    """Make up how the people of an organization sign in, fail to, and are attacked.

    Attacks come in every size: a burst of 8 failures or of 80, a spray of 6 accounts within two days or of hundreds
    within minutes, some at night, some in the crowd of a Monday morning, some from networks that look like homes. An
    outage is an incident too, though nobody's attack.

    Browsers are updated every four weeks, and some people have a phone too, so that a new client means little.

    Traps are people who always mistype, travel, use the network of a phone, show no e-mail address or are new; an
    office that shows one address; programs whose password expired; the day on which all passwords were reset; the
    busiest Monday; tries that name no account. Parts of events are missing or null.

    Args:
        seed: Which organization.
        people: How many people, at least 12.
        days: How long before `end` the events begin, at least 14 [days].
        end: The end of the window; every event is before it.
        attacks: How many incidents of each kind: ``burst``, ``password_spray``, ``credential_stuffing``, ``slow``,
            ``failures_then_success`` and ``outage``; 0 for a world in which nothing is to be found.
        traps: Whether there are traps.

    Returns:
        The events, the labels of the incidents and of the traps.

    Raises:
        AuditFrameError: There are too few people or days, or less than no attacks.
        WindowError: `end` cannot be read.
    """
    if people < _FEWEST_PEOPLE or days < _FEWEST_DAYS or attacks < 0:
        raise AuditFrameError(
            f"Sign-ins need at least {_FEWEST_PEOPLE} people, {_FEWEST_DAYS} days and 0 attacks; "
            f"asked for {people}, {days} and {attacks}."
        )
    dice, end_s = Dice(seed), int(parse_instant(end).timestamp())
    cast = gather(dice, size=people, start=end_s - days * _DAY_S, end=end_s)
    staff = settle(dice, cast, traps=traps)
    lasting = [person for person in staff if person.begins < cast.start and person.ends >= cast.end]
    planted = list(planned_attacks(dice, cast, lasting, rounds=attacks))
    outages = [outage_hours(dice, cast, _typical(lasting), beside=planted) for _ in range(attacks)]
    reset_at = monday(dice.between(cast.start + 7 * _DAY_S, cast.end - 4 * _DAY_S)) + _DAY_S if traps else None
    daily = [_hindered(one, outages) for one in _daily(dice, cast, staff, outages, reset_at)]
    plans = sorted((plan for one in (*planted, *daily) for plan in one.plans), key=lambda plan: (plan.at, plan.id))
    down = [_during("outage", daily, each) for each in outages]
    looks = _traps(daily, reset_at) if reset_at else ()
    return SignIns(in_order(write(dice, cast, plans)), labels([*planted, *down]), labels(looks))


def _typical(people: Sequence[Person]) -> Person:
    """Return somebody of the place where most people are."""
    [(city, _)] = Counter(person.office.city for person in people).most_common(1)
    return next(person for person in people if person.office.city == city)


def _daily(
    dice: Dice, cast: Cast, staff: Sequence[Person], outages: Iterable[Hours], reset_at: int | None
) -> Iterator[Storyline]:
    """Plan what no attacker does, a storyline for each person and program; its kind joins the traps that it is."""
    for person in staff:
        who = habit(dice, cast, person, traps=reset_at is not None)
        yield Storyline(" ".join(who.traits), person.id, tuple(routine(dice, who, cast, reset_at=reset_at)))
    for hours in outages:
        inside = tuple(plan for plan in outage(dice, staff, hours) if plan.at < cast.end)
        yield Storyline("", _EVERYBODY, inside)
    if reset_at is not None:
        for number in range(1 + min(len(staff) // 300, 4)):
            yield service(dice, cast, number)
        yield Storyline("strangers", _EVERYBODY, tuple(strangers(dice, cast)))


def _hindered(one: Storyline, outages: Sequence[Hours]) -> Storyline:
    """Let everybody fail who would have signed in during an outage."""
    down = (plan for plan in one.plans if any(start <= plan.at < end for start, end in outages))
    fails = {plan.id for plan in down if plan.type == "login.succeeded"}
    return replace(one, plans=tuple(replace(p, type="login.failed") if p.id in fails else p for p in one.plans))


def _traps(daily: Sequence[Storyline], reset_at: int) -> Iterator[Storyline]:
    """Label the failures of everything that looks like an attack."""
    for one in daily:
        for trait in one.kind.split():
            yield Storyline(trait, one.subject, tuple(plan for plan in one.plans if plan.type == "login.failed"))
    yield _during("reset_day", daily, (reset_at, reset_at + _DAY_S))
    yield _during("monday", daily, _worst_monday(daily))
    at_one = (plan for plan in _failures(daily) if _address(plan) == SHARED.address(0))
    yield Storyline("shared_address", SHARED.address(0), tuple(at_one))


def _worst_monday(daily: Iterable[Storyline]) -> Hours:
    """Return the Monday, in UTC, on which most sign-ins failed."""
    days = Counter(plan.at // _DAY_S for plan in _failures(daily))
    worst = max((day * _DAY_S for day in days), key=lambda at: (at == monday(at), days[at // _DAY_S], at), default=0)
    return worst, worst + _DAY_S


def _during(kind: str, daily: Iterable[Storyline], hours: Hours) -> Storyline:
    start, end = hours
    return Storyline(kind, _EVERYBODY, tuple(plan for plan in _failures(daily) if start <= plan.at < end))


def _failures(daily: Iterable[Storyline]) -> Iterator[Plan]:
    return (plan for one in daily for plan in one.plans if plan.type == "login.failed")


def _address(plan: Plan) -> str | None:
    address: str | None = (plan.actor or {}).get("session", {}).get("ip_address")
    return address
