from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditframe.catalogue import catalogue, lookup
from auditframe.errors import AuditFrameError, WindowError
from auditframe.sample import Incident, Sample, sample, to_jsonl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DATA = Path(__file__).parent.parent / "data" / "sample.jsonl.gz"
SEEDS = (7, 8, 2026)
DOCUMENTATION = [ip_network(each) for each in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")]


@cache
def made(seed: int = 7, events: int = 2_000) -> Sample:
    return sample(seed=seed, events=events)


def events_of(*types: str, seed: int = 7) -> list[Mapping[str, Any]]:
    return [event for event in made(seed).events if event["type"] in types]


def times_of(type_: str, seed: int = 7) -> dict[str, int]:
    """When each resource id had an event of this type."""
    return {event[type_]["id"]: event["effective_at"] for event in events_of(type_, seed=seed)}


def inside(outer: Any, *names: str) -> Any:
    for name in names:
        outer = outer.get(name) if isinstance(outer, dict) else None
    return outer


def sessions(seed: int = 7) -> list[Mapping[str, Any]]:
    found = (inside(event, "actor", "session") for event in made(seed).events)
    return [session for session in found if session]


def actor_key(event: Mapping[str, Any]) -> Any:
    return inside(event, "actor", "api_key")


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def incidents(kind: str, seed: int = 7) -> list[tuple[Incident, list[Mapping[str, Any]]]]:
    by_id = {event["id"]: event for event in made(seed).events}
    return [(one, [by_id[id_] for id_ in one.event_ids]) for one in made(seed).incidents if one.kind == kind]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), events=st.integers(1, 1_500), days=st.integers(1, 400))
def test_a_sample_has_exactly_the_events_asked_for_inside_its_window(seed: int, events: int, days: int) -> None:
    made_up = sample(seed=seed, events=events, days=days, end="2026-03-01")

    end = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
    assert len(made_up.events) == len({event["id"] for event in made_up.events}) == events
    assert all(end - days * 86_400 <= event["effective_at"] < end for event in made_up.events)


@pytest.mark.parametrize("seed", SEEDS)
def test_events_are_sorted_by_time_and_id(seed: int) -> None:
    keys = [(event["effective_at"], event["id"]) for event in made(seed).events]

    assert keys == sorted(keys)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_type_of_the_catalogue_occurs(seed: int) -> None:
    assert {event["type"] for event in made(seed).events} == set(catalogue())


