"""Planted storylines: what a reviewer should find, each with its label."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from auditframe.sample.details import LOGIN_ERRORS
from auditframe.sample.people import BOTNET, HOSTING, SCRIPT
from auditframe.sample.plans import Plan, event_id, office_second, session

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from auditframe.sample.dice import Dice
    from auditframe.sample.people import Cast, Person

_SLACK_S = 4 * 3_600  # no storyline lasts longer, so that each ends inside the sample


@dataclass(frozen=True, slots=True)
class Incident:
    """A planted storyline.

    Attributes:
        kind: ``burst``, ``password_spray``, ``credential_stuffing`` or ``failures_then_success``; of `signins` also
            ``slow`` and ``outage``, which nobody does to anybody, or the name of a trap.
        subject: The user id under attack or in a trap; where a whole address or the organization is meant, the address
            or ``organization``.
        start: The second of its first event, UTC.
        end: The second after its last event, UTC.
        event_ids: Its events, oldest first.
    """

    kind: str
    subject: str
    start: datetime
    end: datetime
    event_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Storyline:
    """An incident before its label is written: what happens, and to whom."""

    kind: str
    subject: str
    plans: tuple[Plan, ...]


def storylines(dice: Dice, cast: Cast, *, rounds: int) -> Iterator[Storyline]:
    """Plan every kind of incident once a round; none when the sample is too short to hold one."""
    if cast.end - cast.start <= 2 * _SLACK_S:
        return
    for _ in range(rounds):
        yield _burst(dice, cast)
        yield _spray(dice, cast)
        yield _stuffing(dice, cast)
        yield _failures_then_success(dice, cast)


def labels(planted: Iterable[Storyline]) -> tuple[Incident, ...]:
    """Write the labels of the storylines in which anything happens, oldest first."""
    return tuple(
        sorted(map(_label, (one for one in planted if one.plans)), key=lambda incident: (incident.start, incident.kind))
    )


def _label(storyline: Storyline) -> Incident:
    in_order = sorted(storyline.plans, key=lambda plan: (plan.at, plan.id))
    start, last = (datetime.fromtimestamp(plan.at, UTC) for plan in (in_order[0], in_order[-1]))
    ids = tuple(plan.id for plan in in_order)
    return Incident(storyline.kind, storyline.subject, start, last + timedelta(seconds=1), ids)


def _burst(dice: Dice, cast: Cast) -> Storyline:
    """Plan 40 failures on one account from one address within about three minutes."""
    victim, at, host = dice.pick(cast.founders), _opening(dice, cast), dice.below(HOSTING.hosts)
    actor = session(victim, place=HOSTING, host=host, device=SCRIPT)
    return Storyline(
        "burst", victim.id, tuple(failed(dice, at + 4 * turn + dice.below(5), actor) for turn in range(40))
    )


def _spray(dice: Dice, cast: Cast) -> Storyline:
    """Plan one or two failures on every founder's account and some unknown ones, all from one address."""
    at, host = _opening(dice, cast), dice.below(HOSTING.hosts)
    targets: list[Person | None] = []
    for person in cast.founders[:60]:
        targets += [person] * dice.between(1, 3)
        targets += [None] * (dice.below(8) == 0)
    actors = [session(target, place=HOSTING, host=host, device=SCRIPT) for target in targets]
    plans = tuple(failed(dice, at + 20 * turn + dice.below(20), actor) for turn, actor in enumerate(actors))
    return Storyline("password_spray", HOSTING.address(host), plans)


def _stuffing(dice: Dice, cast: Cast) -> Storyline:
    """Plan 48 failures on one account from 48 addresses within two hours."""
    victim, at, host = dice.pick(cast.founders), _opening(dice, cast), dice.below(BOTNET.hosts)
    actors = [session(victim, place=BOTNET, host=host + 17 * turn, device=SCRIPT) for turn in range(48)]
    plans = tuple(failed(dice, at + 150 * turn + dice.below(150), actor) for turn, actor in enumerate(actors))
    return Storyline("credential_stuffing", victim.id, plans)


def _failures_then_success(dice: Dice, cast: Cast) -> Storyline:
    """Plan 14 failures on one account from one address, and then a success from there."""
    victim, at, host = dice.pick(cast.founders), _opening(dice, cast), dice.below(HOSTING.hosts)
    actor = session(victim, place=HOSTING, host=host, device=SCRIPT)
    failures = tuple(failed(dice, at + 30 * turn + dice.below(30), actor) for turn in range(14))
    entry = at + 14 * 30 + dice.below(60)
    return Storyline(
        "failures_then_success", victim.id, (*failures, Plan(event_id(dice, entry), entry, "login.succeeded", actor))
    )


def _opening(dice: Dice, cast: Cast) -> int:
    return office_second(dice, cast.start, cast.end - _SLACK_S)


def failed(dice: Dice, at: int, actor: Mapping[str, Any]) -> Plan:
    """Plan a sign-in that fails for a wrong password."""
    code = "invalid_credentials"
    known = {"error_code": code, "error_message": LOGIN_ERRORS[code]}
    return Plan(event_id(dice, at), at, "login.failed", actor, known=known)
