"""A plan: an event before its details are drawn; and the actors that plans name."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from auditframe.sample.people import OFFICES, Device, Person

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditframe.sample.dice import Dice
    from auditframe.sample.people import Key, Place, Project

_STEMS = ("audit_log-", "req_")
_HOUR_S = 3_600
_DAY_S = 86_400
# People per local hour of a working day, from midnight on.
_HOURS = (0, 0, 0, 0, 0, 0, 1, 4, 12, 16, 14, 11, 7, 10, 13, 12, 10, 7, 3, 2, 2, 1, 1, 0)


@dataclass(frozen=True, slots=True)
class Plan:
    """An event to be written.

    Attributes:
        id: The event's id.
        at: When it happens [Unix seconds].
        type: Its type.
        actor: Who does it, as the API shows it; None for nobody in particular.
        project: Where; None on organization level.
        known: Payload fields that the story fixes.
    """

    id: str
    at: int
    type: str
    actor: Mapping[str, Any] | None
    project: Project | None = None
    known: Mapping[str, Any] = field(default_factory=dict)


def event_id(dice: Dice, at: int) -> str:
    """Draw an id in one of the forms the API uses; the short ones are rare."""
    form = dice.below(64)
    if form > 1:
        return _STEMS[0] + dice.token(24)
    day = datetime.fromtimestamp(at, UTC)
    return f"{_STEMS[form]}{dice.token(12)}_{day:%Y%m%d}"


def in_other_case(id_: str) -> str:
    """Return the id whose letters after the stem are small where these are capital, and the other way round."""
    stem = next(stem for stem in _STEMS if id_.startswith(stem))
    return stem + id_.removeprefix(stem).swapcase()


def seated(dice: Dice, person: Person) -> dict[str, Any]:
    """Write the session of a person in the office, or one time in four at home."""
    if dice.chance(4):
        return _worn(dice, session(person, place=person.home, host=person.seat, device=person.device))
    place = person.office
    device = Device(person.device.user_agent, *place.proxy) if place.proxy else person.device
    return _worn(dice, session(person, place=place, host=dice.below(place.hosts), device=device))


def session(person: Person | None, *, place: Place, host: int, device: Device) -> dict[str, Any]:
    """Write a complete session actor; without a person the account is unknown."""
    user = {"user": {"id": person.id, "email": person.email}} if person else {}
    client = {"user_agent": device.user_agent, "ja3": device.ja3, "ja4": device.ja4}
    shown = {**user, "ip_address": place.address(host), **client, "ip_address_details": place.details()}
    return {"type": "session", "session": shown}


def _worn(dice: Dice, actor: dict[str, Any]) -> dict[str, Any]:
    """Knock a part out of a session actor, or add an explicit null, as often as the API's own show it."""
    shown: dict[str, Any] = actor["session"]
    fate = dice.below(32)
    if fate == 0:
        return {**actor, "session": {"user": shown["user"]}}
    if fate == 1:
        return {**actor, "session": {name: shown[name] for name in shown if name != "ip_address_details"}}
    return {**actor, "api_key": None} if fate == 2 else actor


def key_actor(dice: Dice, key: Key) -> dict[str, Any]:
    """Write an api_key actor; one in 32 lacks the key's id, one in 32 carries an explicit null session."""
    owner = key.owner
    holder: dict[str, Any] = (
        {"type": "user", "user": {"id": owner.id, "email": owner.email}}
        if isinstance(owner, Person)
        else {"type": "service_account", "service_account": {"id": owner.id}}
    )
    fate = dice.below(32)
    shown = holder if fate == 0 else {"id": key.id, **holder}
    return {"type": "api_key", "api_key": shown, **({"session": None} if fate == 1 else {})}


def office_second(dice: Dice, start: int, end: int, *, offset_h: int = OFFICES[0].offset_h) -> int:
    """Draw a second from ``[start, end)``, by office hours where the window holds any [Unix seconds]."""
    for _ in range(64):
        second = dice.between(start, end)
        local = second + offset_h * _HOUR_S
        weekday = (local // _DAY_S + 3) % 7
        busy = _HOURS[local % _DAY_S // _HOUR_S]
        if dice.below(16) < busy and (weekday < 5 or dice.chance(12)):
            return second
    return dice.between(start, end)
