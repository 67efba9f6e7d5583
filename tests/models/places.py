"""Models of the reports on sign-ins too far apart, and on sessions whose client and TLS handshake do not fit."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from math import atan2, cos, hypot, radians, sin
from typing import TYPE_CHECKING

from tests.models.reading import DAY_US, Event, Row, grouped, how_many, ids, instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_EARTH_KM = 6371.0088
_HOUR_US = 3_600_000_000
_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Jump:
    """Two consecutive logins of an actor."""

    before: Event
    after: Event

    @property
    def ends(self) -> tuple[Event, Event]:
        return self.before, self.after

    @property
    def hours(self) -> float:
        return (self.after.at - self.before.at) / _HOUR_US

    @property
    def km(self) -> float:
        """The distance on the great circle, from the angle between the two directions out of the earth's centre."""
        (x, y, z), (u, v, w) = map(_direction, self.ends)
        return _EARTH_KM * atan2(hypot(y * w - z * v, z * u - x * w, x * v - y * u), x * u + y * v + z * w)

    @property
    def kmh(self) -> float | None:
        is_same_second = self.before.at // _SECOND_US == self.after.at // _SECOND_US
        return None if is_same_second else self.km / self.hours

    @property
    def networks(self) -> frozenset[str | None]:
        """The networks of both ends, for which an address stands that tells none."""
        return frozenset(end.asn or end.ip_address for end in self.ends)


def _direction(login: Event) -> tuple[float, float, float]:
    latitude, longitude = map(radians, login.coordinates or (0.0, 0.0))
    return cos(latitude) * cos(longitude), cos(latitude) * sin(longitude), sin(latitude)


def impossible_travel(
    log: list[Event], *, max_kmh: float = 900.0, min_km: float = 500.0, egress_actors: int = 3
) -> list[Row]:
    """Return the jumps that nobody can make, but those to and from tunnels."""
    logins = [event for event in log if event.effect == "login" and event.account is not None]
    jumps = [jump for jump in _jumps(logins) if jump.km >= min_km and jump.km > max_kmh * jump.hours]
    addresses, networks = _tunnels(jumps, logins, egress_actors)
    odd = [jump for jump in jumps if not any(end.ip_address in addresses or end.asn in networks for end in jump.ends)]
    rows = [
        _jumped(jump, is_again=nth > 0 and None not in jump.networks)
        for same in grouped(odd, lambda jump: (jump.after.account, jump.networks)).values()
        for nth, jump in enumerate(same)
    ]
    return sorted(rows, key=lambda row: (row["effective_at"], row["to_event_id"]))


def _jumps(logins: list[Event]) -> list[Jump]:
    """Return all steps of actors between places on earth, in the order of their ends; an address may move."""
    placed = grouped((login for login in logins if _is_on_earth(login)), lambda login: login.account)
    steps = [Jump(*pair) for own in placed.values() for pair in pairwise(own)]
    jumps = [
        step for step in steps if step.before.ip_address is None or step.before.ip_address != step.after.ip_address
    ]
    return sorted(jumps, key=lambda jump: jump.after.order)


def _is_on_earth(login: Event) -> bool:
    return login.coordinates is not None and abs(login.coordinates[0]) <= 90 and abs(login.coordinates[1]) <= 180


def _tunnels(jumps: list[Jump], logins: list[Event], least: int) -> tuple[set[str], set[str]]:
    """Return the addresses and the networks that so many actors jump to or from, on two days or more each."""
    at_address = grouped((login for login in logins if login.ip_address is not None), lambda login: login.ip_address)
    shared = {address for address, own in at_address.items() if how_many(login.account for login in own) >= 2}
    return (
        _often(jumps, lambda end: end.ip_address, least),
        _often(jumps, lambda end: end.asn if end.ip_address in shared else None, least),
    )


