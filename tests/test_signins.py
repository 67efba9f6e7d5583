"""The made-up sign-ins: what is labelled is there, and what is there is labelled."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditframe.errors import AuditFrameError, WindowError
from auditframe.flatten import flatten_events
from auditframe.sample import Incident, SignIns, signins

if TYPE_CHECKING:
    from collections.abc import Mapping

SEEDS = tuple(range(6))
ATTACKS = {"burst", "password_spray", "credential_stuffing", "slow", "failures_then_success"}
TRAPS = {
    "mistypes",
    "travels",
    "mobile",
    "no_email",
    "new_starter",
    "expired_service",
    "strangers",
    "reset_day",
    "monday",
    "shared_address",
}
DOCUMENTATION = [ip_network(each) for each in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")]


@cache
def made(seed: int, people: int = 30, attacks: int = 1) -> SignIns:
    return signins(seed=seed, people=people, attacks=attacks)


def session(event: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (event.get("actor") or {}).get("session") or {}
    return found


def user(event: Mapping[str, Any]) -> Any:
    return (session(event).get("user") or {}).get("id")


def address(event: Mapping[str, Any]) -> Any:
    return session(event).get("ip_address")


def events_of(world: SignIns, label: Incident) -> list[Mapping[str, Any]]:
    by_id = {event["id"]: event for event in world.events}
    return [by_id[id_] for id_ in label.event_ids]


def planted(kind: str) -> list[tuple[Incident, list[Mapping[str, Any]]]]:
    worlds = [made(seed) for seed in SEEDS]
    return [(one, events_of(world, one)) for world in worlds for one in world.incidents if one.kind == kind]


def failures(events: list[Mapping[str, Any]]) -> int:
    return sum(event["type"] == "login.failed" for event in events)


def hour(event: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(event["effective_at"], UTC)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    people=st.integers(12, 60),
    days=st.integers(14, 40),
    attacks=st.integers(0, 3),
    traps=st.booleans(),
)
def test_every_label_names_events_of_the_world_in_their_order(
    seed: int, people: int, days: int, attacks: int, traps: bool
) -> None:
    world = signins(seed=seed, people=people, days=days, attacks=attacks, traps=traps)
    places = {event["id"]: place for place, event in enumerate(world.events)}
    numbers = [[places[id_] for id_ in label.event_ids] for label in (*world.incidents, *world.traps)]

    assert all(each and each == sorted(set(each)) for each in numbers)
    assert Counter(one.kind for one in world.incidents if one.kind != "outage") == (
        dict.fromkeys(ATTACKS, attacks) if attacks else {}
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), people=st.integers(12, 60), days=st.integers(14, 40))
def test_events_lie_in_the_window_in_order_and_have_ids_of_their_own(seed: int, people: int, days: int) -> None:
    world = signins(seed=seed, people=people, days=days, end="2026-03-01")
    keys = [(event["effective_at"], event["id"]) for event in world.events]

    end = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
    assert keys == sorted(keys)
    assert len({id_ for _, id_ in keys}) == len(keys)
    assert end - days * 86_400 <= keys[0][0] <= keys[-1][0] < end


@pytest.mark.parametrize("seed", SEEDS)
def test_a_label_covers_its_events_exactly(seed: int) -> None:
    world = made(seed)

    for label in (*world.incidents, *world.traps):
        times = [hour(event) for event in events_of(world, label)]
        assert (label.start, label.end) == (times[0], times[-1] + timedelta(seconds=1))


def test_the_same_seed_gives_the_same_bytes_whatever_the_hash_order() -> None:
    script = (
        "import hashlib; from auditframe.sample import signins, to_jsonl;"
        "world = signins(people=40, days=20);"
        "print(hashlib.sha256(to_jsonl(world) + repr((world.incidents, world.traps)).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(  # noqa: S603 - this interpreter, our own text
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        ).stdout
        for hash_seed in ("1", "2")
    }

    assert len(digests) == 1


def test_another_seed_is_another_organization() -> None:
    assert not {event["id"] for event in made(0).events} & {event["id"] for event in made(1).events}


def test_a_quiet_world_has_no_incident_and_no_event_of_an_attacker() -> None:
    hosts = {address(event) for event in made(0, attacks=0).events if user(event)}
    attackers = {address(event) for kind in ATTACKS for _, events in planted(kind) for event in events}

    assert made(0, attacks=0).incidents == ()
    assert made(0, attacks=0).traps
    assert not {each for each in hosts & attackers if each and not each.startswith("198.51.100.")}


def test_without_traps_nothing_is_labelled_and_nobody_is_nameless() -> None:
    world = signins(seed=1, people=30, attacks=0, traps=False)

    assert world.traps == world.incidents == ()
    assert world.events
    assert all(user(event) for event in world.events)


@pytest.mark.parametrize("seed", SEEDS)
def test_only_sign_ins_happen_and_the_flattener_takes_them_all(seed: int) -> None:
    world = made(seed)
    flat = flatten_events(world.events)

    assert {event["type"] for event in world.events} == {"login.failed", "login.succeeded"}
    assert flat.events.num_rows == len(world.events)
    assert not flat.drift


@pytest.mark.parametrize("kind", ["burst", "slow"])
def test_a_burst_and_a_slow_attack_are_failures_on_one_account(kind: str) -> None:
    for incident, events in planted(kind):
        assert failures(events) == len(events) >= 8
        assert {user(event) for event in events} == {incident.subject}


def test_a_burst_has_8_to_80_failures_from_one_address() -> None:
    for _, events in planted("burst"):
        assert 8 <= len(events) <= 80
        assert len({address(event) for event in events}) == 1


def test_a_slow_attack_fails_every_30_to_180_minutes_for_two_to_seven_days() -> None:
    for incident, events in planted("slow"):
        pace = (incident.end - incident.start) / (len(events) - 1)
        assert timedelta(minutes=28) < pace < timedelta(minutes=192)
        assert timedelta(days=1.7) < incident.end - incident.start < timedelta(days=7.1)
        assert len({address(event) for event in events}) <= 3


def test_a_spray_tries_each_of_six_accounts_or_more_once_or_twice_from_one_address() -> None:
    for incident, events in planted("password_spray"):
        tries = Counter(user(event) for event in events if event["type"] == "login.failed" and user(event))
        assert len(tries) >= 6
        assert max(tries.values()) <= 2
        assert {address(event) for event in events} == {incident.subject}
        assert incident.end - incident.start < timedelta(days=2, hours=2)


def test_a_spray_of_a_large_organization_may_reach_hundreds() -> None:
    worlds = [signins(seed=seed, people=600, days=14, traps=False) for seed in range(8)]
    sprays = [(world, one) for world in worlds for one in world.incidents if one.kind == "password_spray"]
    reached = [len({user(event) for event in events_of(world, one)}) for world, one in sprays]

    assert min(reached) < 30
    assert max(reached) > 100


def test_stuffing_is_one_account_from_6_to_60_addresses() -> None:
    for incident, events in planted("credential_stuffing"):
        assert {user(event) for event in events} == {incident.subject}
        assert 6 <= len({address(event) for event in events}) == failures(events) <= 60


def test_after_5_to_20_failures_the_same_address_gets_in() -> None:
    for incident, events in planted("failures_then_success"):
        assert [event["type"] for event in events] == ["login.failed"] * (len(events) - 1) + ["login.succeeded"]
        assert 5 <= len(events) - 1 <= 20
        assert {(user(event), address(event)) for event in events} == {(incident.subject, address(events[0]))}


def test_in_an_outage_many_fail_and_nobody_gets_in() -> None:
    worlds = [made(seed) for seed in SEEDS]
    outages = [(world, one) for world in worlds for one in world.incidents if one.kind == "outage"]

    assert len(outages) == len(SEEDS)
    for world, one in outages:
        inside = [event for event in world.events if one.start <= hour(event) < one.end]
        assert {event["type"] for event in inside} == {"login.failed"}
        assert len({user(event) for event in events_of(world, one)}) >= 8


def test_attacks_come_by_day_and_by_night_from_hosts_and_from_homes() -> None:
    worlds = [signins(seed=seed, people=20, days=30, traps=False, attacks=3) for seed in range(4)]
    attacks = [one for world in worlds for one in world.incidents if one.kind in {"burst", "failures_then_success"}]
    first = [events_of(world, one)[0] for world in worlds for one in world.incidents if one.kind == "burst"]
    networks = {session(event)["ip_address_details"]["asn"] for event in first}

    assert len({one.start.hour // 6 for one in attacks}) == 4
    assert any(one.start.weekday() == 0 for one in attacks)
    assert {"64501", "64511"} <= networks


def test_browsers_are_updated_every_four_weeks_and_one_in_eight_has_a_phone() -> None:
    world = signins(seed=3, people=80, days=60, attacks=0, traps=False)
    clients: dict[str, set[str]] = {}
    for event in world.events:
        clients.setdefault(user(event), set()).add(session(event).get("user_agent", ""))
    versions = [len({client for client in seen if client and "iPhone" not in client}) for seen in clients.values()]
    phones = [any("iPhone" in client for client in seen) for seen in clients.values()]

    assert 3 <= max(versions) <= 4  # 60 days have two updates or three
    assert 5 <= sum(phones) <= 10


def test_every_trap_occurs() -> None:
    kinds = {trap.kind for seed in SEEDS for trap in made(seed).traps}

    assert kinds == TRAPS


@pytest.mark.parametrize("seed", SEEDS)
def test_a_trap_is_failures_and_none_of_an_attack(seed: int) -> None:
    world = made(seed)
    attacked = {id_ for one in world.incidents if one.kind in ATTACKS for id_ in one.event_ids}

    for trap in world.traps:
        assert {event["type"] for event in events_of(world, trap)} == {"login.failed"}
        assert not attacked.intersection(trap.event_ids)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_program_worked_from_its_address_before_its_password_expired_and_then_failed_for_days(seed: int) -> None:
    world = made(seed)
    [trap] = [one for one in world.traps if one.kind == "expired_service"]
    tries = [event for event in world.events if user(event) == trap.subject and hour(event) < trap.start]

    assert len({address(event) for event in tries}) == 1
    assert sum(event["type"] == "login.succeeded" for event in tries) == len(tries) > 100
    assert trap.end - trap.start > timedelta(days=4)


def test_after_a_reset_of_all_passwords_most_fail_and_get_in_within_the_hour() -> None:
    world = made(0, people=300)
    [trap] = [one for one in world.traps if one.kind == "reset_day"]
    goods = [(user(event), hour(event)) for event in world.events if event["type"] == "login.succeeded"]
    last = {user(event): hour(event) for event in events_of(world, trap) if user(event)}
    back = [
        any(who == account and at <= when <= at + timedelta(minutes=75) for who, when in goods)
        for account, at in last.items()
    ]

    assert len(last) > 80
    assert sum(back) > 0.9 * len(back)


def test_hundreds_share_an_address() -> None:
    world = made(0, people=600)
    [trap] = [one for one in world.traps if one.kind == "shared_address"]
    people = {user(event) for event in world.events if address(event) == trap.subject}

    assert len(people) > 100


def test_runs_of_mistakes_are_followed_by_the_way_in_seconds_later() -> None:
    world = signins(seed=3, people=200, attacks=0, traps=False)
    of_people: dict[str, list[Mapping[str, Any]]] = {}
    for event in world.events:
        of_people.setdefault(user(event), []).append(event)
    runs: Counter[int] = Counter()
    gaps = []
    for events in of_people.values():
        length = 0
        for event, following in itertools.pairwise(events):
            if event["type"] == "login.failed":
                length += 1
                gaps.append(following["effective_at"] - event["effective_at"])
            else:
                runs[length] += 1
                length = 0

    assert runs[0] > 5 * sum(runs[length] for length in range(1, 50))
    assert runs[1] > 1.5 * runs[2] > 2 * runs[3] > 0
    assert sorted(gaps)[len(gaps) * 9 // 10] < 30


def test_people_come_on_working_days_and_most_of_all_on_monday_mornings() -> None:
    world = signins(seed=3, people=200, days=56, attacks=0, traps=False)
    by_weekday = Counter(hour(event).weekday() for event in world.events)

    assert by_weekday[0] == max(by_weekday.values())
    assert by_weekday[5] < sum(by_weekday.values()) / 20, "a Sunday in UTC is a Monday morning in Tokyo"


def test_actors_are_incomplete_in_every_known_way() -> None:
    events = [event for seed in SEEDS for event in made(seed, people=300).events]
    sessions = [session(event) for event in events if session(event)]

    assert any("actor" in event and event["actor"] is None for event in events)
    assert any("user" not in each for each in sessions)
    assert any("email" not in each.get("user", {"email": ""}) for each in sessions)
    assert any(each.get("user", {}).get("email", "") is None for each in sessions)
    assert any("ip_address" not in each for each in sessions)
    assert any("ip_address" in each and each["ip_address"] is None for each in sessions)


@pytest.mark.parametrize("people", [30, 300])
def test_every_address_and_mailbox_is_reserved_for_examples(people: int) -> None:
    sessions = [session(event) for event in made(1, people=people).events]
    addresses = {each["ip_address"] for each in sessions if each.get("ip_address")}
    mailboxes = {each["user"]["email"] for each in sessions if each.get("user", {}).get("email")}

    assert all(any(ip_address(each) in network for network in DOCUMENTATION) for each in addresses)
    assert all(each.endswith(("@example.com", "@example.org")) for each in mailboxes)


@pytest.mark.parametrize(("people", "days", "attacks"), [(11, 60, 1), (30, 13, 1), (30, 60, -1)])
def test_a_world_too_small_for_its_attacks_is_refused(people: int, days: int, attacks: int) -> None:
    with pytest.raises(AuditFrameError, match="at least 12 people, 14 days and 0 attacks"):
        signins(people=people, days=days, attacks=attacks)


def test_an_end_that_is_no_time_is_refused() -> None:
    with pytest.raises(WindowError):
        signins(end="soon")
