"""Networks: what an IP allow-list lets in that another did not."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_WIDE = {4: 16, 6: 32}
"""A prefix shorter than this is very wide [bits]: more than one site's network, by version of the address."""

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""IPv4 addresses as IPv6 writes them."""

_INSIDE: tuple[Network, ...] = (
    *ipaddress.collapse_addresses(
        ipaddress.IPv4Network(each)
        for each in (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
        )
    ),
    *ipaddress.collapse_addresses(
        ipaddress.IPv6Network(each)
        for each in ("::/127", "64:ff9b:1::/48", "100::/64", "fc00::/7", "fe80::/10", "ff00::/8")
    ),
)
"""Networks that nobody on the internet can come from: not global, after the registries of IANA, or of many receivers.

Those kept for documentation are left out: in examples they stand for the internet.
"""


@dataclass(frozen=True, slots=True)
class Widening:
    """What one list lets in beyond another.

    Attributes:
        added: The entries that let something in, as they are written, sorted.
        grown: Pairs of an entry of the earlier list and the wider one that took its place.
        everything: The versions of IP of which every address is let in, and was not.
        wide: Networks of the internet with a very short prefix that let something in, joined where entries touch.
        malformed: The entries that are neither an address nor a range, sorted, unless they stood there before.
        ipv4: How many IPv4 addresses more [addresses].
        ipv6: How many IPv6 addresses more [addresses].
        reachable: Whether any of them can come from the internet.
    """

    added: tuple[str, ...]
    grown: tuple[tuple[str, str], ...]
    everything: tuple[int, ...]
    wide: tuple[str, ...]
    malformed: tuple[str, ...]
    ipv4: int
    ipv6: int
    reachable: bool


def widening(before: Iterable[str | None], after: Iterable[str | None]) -> Widening:
    """Compare two lists of addresses and CIDR ranges; their order, doubles, nulls and how they are cut mean nothing."""
    (old, held), (new, wanted) = _read(tuple(before)), _read(tuple(after))
    both = _joined([*held, *wanted])
    added = {text: network for text, network in sorted(new.items()) if network and not _inside(network, held)}
    gained = [network for network in wanted if not _inside(network, held)]
    return Widening(
        added=tuple(added),
        grown=tuple(_grown(old, added)),
        everything=tuple(network.version for network in gained if network.prefixlen == 0),
        wide=tuple(str(network) for network in gained if _is_wide(network)),
        malformed=tuple(sorted(text for text, network in new.items() if network is None and text not in old)),
        ipv4=_size(both, 4) - _size(held, 4),
        ipv6=_size(both, 6) - _size(held, 6),
        reachable=any(not _inside(network, _INSIDE) for network in added.values()),
    )


@lru_cache(maxsize=1024)  # what an event sets is what stood before the next one
def _read(entries: tuple[str | None, ...]) -> tuple[Mapping[str, Network | None], tuple[Network, ...]]:
    """Read the entries of a list: what each is, by its text, and the networks that they are together."""
    parsed = {text: _network(text) for text in entries if text is not None}
    return parsed, _joined(parsed.values())


@lru_cache(maxsize=4096)  # a list is mostly altered by an entry or two
def _network(text: str) -> Network | None:
    """Read an address or a range, its host part ignored; None if it is neither."""
    try:
        network = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        return ipaddress.IPv4Network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - 96))
    return network


def _joined(networks: Iterable[Network | None]) -> tuple[Network, ...]:
    """Join networks that touch or overlap, so that a network is inside some of them only if inside one."""
    known = [network for network in networks if network is not None]
    four = [network for network in known if isinstance(network, ipaddress.IPv4Network)]
    six = [network for network in known if isinstance(network, ipaddress.IPv6Network)]
    return (*ipaddress.collapse_addresses(four), *ipaddress.collapse_addresses(six))


def _is_wide(network: Network) -> bool:
    return 0 < network.prefixlen < _WIDE[network.version] and not _inside(network, _INSIDE)


def _size(networks: Iterable[Network], version: int) -> int:
    """Count the addresses of networks that do not overlap."""
    return sum(network.num_addresses for network in networks if network.version == version)


def _inside(network: Network, others: Iterable[Network]) -> bool:
    return any(_within(network, other) for other in others)


def _within(network: Network, other: Network) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and network.subnet_of(other)
    return isinstance(other, ipaddress.IPv6Network) and network.subnet_of(other)


def _grown(old: Mapping[str, Network | None], added: dict[str, Network]) -> Iterable[tuple[str, str]]:
    for text, network in added.items():
        for earlier, narrow in sorted(old.items()):
            if narrow is not None and _within(narrow, network):
                yield earlier, text
