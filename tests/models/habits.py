"""Models of the reports on what is not as it used to be: silences, hours, and things never used before."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from ipaddress import ip_address, ip_network
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from tests.models.reading import DAY_US, Event, Row, grouped, ids, instant, instant_of, moment, only, until

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_JOINS = ("user.added", "tenant.user.added")
_LEAVES = ("user.deleted", "tenant.user.removed")
_ONE_DAY = timedelta(days=1)


def dormant_actors(log: list[Event], *, quiet_days: int = 45, as_of: str | None = None) -> list[Row]:
    """Return the silences of people that lasted long."""
    at = moment(as_of, log)
    log, least = until(log, at), quiet_days * DAY_US
    memberships = _memberships(log)
    by_account = _acts_by_account(log)
    rows = []
    for acts in by_account.values():
        rows += [_returned(acts, *pair) for pair in pairwise(acts) if pair[1].at - pair[0].at >= least]
        membership = memberships.get(only(act.actor_id for act in acts) or "")
        is_out = membership is not None and membership.type in _LEAVES and membership.at >= acts[-1].at
        if at - acts[-1].at >= least and not is_out:
            rows.append(_inactive(acts, at))
    rows += [
        _never(user_id, joined, at)
        for user_id, joined in memberships.items()
        if joined.type in _JOINS and user_id not in by_account and at - joined.at >= least
    ]
    return sorted(rows, key=lambda row: (row["effective_at"], row["finding"]))


def _memberships(log: list[Event]) -> dict[str, Event]:
    """Return the last event about each user's membership; who left a project alone is still a member."""
    return {
        event.resource_id: event
        for event in log
        if event.resource_id is not None
        and (event.type in _JOINS or (event.type in _LEAVES and event.project_id is None))
    }


def _acts_by_account(log: list[Event]) -> dict[str, list[Event]]:
    """Return what people did, by id; by the address where neither the event nor others tell one id for it."""
    acts = [event for event in log if event.actor_kind == "user" and event.effect != "login_failed"]
    users = {
        mailbox: only(act.actor_id for act in sent)
        for mailbox, sent in grouped(acts, lambda act: act.mailbox).items()
        if mailbox is not None
    }
    named = [act for act in acts if act.actor_id is not None or act.mailbox is not None]
    return grouped(named, lambda act: act.actor_id or users.get(act.mailbox or "") or act.mailbox or "")


def _silence(kind: str, at: int, named: tuple[str | None, str | None], events: tuple[Event, ...], quiet: int) -> Row:
    actor, user_id = named
    return {
        "finding": f"dormant_actors:{events[0].id}:{kind}",
        "severity": "low",
        "effective_at": instant(at),
        "actor": actor,
        "resource_id": user_id,
        "event_ids": ids(events),
        "kind": kind,
        "last_at": None if kind == "never" else instant_of(events[0]),
        "quiet_days": quiet // DAY_US,
    }


def _returned(acts: list[Event], before: Event, after: Event) -> Row:
    return _silence("returned", after.at, _named(acts), (before, after), after.at - before.at)


def _inactive(acts: list[Event], at: int) -> Row:
    return _silence("inactive", acts[-1].at, _named(acts), (acts[-1],), at - acts[-1].at)


def _never(user_id: str, joined: Event, at: int) -> Row:
    return _silence("never", joined.at, (user_id, user_id), (joined,), at - joined.at)


def _named(acts: list[Event]) -> tuple[str | None, str | None]:
    """Return an account's last address, of one instant the last in the alphabet, else its id; and its id."""
    user_id = only(act.actor_id for act in acts)
    written = [(act.at, act.actor_email) for act in acts if act.actor_email is not None]
    return (max(written)[1] if written else user_id), user_id


def off_hours_activity(
    log: list[Event], *, zone: str = "UTC", min_days: int = 30, max_share: float = 0.02
) -> list[Row]:
    """Return the spells of hours at which somebody practically never acts."""
    acts = [
        event
        for event in log
        if event.actor_type == "session"
        and event.account is not None
        and event.effect != "login_failed"
        and event.area != "logout"
    ]
    rows = []
    for actor, own in grouped(acts, lambda event: event.account).items():
        hours = grouped(own, lambda event: _hour_of_clock(event, zone))
        rare = [hour for hour in sorted(hours) if _is_rare(hour, hours, min_days, max_share)]
        rows += [_spell(actor, spell, hours) for spell in _spells(rare)]
    return sorted(rows, key=lambda row: (row["effective_at"], row["finding"]))


def _hour_of_clock(event: Event, zone: str) -> datetime:
    local = instant(event.at).astimezone(ZoneInfo(zone))
    return local.replace(tzinfo=None, minute=0, second=0, microsecond=0)


