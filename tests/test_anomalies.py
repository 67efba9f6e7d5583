"""What `login_failure_anomalies` promises beyond its cases: bounds, counts of tests, and what explains what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditframe.reports import login_failure_anomalies, login_failures_per_day
from auditframe.reports._anomalies import GOES_ON, LEAST, PARTS, QUICK, STRANGE
from auditframe.reports._incidents import Window, gathered
from auditframe.reports._source import as_events
from auditframe.stats import Beta, hit_tail, run_tail
from tests.report_cases import cases_of, flat

if TYPE_CHECKING:
    import pyarrow as pa

DAY_S = 86_400
START = 1_767_225_600  # 2026-01-01
OFFICE, HOME, ELSEWHERE = "192.0.2.1", "203.0.113.9", "198.51.100.7"


def attempt(number: int, at: int, email: str | None, address: str | None, *, entered: bool = False) -> dict[str, Any]:
    user = {"user": {"id": f"user-{email}", "email": email}} if email else {}
    session = {**user, **({"ip_address": address} if address else {})}
    type_ = "login.succeeded" if entered else "login.failed"
    return {"id": f"e{number:05}", "type": type_, "effective_at": at, "actor": {"type": "session", "session": session}}


def events(*attempts: tuple[int, str | None, str | None, bool]) -> pa.Table:
    made = [attempt(n, at, email, ip, entered=entered) for n, (at, email, ip, entered) in enumerate(attempts)]
    return flat(made).events


def workdays(email: str, *, days: int) -> list[tuple[int, str | None, str | None, bool]]:
    return [(START + day * DAY_S + 36_000, email, OFFICE, True) for day in range(days)]


def found(table: pa.Table, **params: Any) -> list[dict[str, Any]]:
    return login_failure_anomalies.arrow(table, **params).to_pylist()


sizes = st.floats(0.01, 500)


@given(st.integers(2, 80), sizes, sizes, sizes, sizes)
def test_a_run_has_at_least_the_p_value_of_the_bound_at_which_the_sql_leaves_it_out(
    length: int, hits: float, misses: float, quick: float, slow: float
) -> None:
    long = run_tail(length, share=Beta(hits, misses).at_least(GOES_ON))
    fast = hit_tail(length - 1, tries=length - 1, share=Beta(quick, slow).at_least(QUICK))

    assert long * fast >= (GOES_ON * QUICK) ** (length - 1) * (1 - 1e-9)


def test_the_bounds_of_the_sql_are_those_of_the_judgement() -> None:
    every = login_failure_anomalies.sql() + "".join(each.sql or "" for each in login_failure_anomalies.relations)

    assert f"failures >= {LEAST['run']} AND {STRANGE[-1]} / {PARTS[-1]} * power({GOES_ON} * {QUICK}" in every
    assert min(LEAST["slow"], LEAST["stuffing"]) == 4
    assert every.count("number >= 4") == 3
    assert f"WHERE knocks >= {LEAST['spray']}" in every


def test_a_run_has_no_more_error_than_one_test() -> None:
    assert sum(PARTS) == pytest.approx(1)
    assert min(floor / part for floor, part in zip((1, *STRANGE), PARTS, strict=True)) == STRANGE[-1] / PARTS[-1]


def test_an_attack_is_one_discovery_whatever_the_number_of_its_windows() -> None:
    windows = [Window("slow", "actor", "ada", at, at + 10, 1e-9) for at in range(0, 200, 5)]

    assert len(gathered(windows)) == 1
    assert (
        len(gathered([*windows, Window("slow", "actor", "ada", 30_000, 30_010), Window("slow", "ip", "ada", 0, 9)]))
        == 3
    )


def test_windows_of_a_shorter_length_that_a_longer_one_covers_do_not_split_it() -> None:
    long, short, after = (Window("slow", "actor", "ada", *span) for span in ((0, 90_000), (5, 10), (80_000, 95_000)))

    assert len(gathered([long, short, after])) == 1


def test_later_events_change_no_id_of_what_was_found_before() -> None:
    case = next(case for case in cases_of("login_failure_anomalies") if "burst, measured" in case["claim"])
    later = [attempt(n, START + (20 + n) * DAY_S, "bo@example.org", OFFICE, entered=True) for n in range(5)]

    assert [row["finding"] for row in found(flat([*case["events"], *later]).events)] == ["login_failure_anomalies:f00"]


def test_a_service_that_goes_on_trying_as_often_as_ever_is_no_burst() -> None:
    expires = START + 15 * DAY_S
    table = events(*((at, "svc@example.org", OFFICE, at < expires) for at in range(START, START + 20 * DAY_S, 900)))

    assert found(table) == []


def test_a_service_that_failed_before_the_source_began_is_not_judged() -> None:
    table = events(*((at, "svc@example.org", OFFICE, False) for at in range(START, START + 10 * DAY_S, 900)))

    assert found(table) == []


def test_a_service_that_suddenly_tries_ten_times_as_often_is_a_burst() -> None:
    before = [(at, "svc@example.org", OFFICE, True) for at in range(START, START + 15 * DAY_S, 900)]
    table = events(*before, *((START + 15 * DAY_S + 60 * n, "svc@example.org", OFFICE, False) for n in range(240)))

    assert [(row["pattern"], row["severity"], row["failures"]) for row in found(table)] == [("burst", "low", 240)]


def test_one_try_every_two_hours_is_slow_and_one_incident_over_its_days() -> None:
    tries = [(START + 20 * DAY_S + 7_200 * n, "ada@example.org", ELSEWHERE, False) for n in range(48)]
    (row,) = found(events(*workdays("ada@example.org", days=25), *tries))

    assert (row["pattern"], row["failures"], row["succeeded"]) == ("slow", 48, False)


def test_a_login_from_the_address_within_a_day_makes_it_one_step_more_severe() -> None:
    tries = [(START + 20 * DAY_S + 7_200 * n, "ada@example.org", ELSEWHERE, False) for n in range(48)]
    enters = (START + 24 * DAY_S + 3_600, "ada@example.org", ELSEWHERE, True)
    (row,) = found(events(*workdays("ada@example.org", days=25), *tries, enters))

    assert (row["severity"], row["succeeded"], len(row["event_ids"])) == ("high", True, 49)


def test_the_owner_who_gets_in_at_home_is_no_success_of_an_attack() -> None:
    tries = [(START + 20 * DAY_S + 7_200 * n, "ada@example.org", ELSEWHERE, False) for n in range(48)]
    mistypes = [(START + 20 * DAY_S + 36_300 + 20 * n, "ada@example.org", OFFICE, n == 6) for n in range(7)]
    (row,) = found(events(*workdays("ada@example.org", days=20), *tries, *mistypes))

    assert (row["pattern"], row["succeeded"], row["severity"]) == ("slow", False, "medium")


def test_the_owner_who_fails_in_the_same_run_and_gets_in_at_home_is_no_success_of_an_attack() -> None:
    at = START + 20 * DAY_S
    tries = [(at + 20 * n, "ada@example.org", ELSEWHERE, False) for n in range(40)]
    mistype = [(at + 820, "ada@example.org", OFFICE, False), (at + 840, "ada@example.org", OFFICE, True)]
    (row,) = found(events(*workdays("ada@example.org", days=20), *tries, *mistype))

    assert (row["failures"], row["addresses"], row["succeeded"]) == (41, 2, False)


def test_an_hourly_failure_from_the_first_day_on_is_not_judged() -> None:
    table = events(*((at, "svc@example.org", ELSEWHERE, False) for at in range(START, START + 10 * DAY_S, 3_600)))

    assert found(table) == []


def told(at: int, email: str, address: str, network: str, client: str, *, entered: bool) -> dict[str, Any]:
    event = attempt(at, at, email, address, entered=entered)
    event["actor"]["session"] |= {"user_agent": client, "ip_address_details": {"asn": network}}
    return event


def week_of(people: int) -> list[dict[str, Any]]:
    """Make twenty days on which everybody signs in from the office, in the same network and with the same client."""
    days = [START + day * DAY_S + 36_000 for day in range(20)]
    return [told(at + n, f"p{n}@example.org", OFFICE, "64496", "A", entered=True) for at in days for n in range(people)]


def p_value_of_nine(address: str, network: str, client: str, *, beside: list[dict[str, Any]]) -> float:
    at = START + 20 * DAY_S
    tries = [told(at + 20 * n, "p3@example.org", address, network, client, entered=False) for n in range(9)]
    (row,) = found(flat([*beside, *tries]).events, fdr=0.99)
    return float(row["p_value"])


def test_a_run_weighs_the_more_the_more_of_address_network_and_client_are_strange() -> None:
    places = [(OFFICE, "64496", "A"), (ELSEWHERE, "64496", "A"), (ELSEWHERE, "64511", "A"), (ELSEWHERE, "64511", "B")]
    p_values = [p_value_of_nine(*place, beside=week_of(40)) for place in places]

    assert (np.diff(p_values) < 0).all()
    assert p_value_of_nine(ELSEWHERE, "64496", "B", beside=week_of(40)) == p_values[2]


def test_a_network_that_few_of_many_use_is_nobodys() -> None:
    guests = [told(START + 3_600 + n, f"p{n + 9}@example.org", HOME, "64511", "A", entered=True) for n in range(3)]
    few, many = (
        p_value_of_nine(ELSEWHERE, "64511", "A", beside=[*guests, *week_of(people)])
        / p_value_of_nine(ELSEWHERE, "64496", "A", beside=[*guests, *week_of(people)])
        for people in (40, 400)
    )

    assert few == 1
    assert many < 0.5


def test_a_crowd_behind_one_address_that_gets_in_after_mistyping_is_no_spray() -> None:
    people = [f"p{n}@example.org" for n in range(60)]
    first = [(START + 60 * n, email, OFFICE, False) for n, email in enumerate(people)]
    then = [(START + 60 * n + 20, email, OFFICE, True) for n, email in enumerate(people)]

    assert found(events(*first, *then)) == []


def test_history_ends_where_it_is_told_to() -> None:
    habit = [(START + day * DAY_S + 10 * n, "ada@example.org", OFFICE, n == 6) for day in range(20) for n in range(7)]
    later = [(START + 60 * DAY_S + 10 * n, "ada@example.org", OFFICE, False) for n in range(14)]
    before = (START - 3_600, "ada@example.org", OFFICE, True)
    short, long = (found(events(before, *habit, *later), history_days=days, fdr=0.05) for days in (30, 90))

    assert len(short) == 1
    assert long == []


@pytest.mark.parametrize("name", ["p_value", "q_value", "expected"])
def test_numbers_have_two_digits(name: str) -> None:
    case = cases_of("login_failure_anomalies")[0]
    (row,) = found(flat(case["events"]).events)

    assert row[name] == float(f"{row[name]:.1e}")


def test_an_attack_does_not_widen_the_band_after_it() -> None:
    calm = [(START + day * DAY_S + 60 * n, "ada@example.org", OFFICE, n > 0) for day in range(20) for n in range(21)]
    attack = [(START + 10 * DAY_S + 43_200 + n, "ada@example.org", ELSEWHERE, False) for n in range(500)]
    limits = login_failures_per_day.arrow(events(*calm, *attack))["limit"].to_numpy()

    assert limits[11] < 15
    assert np.diff(limits[11:]).max() <= 1


def test_what_a_first_login_does_not_tell_is_not_strange_whatever_a_later_one_tells() -> None:
    first, later = (attempt(n, START + n * DAY_S, "ada@example.org", OFFICE, entered=True) for n in range(2))
    later["actor"]["session"]["user_agent"] = "curl/8"
    relations = login_failure_anomalies.relations
    upto = [each.name for each in relations].index("homes") + 1
    answer = as_events(flat([first, later]).events).arrow(
        "SELECT strangeness FROM homes", first={each.name: (each.sql or "", {}) for each in relations[:upto]}
    )

    assert answer["strangeness"].to_pylist() == [1]