def _often(jumps: list[Jump], place: Callable[[Event], str | None], least: int) -> set[str]:
    days: dict[str, dict[str | None, set[int]]] = defaultdict(lambda: defaultdict(set))
    for jump in jumps:
        for at in {found for end in jump.ends if (found := place(end)) is not None}:
            days[at][jump.after.account].add(jump.after.at // DAY_US)
    return {at for at, actors in days.items() if sum(len(seen) >= 2 for seen in actors.values()) >= least}


def _jumped(jump: Jump, *, is_again: bool) -> Row:
    before, after = jump.ends
    return {
        "finding": f"impossible_travel:{before.id}",
        "severity": "low" if is_again else "medium",
        "effective_at": instant(after.at),
        "actor": after.account,
        "resource_id": None,
        "event_ids": [before.id, after.id],
        "from_place": _place(before),
        "to_place": _place(after),
        "from_address": before.ip_address,
        "to_address": after.ip_address,
        "distance_km": round(jump.km, 1),
        "hours": round(jump.hours, 2),
        "speed_kmh": None if jump.kmh is None else round(jump.kmh, 1),
        "from_event_id": before.id,
        "to_event_id": after.id,
    }


def _place(login: Event) -> str | None:
    return ", ".join(part for part in (login.city, login.country) if part is not None) or None


@dataclass(frozen=True, slots=True)
class Look:
    """How somebody appeared.

    Attributes:
        actor: Who.
        client: The family of the client that was announced.
        handshake: The first part of the JA4.
        ja4: The whole of it.
        network: The number of the network, or the address that stands for it; None if neither is known.
        event: The event.
    """

    actor: str
    client: str
    handshake: str
    ja4: str
    network: str | None
    event: Event

    @property
    def teaches(self) -> bool:
        return self.event.effect != "login_failed"


def _looks(log: list[Event]) -> list[Look]:
    numbers = {event.ip_address: event.asn for event in log if event.asn is not None}
    return [
        Look(
            actor=event.account,
            client=_family(event.user_agent),
            handshake=event.ja4.split("_")[0],
            ja4=event.ja4,
            network=event.asn or numbers.get(event.ip_address) or event.ip_address,
            event=event,
        )
        for event in log
        if event.account is not None and event.user_agent is not None and event.ja4 is not None
    ]


def _family(user_agent: str) -> str:
    """Return the engine of a browser, which on iOS is always Safari's, or the name of another product."""
    if not user_agent.startswith("Mozilla/"):
        return user_agent.split("/")[0]
    if "Gecko/" in user_agent:
        return "Firefox"
    return "Chromium" if "Chrome/" in user_agent else "Safari"


def fingerprint_changes(log: list[Event], *, min_actors: int = 3) -> list[Row]:
    """Return who appeared with a client and a handshake that do not go together, here or anywhere."""
    looks = _looks(log)
    lessons = [look for look in looks if look.teaches]
    established = _established(lessons, min_actors)
    usual = _usual(lessons, established, min_actors)
    local = _local(lessons, established, min_actors)
    anywhere = set[str]().union(*local.values())
    odd = [
        look
        for look in looks
        if look.client in usual
        and look.handshake not in usual[look.client]
        and look.handshake not in (anywhere if look.network is None else local[look.network])
    ]
    rows = []
    for (actor, client, _), those in grouped(odd, lambda look: (look.actor, look.client, look.handshake)).items():
        fits = [look for look in lessons if (look.actor, look.client) == (actor, client)]
        showed = any(fit.handshake in usual[client] and fit.event.order < those[0].event.order for fit in fits)
        rows.append(_changed(those, usual[client], showed=showed))
    return sorted(rows, key=lambda row: (row["effective_at"], row["finding"]))


def _actors(looks: Iterable[Look]) -> int:
    return how_many(look.actor for look in looks)


def _established(lessons: list[Look], least: int) -> set[str]:
    """Return the networks that enough actors use on two days or more each."""
    days = {
        visit: how_many(look.event.at // DAY_US for look in those)
        for visit, those in grouped(lessons, lambda look: (look.network, look.actor)).items()
    }
    regulars = Counter(network for (network, _), number in days.items() if number >= 2)
    return {network for network, actors in regulars.items() if network is not None and actors >= least}


def _local(lessons: list[Look], established: set[str], least: int) -> dict[str | None, set[str]]:
    """Return the handshakes that enough actors show in each established network."""
    local: dict[str | None, set[str]] = defaultdict(set)
    for (network, handshake), those in grouped(lessons, lambda look: (look.network, look.handshake)).items():
        if network in established and _actors(those) >= least:
            local[network].add(handshake)
    return local


def _usual(lessons: list[Look], established: set[str], least: int) -> dict[str, set[str]]:
    """Return the handshakes that each family of clients usually shows where no proxy shows its own."""
    proxies = {
        (network, those[0].handshake)
        for (network, _), those in grouped(lessons, lambda look: (look.network, look.ja4)).items()
        if network in established and _actors(those) >= least and how_many(look.client for look in those) >= 2
    }
    direct = [look for look in lessons if (look.network, look.handshake) not in proxies]
    usual: dict[str, set[str]] = defaultdict(set)
    for (client, handshake), those in grouped(direct, lambda look: (look.client, look.handshake)).items():
        networks = {look.network for look in those if look.network is not None}
        if _actors(those) >= least and (len(networks) >= 2 or networks & established):
            usual[client].add(handshake)
    return usual


def _changed(odd: list[Look], usual: set[str], *, showed: bool) -> Row:
    events, first = [look.event for look in odd], odd[0]
    return {
        "finding": f"fingerprint_changes:{first.event.id}",
        "severity": "medium" if showed else "low",
        "effective_at": instant(first.event.at),
        "actor": first.actor,
        "resource_id": None,
        "event_ids": ids(events),
        "client": first.client,
        "handshake": first.handshake,
        "usual_handshakes": sorted(usual),
        "networks": sorted({event.asn for event in events if event.asn is not None}),
        "last_at": instant(events[-1].at),
        "events": len(events),
    }
