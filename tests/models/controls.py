"""Models of the reports on safeguards: what was turned on and off, and which allow-lists let in more."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import TYPE_CHECKING, NamedTuple

from tests.models.reading import (
    Event,
    Row,
    actor_of,
    at_most,
    first,
    instant_of,
    moment,
    nulls_last,
    text_at,
    texts_at,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_Network = IPv4Network | IPv6Network

_SAFEGUARDS = {
    "ip_allowlist": "IP allow-list",
    "ip_allowlist.config": "IP allow-list",
    "certificate": "Client certificate",
    "certificates": "Client certificate",
    "external_key": "External key",
    "external_storage": "External storage",
    "scim": "Directory provisioning",
    "tenant.scim.directory": "Directory provisioning",
    "tenant.scim.deletion": "Directory provisioning",
    "tenant.microsoft_entra_mapping": "Microsoft Entra mapping",
    "tenant.sso": "Single sign-on",
    "tenant.sso_connection": "Single sign-on",
    "tenant.domains": "Verified domains",
    "tenant.session_policy": "Session policy",
    "tenant.policy": "Policy",
    "tenant.product_access_policy": "Product access policy",
    "tenant.third_party_app_policy": "Policy on outside applications",
}
_SETTINGS = {
    "api_call_logging": "API call logging",
    "api_call_logging_project_ids": "API call logging",
    "threads_ui_visibility": "Visibility of threads",
    "usage_dashboard_visibility": "Visibility of usage",
}
_WHAT = {
    "control_on": "turned on",
    "control_off": "turned off",
    "create": "created",
    "change": "changed",
    "delete": "deleted",
}
_SHORT_PREFIX = {4: 16, 6: 32}
_ON_WHILE_IT_EXISTS = ("tenant.scim.directory", "tenant.sso_connection", "tenant.session_policy")


def touched(event: Event) -> list[str | None]:
    """Return what an event is about: each thing of its list, if it has one, else its resource."""
    name = {"ip_allowlist.config": "configs", "certificates": "certificates"}.get(event.area, "")
    listed = event.detail.get(name)
    if isinstance(listed, list) and listed:
        return sorted({text_at(thing, "id") for thing in listed}, key=nulls_last)
    return [event.resource_id]


def _target_of(event: Event) -> str | None:
    """Return what a policy was attached to, or taken from, and whose a certificate is."""
    if event.area == "certificates":
        return event.project_id
    if event.type in ("tenant.policy.attached", "tenant.policy.detached"):
        named = event.told("target_id"), event.told("target", "id")
        return first(*named, event.told("resource_id"), event.told("principal_id"))
    return None


def control_changes(log: list[Event]) -> list[Row]:
    """Return what was done to which safeguard, and how settings were set."""
    return [
        {
            "effective_at": instant_of(event),
            **change,
            "type": event.type,
            "severity": event.severity,
            "actor": event.actor,
            "ip_address": event.ip_address,
            "event_id": event.id,
        }
        for event in log
        for change in (*_things_changed(event), *_settings_changed(event))
    ]


def _things_changed(event: Event) -> Iterator[Row]:
    if event.area in _SAFEGUARDS and event.effect in _WHAT:
        for thing in touched(event):
            yield {
                "safeguard": _SAFEGUARDS[event.area],
                "what": _WHAT[event.effect],
                "resource_id": thing,
                "target_id": _target_of(event),
                "field": None,
                "after": None,
            }


def _settings_changed(event: Event) -> Iterator[Row]:
    for name, safeguard in _SETTINGS.items() if event.type == "organization.updated" else ():
        value = event.told("changes_requested", name)
        if value is not None:
            yield {
                "safeguard": safeguard,
                "what": "turned off" if (name, value) == ("api_call_logging", "disabled") else "changed",
                "resource_id": event.resource_id,
                "target_id": None,
                "field": name,
                "after": value,
            }


class Thing(NamedTuple):
    """Something that is on or off."""

    safeguard: str
    id: str | None
    target_id: str | None


@dataclass(slots=True)
class Off:
    """A time for which a thing was off.

    Attributes:
        thing: What was off.
        event: What turned it off.
        was_on: Whether it was on before; None if nobody knows.
        others_on: How many of its kind were known to stay on.
        ended: What turned it on again.
    """

    thing: Thing
    event: Event
    was_on: bool | None
    others_on: int = 0
    ended: Event | None = None

    @property
    def severity(self) -> str:
        is_replaced = self.others_on > 0 and self.thing.safeguard != "Policy"
        return "low" if is_replaced else at_most(self.event.severity, "high")


@dataclass(slots=True)
class Board:
    """What is known to be on or off, event by event.

    Attributes:
        offs: The times for which things were off.
        is_on: Whether a thing is on, of those of which events told.
        deleted: Safeguards and ids of what was deleted.
        count: How many of a kind are known to be on.
    """

    offs: list[Off] = field(default_factory=list)
    is_on: dict[Thing, bool] = field(default_factory=dict)
    deleted: set[tuple[str, str | None]] = field(default_factory=set)
    count: Counter[str] = field(default_factory=Counter)

    def turn(self, event: Event) -> None:
        """Take an event into account; all that it names is of one kind, and goes the same way."""
        things, way = _switched(event)
        named = [thing for thing in things if thing.id is not None]
        if way == "on":
            gained = sum(self._turn_on(thing, event) for thing in named)
            self._add(things, gained)
        elif way is not None:
            unnamed = [Off(thing, event, None) for thing in things if thing.id is None and way == "off"]
            turn_off = self._turn_off if way == "off" else self._delete
            offs = [*unnamed, *(off for thing in named for off in turn_off(thing, event))]
            self._add(things, -sum(off.was_on is True for off in offs) - (len(things) - len(named)))
            for off in offs:
                off.others_on = self.count[off.thing.safeguard]
            self.offs += sorted(offs, key=lambda off: (nulls_last(off.thing.id), nulls_last(off.thing.target_id)))

    def _add(self, things: Sequence[Thing], more: int) -> None:
        for safeguard in {thing.safeguard for thing in things}:
            self.count[safeguard] = max(0, self.count[safeguard] + more)

    def _turn_on(self, thing: Thing, event: Event) -> bool:
        """Turn a thing on, and say whether it is one more that is known to be."""
        for off in self.offs:
            if off.thing == thing and off.ended is None:
                off.ended = event
        was_on = self.is_on.get(thing, False)
        self.is_on[thing] = True
        return not was_on

    def _turn_off(self, thing: Thing, event: Event) -> Iterator[Off]:
        was_on = self.is_on.get(thing, False if thing[:2] in self.deleted else None)
        if was_on is not False:
            self.is_on[thing] = False
            yield Off(thing, event, was_on)

    def _delete(self, gone: Thing, event: Event) -> Iterator[Off]:
        """Turn off what is known to be on, for whatever target."""
        self.deleted.add(gone[:2])
        for thing in [thing for thing, is_on in self.is_on.items() if is_on and thing[:2] == gone[:2]]:
            yield from self._turn_off(thing, event)


def _switched(event: Event) -> tuple[list[Thing], str | None]:
    """Return what an event switches, and whether it is on, off or gone from then on."""
    if event.type == "organization.updated":
        value = event.told("changes_requested", "api_call_logging")
        way = None if value is None else "off" if value == "disabled" else "on"
        return [Thing("API call logging", event.resource_id, None)], way
    if event.area not in _SAFEGUARDS:
        return [], None
    made = {"create": "on", "delete": "off"} if event.area in _ON_WHILE_IT_EXISTS else {"delete": "gone"}
    way = ({"control_on": "on", "control_off": "off"} | made).get(event.effect)
    return [Thing(_SAFEGUARDS[event.area], id_, _target_of(event)) for id_ in touched(event)], way


def control_off_intervals(log: list[Event], *, as_of: str | None = None) -> list[Row]:
    """Return the times for which safeguards were off."""
    at = moment(as_of, log)
    seen, board = until(log, at), Board()
    for event in seen:
        board.turn(event)
    return [_interval(off, seen, at) for off in board.offs]


def _interval(off: Off, seen: list[Event], at: int) -> Row:
    thing, event = off.thing, off.event
    end = seen.index(off.ended) if off.ended else len(seen)
    return {
        "finding": ":".join(("control_off_intervals", event.id, *filter(None, thing[1:]))),
        "severity": off.severity,
        "effective_at": instant_of(event),
        "actor": event.actor,
        "resource_id": thing.id,
        "event_ids": [event.id, *([off.ended.id] if off.ended else [])],
        "safeguard": thing.safeguard,
        "target_id": thing.target_id,
        "was_on": off.was_on,
        "turned_on_at": instant_of(off.ended),
        "turned_on_by": actor_of(off.ended),
        "off_hours": ((off.ended.at if off.ended else at) - event.at) / 3_600_000_000,
        "events_inside": end - seen.index(event) - 1,
        "others_on": off.others_on,
    }


_UNREACHABLE = [
    ip_network(block)
    for block in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("0.0.0.0/8", "192.0.0.0/24", "198.18.0.0/15", "224.0.0.0/3"),
        *("fc00::/7", "fe80::/10", "ff00::/8", "::/128", "::1/128", "100::/64", "64:ff9b:1::/48"),
    )
]


def _network(entry: str) -> _Network | None:
    """Return the network that an entry lets in, one of IPv4 inside IPv6 as itself."""
    try:
        network = ip_network(entry.strip(), strict=False)
    except ValueError:
        return None
    inner = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if inner is not None and network.prefixlen >= 96:
        return IPv4Network((int(inner), network.prefixlen - 96))
    return network


def _union(entries: Iterable[str | None]) -> list[_Network]:
    """Return the networks that entries let in, as few and as wide as can be."""
    networks = [network for entry in entries if entry is not None and (network := _network(entry))]
    narrow: list[IPv4Network] = [each for each in networks if isinstance(each, IPv4Network)]
    wide: list[IPv6Network] = [each for each in networks if isinstance(each, IPv6Network)]
    return [*collapse_addresses(narrow), *collapse_addresses(wide)]


def _is_inside(network: _Network, others: Iterable[_Network]) -> bool:
    if isinstance(network, IPv4Network):
        return any(network.subnet_of(other) for other in others if isinstance(other, IPv4Network))
    return any(network.subnet_of(other) for other in others if isinstance(other, IPv6Network))


def _gained(now: list[_Network], before: list[_Network], version: int) -> int:
    """Count the addresses of one version that are let in and were not."""
    mine = [network for network in now if network.version == version]
    shared = sum(
        min(one.num_addresses, other.num_addresses)
        for one in mine
        for other in before
        if _is_inside(one, [other]) or _is_inside(other, [one])
    )
    return sum(network.num_addresses for network in mine) - shared


def allowlist_widening(log: list[Event]) -> list[Row]:
    """Return how allow-lists came to let in more."""
    last: dict[str | None, Event] = {}
    rows: list[Row] = []
    for event in log:
        if event.type in ("ip_allowlist.created", "ip_allowlist.deleted"):
            last.pop(event.resource_id, None)
        if event.type in ("ip_allowlist.created", "ip_allowlist.updated") and _allowed(event) is not None:
            rows += _widened(event, last.get(event.resource_id))
            if event.resource_id is not None:
                last[event.resource_id] = event
    return rows


def _allowed(event: Event) -> list[str | None] | None:
    return texts_at(event.detail, "allowed_ips")


def _widened(event: Event, previous: Event | None) -> Iterator[Row]:
    """Return the row of an event, unless the list lets in no more than the one before."""
    after, before = _allowed(event) or [], _allowed(previous) if previous else None
    old, entries = _union(before or ()), {entry for entry in after if entry is not None}
    added = sorted(entry for entry in entries if (network := _network(entry)) and not _is_inside(network, old))
    malformed = sorted(entry for entry in entries - {*(before or ())} if _network(entry) is None)
    severity = _severity(after, old, added, is_alone=before is None)
    is_told = previous is not None or event.type == "ip_allowlist.created"
    if severity or malformed:
        yield {
            "finding": f"allowlist_widening:{event.id}",
            "severity": severity or "low",
            "effective_at": instant_of(event),
            "actor": event.actor,
            "resource_id": event.resource_id,
            "event_ids": [event.id],
            "added": added,
            "malformed": malformed,
            "before": before,
            "after": after,
            "more_ipv4": _gained(_union(after), old, 4) if is_told else None,
            "more_ipv6": float(_gained(_union(after), old, 6)) if is_told else None,
            "previous_event_id": previous.id if previous else None,
        }


def _severity(after: list[str | None], old: list[_Network], added: list[str], *, is_alone: bool) -> str | None:
    """Judge the networks that were added; of a list by itself, only those that are wide."""
    gained = [network for network in _union(after) if not _is_inside(network, old)]
    if any(each.prefixlen < _SHORT_PREFIX[each.version] and not _is_inside(each, _UNREACHABLE) for each in gained):
        return "high"
    if is_alone or not added:
        return None
    return "low" if all(_is_inside(network, _UNREACHABLE) for network in _union(added)) else "medium"