def _past(hour: datetime, hours: Collection[datetime]) -> tuple[int, int]:
    """Return on how many days before somebody acted, and on how many around the same hour of the clock."""
    days = {other.date() for other in hours if other.date() < hour.date()}
    same_hour = {other: hour - _ONE_DAY * round((hour - other) / _ONE_DAY) for other in hours if other < hour}
    near = {same for other, same in same_hour.items() if abs(other - same) <= timedelta(hours=2)} - {hour}
    return len(days), len(near)


def _is_rare(hour: datetime, hours: Collection[datetime], min_days: int, max_share: float) -> bool:
    days, near = _past(hour, hours)
    return days >= min_days and near <= days * Fraction(str(max_share))


def _spells(hours: list[datetime]) -> list[list[datetime]]:
    """Put hours together that begin at most six hours apart."""
    spells: list[list[datetime]] = []
    for hour in hours:
        if spells and hour - spells[-1][-1] <= timedelta(hours=6):
            spells[-1].append(hour)
        else:
            spells.append([hour])
    return spells


def _spell(actor: str | None, spell: list[datetime], hours: dict[datetime, list[Event]]) -> Row:
    events = sorted((event for hour in spell for event in hours[hour]), key=lambda event: event.order)
    days, near = _past(spell[0], hours)
    return {
        "finding": f"off_hours_activity:{events[0].id}",
        "severity": "low",
        "effective_at": instant(events[0].at),
        "actor": actor,
        "resource_id": only(event.resource_id for event in events),
        "event_ids": ids(events),
        "last_at": instant(events[-1].at),
        "events": len(events),
        "earlier_days": days,
        "days_near": near,
    }


@dataclass(frozen=True, slots=True)
class Thing:
    """What an event shows.

    Attributes:
        kind: Of which kind it is.
        value: What it is called.
        names: What it is known by, that of comparison first.
        event: The event.
    """

    kind: str
    value: str
    names: tuple[str, ...]
    event: Event


def _things(event: Event) -> Iterator[Thing]:
    number = () if event.asn is None else (f"AS{event.asn}",)
    block = () if event.ip_address is None else (_block(event.ip_address),)
    if number or block:
        yield Thing("network", (*number, *block)[0], (*number, *block), event)
    if event.user_agent is not None:
        yield Thing("user_agent", event.user_agent, (re.sub("[0-9._]", "", event.user_agent),), event)
    others = {"country": event.country, "ja4": event.ja4, "api_key": event.actor_key}
    yield from (Thing(kind, value, (value,), event) for kind, value in others.items() if value is not None)


def _block(address: str) -> str:
    return str(ip_network(f"{address}/{24 if ip_address(address).version == 4 else 48}", strict=False))


def first_seen(log: list[Event], *, learn_days: int = 14) -> list[Row]:
    """Return the first events of actors, known for so long, with something that they had never used."""
    acts = [event for event in log if event.account is not None and event.effect != "login_failed"]
    rows = []
    for own in grouped(acts, lambda event: event.account).values():
        by_kind: dict[str, list[Thing]] = defaultdict(list)
        for thing in (thing for event in own for thing in _things(event)):
            by_kind[thing.kind].append(thing)
        for kind, things in by_kind.items():
            since = own[0].at if kind == "api_key" else things[0].event.at
            news = [(nth, thing) for nth, thing in enumerate(_news(things)) if thing.event.at > since]
            rows += [_seen(nth, thing) for nth, thing in news if thing.event.at - since >= learn_days * DAY_US]
    return sorted(rows, key=lambda row: (row["effective_at"], row["finding"]))


def _news(things: list[Thing]) -> list[Thing]:
    """Return what was not known at any earlier instant, each once; of one instant, in the order of the alphabet."""
    since: dict[str, int] = {}
    for thing in things:
        for name in thing.names:
            since.setdefault(name, thing.event.at)
    new: dict[str, Thing] = {}
    for thing in things:
        if all(since[name] == thing.event.at for name in thing.names):
            new.setdefault(thing.names[0], thing)
    return sorted(new.values(), key=lambda thing: (thing.event.at, thing.names[0]))


def _seen(nth: int, thing: Thing) -> Row:
    return {
        "finding": f"first_seen:{thing.event.id}:{thing.kind}",
        "severity": "info",
        "effective_at": instant(thing.event.at),
        "actor": thing.event.account,
        "resource_id": None,
        "event_ids": [thing.event.id],
        "kind": thing.kind,
        "value": thing.value,
        "earlier_values": nth,
        "ip_address": thing.event.ip_address,
    }