def test_the_same_seed_gives_the_same_bytes_whatever_the_hash_order() -> None:
    script = (
        "import hashlib; from auditframe.sample import sample, to_jsonl;"
        "print(hashlib.sha256(to_jsonl(sample(events=2_000))).hexdigest())"
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
    shared = {event["id"] for event in made(7).events} & {event["id"] for event in made(8).events}

    assert not shared


def test_the_committed_file_is_what_its_seed_makes() -> None:
    assert gzip.decompress(DATA.read_bytes()) == to_jsonl(made(7))


def test_a_line_is_one_event_in_compact_json() -> None:
    lines = to_jsonl(made()).splitlines()

    assert [json.loads(line) for line in lines] == list(made().events)
    assert lines[0].startswith(b'{"id":"')


@pytest.mark.parametrize(("events", "days"), [(0, 90), (10, 0), (-1, 90)])
def test_a_sample_of_nothing_is_refused(events: int, days: int) -> None:
    with pytest.raises(AuditFrameError, match="at least one event and one day"):
        sample(events=events, days=days)


def test_an_end_that_is_no_time_is_refused() -> None:
    with pytest.raises(WindowError):
        sample(events=10, end="soon")


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_acts_before_being_added_or_after_being_deleted(seed: int) -> None:
    added = times_of("user.added", seed)
    deleted = times_of("user.deleted", seed)
    acts = [
        (user, event["effective_at"])
        for event in made(seed).events
        if event["type"] not in {"invite.accepted", "user.added"}
        for user in (inside(event, "actor", "session", "user", "id"), inside(event, "actor", "api_key", "user", "id"))
        if user
    ]

    assert added
    assert deleted
    assert all(added.get(user, 0) <= at <= deleted.get(user, at) for user, at in acts)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_key_is_used_and_changed_only_while_it_exists(seed: int) -> None:
    created, deleted = times_of("api_key.created", seed), times_of("api_key.deleted", seed)
    uses = [(inside(actor_key(event), "id"), event["effective_at"]) for event in made(seed).events]
    updates = events_of("api_key.updated", seed=seed)
    uses += [(event["api_key.updated"]["id"], event["effective_at"]) for event in updates]

    assert all(created.get(key, 0) <= at <= deleted.get(key, at) for key, at in uses if key)
    assert set(created) & set(deleted)
    assert set(created) - {key for key, _ in uses}, "some keys are never used"
    assert {key for key, _ in uses if key} - set(created), "some keys are older than the sample"


def test_service_accounts_act_only_after_they_were_made() -> None:
    made_at = times_of("service_account.created")
    acts = [(inside(actor_key(event), "service_account", "id"), event["effective_at"]) for event in made().events]

    assert made_at
    assert all(made_at.get(account, 0) <= at for account, at in acts if account)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_changed_or_deleted_was_made_before(seed: int) -> None:
    made_at = times_of("role.assignment.created", seed)
    deleted = times_of("role.assignment.deleted", seed)

    assert set(made_at) & set(deleted)
    assert all(made_at.get(id_, 0) <= at for id_, at in deleted.items())


def test_people_sign_in_on_working_days() -> None:
    weekdays = Counter(
        datetime.fromtimestamp(event["effective_at"], UTC).weekday() for event in events_of("login.succeeded")
    )

    assert weekdays[5] + weekdays[6] < sum(weekdays.values()) / 6


def test_logins_and_key_use_are_most_of_what_happens() -> None:
    types = Counter(event["type"] for event in made(events=20_000).events)
    signing = sum(count for type_, count in types.items() if type_.startswith(("login.", "logout.")))
    by_key = sum(bool(actor_key(event)) for event in made(events=20_000).events)

    assert signing + by_key > 0.8 * 20_000
    assert signing > 5_000
    assert by_key > 5_000


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["burst", "password_spray", "credential_stuffing", "failures_then_success"])
def test_a_label_covers_its_events_exactly(kind: str, seed: int) -> None:
    [(incident, events), *_] = incidents(kind, seed)
    times = [datetime.fromtimestamp(event["effective_at"], UTC) for event in events]

    assert times == sorted(times)
    assert (incident.start, incident.end) == (times[0], times[-1] + timedelta(seconds=1))


def test_a_burst_is_forty_failures_on_one_account_from_one_address() -> None:
    [(incident, events)] = incidents("burst")

    assert Counter(event["type"] for event in events) == {"login.failed": 40}
    assert {inside(event, "actor", "session", "user", "id") for event in events} == {incident.subject}
    assert len({inside(event, "actor", "session", "ip_address") for event in events}) == 1
    assert incident.end - incident.start < timedelta(minutes=4)


def test_a_spray_is_few_failures_on_many_accounts_from_one_address() -> None:
    [(incident, events)] = incidents("password_spray")
    accounts = Counter(inside(event, "actor", "session", "user", "id") for event in events)
    known = {account: count for account, count in accounts.items() if account}

    assert {event["type"] for event in events} == {"login.failed"}
    assert {inside(event, "actor", "session", "ip_address") for event in events} == {incident.subject}
    assert len(known) >= 12
    assert max(known.values()) <= 2


def test_stuffing_is_failures_on_one_account_from_many_addresses() -> None:
    [(incident, events)] = incidents("credential_stuffing")

    assert {event["type"] for event in events} == {"login.failed"}
    assert {inside(event, "actor", "session", "user", "id") for event in events} == {incident.subject}
    assert len({inside(event, "actor", "session", "ip_address") for event in events}) == 48


def test_failures_then_success_ends_in_a_sign_in_from_the_same_address() -> None:
    [(incident, events)] = incidents("failures_then_success")

    assert [event["type"] for event in events] == ["login.failed"] * 14 + ["login.succeeded"]
    assert {inside(event, "actor", "session", "user", "id") for event in events} == {incident.subject}
    assert len({inside(event, "actor", "session", "ip_address") for event in events}) == 1


