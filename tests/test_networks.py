from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditframe.reports._networks import widening

if TYPE_CHECKING:
    import random

# Networks inside one /26, so that every address can be looked at.
HOME = ipaddress.IPv4Network("192.0.2.64/26")


@st.composite
def small_network(draw: st.DrawFn) -> str:
    prefix = draw(st.integers(26, 32))
    address = int(HOME.network_address) + draw(st.integers(0, 63))
    return str(ipaddress.ip_network((address, prefix), strict=False))


networks = st.lists(small_network(), max_size=6)


def let_in(entries: list[str]) -> set[int]:
    return {int(address) for entry in entries for address in ipaddress.ip_network(entry)}


@given(networks, networks)
def test_the_addresses_gained_are_those_that_only_the_later_list_lets_in(before: list[str], after: list[str]) -> None:
    gained = let_in(after) - let_in(before)
    seen = widening(before, after)

    assert seen.ipv4 == len(gained)
    assert bool(seen.added) == bool(gained)
    assert set(seen.added) == {entry for entry in after if let_in([entry]) & gained}


@given(networks, networks, st.randoms(use_true_random=False))
def test_order_and_doubles_mean_nothing(before: list[str], after: list[str], dice: random.Random) -> None:
    shuffled = dice.sample(after + after, 2 * len(after))

    assert widening(before, after) == widening(before[::-1], shuffled)


@given(networks)
def test_a_list_that_narrows_or_stays_widens_nothing(entries: list[str]) -> None:
    seen = widening(entries, entries[1:])

    assert (seen.ipv4, seen.added, seen.grown, seen.everything, seen.wide) == (0, (), (), (), ())


@pytest.mark.parametrize(
    ("entry", "everything", "wide"),
    [
        ("0.0.0.0/0", (4,), ()),
        ("::/0", (6,), ()),
        ("::ffff:0:0/96", (4,), ()),
        ("198.0.0.0/15", (), ("198.0.0.0/15",)),
        ("198.51.0.0/16", (), ()),
        ("2001:db8::/31", (), ("2001:db8::/31",)),
        ("2001:db8::/32", (), ()),
        ("10.0.0.0/8", (), ()),
    ],
)
def test_a_very_short_prefix_is_wide_from_one_bit_below_the_bound(
    entry: str, everything: tuple[int, ...], wide: tuple[str, ...]
) -> None:
    seen = widening([], [entry])

    assert (seen.everything, seen.wide) == (everything, wide)


@pytest.mark.parametrize("entry", ["", "vpn", "192.0.2.0/33", "192.0.2.1-192.0.2.9", "300.1.1.1", "fe80::1%/64/", "/8"])
def test_an_entry_that_is_no_network_is_said_and_never_raised(entry: str) -> None:
    assert widening([], [entry]).malformed == (entry,)
    assert widening([entry], [entry]).malformed == ()


@given(st.text(max_size=20))
def test_any_text_can_be_an_entry(entry: str) -> None:
    seen = widening([], [entry])

    assert bool(seen.malformed) != bool(seen.added)


def test_an_ipv4_address_written_as_ipv6_is_the_same_address() -> None:
    assert widening(["192.0.2.0/24"], ["::ffff:192.0.2.7"]).added == ()


def test_what_nobody_on_the_internet_can_come_from_is_not_reachable() -> None:
    assert not widening([], ["10.0.0.0/8", "fd00::/8", "127.0.0.1"]).reachable
    assert widening([], ["10.0.0.0/8", "192.0.2.1"]).reachable
    assert widening([], ["8.0.0.0/6"]).reachable


@pytest.mark.parametrize(
    "entry",
    [
        "0.1.2.3",
        "100.64.0.0/10",
        "169.254.0.1",
        "172.31.0.0/16",
        "192.0.0.1",
        "198.19.0.0/16",
        "224.0.0.0/3",
        "255.255.255.255",
        "::",
        "64:ff9b:1::/48",
        "100::7",
        "fe80::/10",
        "ff02::1",
        "::ffff:10.0.0.1",
    ],
)
def test_a_network_that_is_not_global_is_not_reachable(entry: str) -> None:
    assert not widening([], [entry]).reachable
    assert widening([], [entry]).wide == ()


@pytest.mark.parametrize(
    "entry", ["100.128.0.1", "172.32.0.0/16", "198.20.0.0/16", "203.0.113.9", "2001:db8::1", "::/96", "fe00::/8"]
)
def test_the_internet_and_what_stands_for_it_in_examples_is_reachable(entry: str) -> None:
    assert widening([], [entry]).reachable