def test_a_small_sample_plants_no_incidents() -> None:
    assert sample(events=50).incidents == ()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_session_carries_address_details_as_text(seed: int) -> None:
    details = [session["ip_address_details"] for session in sessions(seed) if "ip_address_details" in session]
    fields = {"country", "city", "region", "region_code", "asn", "latitude", "longitude"}

    assert all(set(one) == fields and all(isinstance(value, str) for value in one.values()) for one in details)
    assert len(details) < len(sessions(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_signing_in_has_no_detail_or_sometimes_an_empty_one(seed: int) -> None:
    for type_ in ("login.succeeded", "logout.succeeded"):
        details = [event.get(type_) for event in events_of(type_, seed=seed)]

        assert all(detail in (None, {}) for detail in details)
        assert 0 < details.count({}) < details.count(None)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_other_event_has_its_detail_under_its_type(seed: int) -> None:
    without = {event["type"] for event in made(seed).events if event["type"] not in event}

    assert without == {"login.succeeded", "logout.succeeded"}


@pytest.mark.parametrize("seed", SEEDS)
def test_both_forms_of_a_key_update_occur(seed: int) -> None:
    forms = {frozenset(event["api_key.updated"]) for event in events_of("api_key.updated", seed=seed)}

    assert forms == {frozenset({"id", "changes_requested"}), frozenset({"id", "data"})}


@pytest.mark.parametrize("seed", SEEDS)
def test_ids_come_in_every_form_and_case_matters(seed: int) -> None:
    ids = [event["id"] for event in made(seed).events]

    assert any(id_.startswith("audit_log-") and len(id_) == 34 for id_ in ids)
    assert any(id_.startswith("audit_log-") and "_2026" in id_ for id_ in ids)
    assert any(id_.startswith("req_") for id_ in ids)
    assert len({id_.lower() for id_ in ids}) < len(ids)


@pytest.mark.parametrize("seed", SEEDS)
def test_some_events_name_their_object(seed: int) -> None:
    objects = Counter(event.get("object") for event in made(seed).events)

    assert set(objects) == {None, "organization.audit_log"}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_project_may_stand_on_a_global_event_and_be_absent_elsewhere(seed: int) -> None:
    logins = events_of("login.succeeded", seed=seed)

    assert 0 < sum("project" in event for event in logins) < len(logins) / 4
    assert all("project" in event for event in events_of("api_key.created", seed=seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_actors_are_incomplete_in_every_known_way(seed: int) -> None:
    events = made(seed).events
    keys = [actor_key(event) for event in events if actor_key(event)]

    assert any("actor" not in event for event in events)
    assert any("actor" in event and event["actor"] is None for event in events)
    assert any("ip_address" not in session and "user_agent" not in session for session in sessions(seed))
    assert any("user" not in session for session in sessions(seed))
    assert any("id" not in key for key in keys)
    assert any(inside(event, "actor", "session") and "api_key" in event["actor"] for event in events)


@pytest.mark.parametrize("seed", SEEDS)
def test_behind_an_intercepting_proxy_browsers_share_one_fingerprint(seed: int) -> None:
    proxied = [session for session in sessions(seed) if session.get("ja4", "").startswith("t12")]

    assert all(session["user_agent"].startswith("Mozilla/5.0") for session in proxied)
    assert len({session["user_agent"] for session in proxied}) > 1
    assert len({session["ja4"] for session in proxied}) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_two_events_may_differ_in_nothing_but_their_id(seed: int) -> None:
    bodies = Counter(
        json.dumps({name: value for name, value in event.items() if name != "id"}) for event in made(seed).events
    )

    assert max(bodies.values()) > 1


@pytest.mark.parametrize("seed", SEEDS)
def test_every_address_network_and_mailbox_is_reserved_for_examples(seed: int) -> None:
    addresses = {session["ip_address"] for session in sessions(seed) if "ip_address" in session}
    networks = {inside(session, "ip_address_details", "asn") for session in sessions(seed)} - {None}
    mailboxes = {text for event in made(seed).events for text in texts(event) if "@" in text}

    assert all(any(ip_address(each) in network for network in DOCUMENTATION) for each in addresses)
    assert all(64_496 <= int(each) <= 64_511 for each in networks)
    assert all(each.endswith(("@example.com", "@example.org")) for each in mailboxes)


def test_every_type_of_tenant_scope_has_a_detail_with_an_id() -> None:
    tenant = [event for event in made().events if lookup(event["type"]).scope == "tenant"]

    assert all(isinstance(event[event["type"]]["id"], str) for event in tenant)
