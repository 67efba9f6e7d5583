"""How the benchmark of anomalies counts, and that its peers do what their names say."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from auditframe.sample import Incident
from benchmarks._matching import Alarm, judge, matches, median, merged
from benchmarks._peers import (
    five_addresses,
    five_and_a_success,
    five_in_ten_minutes,
    hourly,
    mad_score,
    z_score,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

BEGAN = datetime(2026, 10, 1, tzinfo=UTC)
AT = int(BEGAN.timestamp())


def alarm(ids: str, *, subject: str = "ada", start: int = 0, end: int = 0, known_at: float = 0) -> Alarm:
    return Alarm(subject, AT + start, AT + end, AT + known_at, frozenset(ids))


def incident(ids: str) -> Incident:
    return Incident("burst", "ada", BEGAN, BEGAN + timedelta(minutes=5), tuple(ids))


def tries(rows: Iterable[tuple[int, str, str | None, bool]]) -> pd.DataFrame:
    """Make attempts of (second, actor, address, is_good); their ids are a, b, c and so on."""
    frame = pd.DataFrame(rows, columns=["at", "actor", "ip_address", "is_good"])
    return frame.assign(at=frame["at"] + AT, id=[chr(97 + number) for number in range(len(frame))])


def ids(alarms: Iterable[Alarm]) -> list[str]:
    return ["".join(sorted(each.event_ids)) for each in alarms]


@pytest.mark.parametrize(
    ("raised", "labelled", "does_match"),
    [
        ("abc", "abcdef", True),  # nothing but the incident
        ("abx", "abcdef", True),  # two of three are the incident's
        ("abxy", "abcdef", False),  # half of each is not most
        ("abcxyzw", "abcde", True),  # three of the incident's five
        ("x", "abc", False),
    ],
)
def test_most_of_one_must_be_in_the_other(raised: str, labelled: str, does_match: bool) -> None:
    assert matches(frozenset(raised), incident(labelled)) is does_match


def test_alarms_on_one_subject_within_an_hour_are_one() -> None:
    one, other = alarm("a", end=60, known_at=60), alarm("b", start=3_659, end=4_000, known_at=4_000)

    assert list(merged([other, one])) == [alarm("ab", end=4_000, known_at=60)]


def test_alarms_an_hour_apart_or_on_two_subjects_are_two() -> None:
    one, later = alarm("a", end=60), alarm("b", start=3_660, end=3_660)
    other = alarm("c", subject="bela")

    assert list(merged([later, one, other])) == [one, later, other]


def test_what_is_found_missed_and_cried_over_is_counted() -> None:
    judged = judge(
        [alarm("ab", known_at=90), alarm("x", start=9_000, end=9_000)],
        [incident("abc"), incident("def")],
    )

    assert judged.delays_s == {0: 90.0, 1: math.inf}
    assert (judged.true, ids(judged.false)) == (1, ["x"])


def test_an_alarm_that_was_up_when_an_incident_began_took_no_time() -> None:
    assert judge([alarm("ab", known_at=-30)], [incident("ab")]).delays_s == {0: 0.0}


def test_a_miss_lasts_for_ever() -> None:
    assert median([60.0, 120.0, math.inf]) == 120.0
    assert median([60.0, math.inf, math.inf]) is None
    assert median([]) is None


def test_five_failures_in_less_than_ten_minutes_are_an_alarm_at_the_fifth() -> None:
    [found] = five_in_ten_minutes(tries([(149 * n, "ada", None, False) for n in range(5)]))

    assert (ids([found]), found.known_at) == (["abcde"], AT + 596)


def test_five_failures_in_ten_minutes_of_two_accounts_or_with_successes_are_none() -> None:
    rows = [(n, "ada" if n % 2 else "bela", None, n == 8) for n in range(9)]

    assert list(five_in_ten_minutes(tries(rows))) == []
    assert list(five_in_ten_minutes(tries([(150 * n, "ada", None, False) for n in range(5)]))) == []


def test_five_addresses_in_half_an_hour_are_an_alarm() -> None:
    rows = [(400 * n, "ada", f"192.0.2.{n}", False) for n in range(5)]
    same = [(400 * n, "bela", f"192.0.2.{n % 4}", False) for n in range(5)]
    slow = [(450 * n, "chloe", f"192.0.2.{n}", False) for n in range(5)]

    assert ids(five_addresses(tries(rows))) == ["abcde"]
    assert list(five_addresses(tries([*same, *slow]))) == []


def test_five_failures_in_a_row_and_a_success_are_an_alarm() -> None:
    rows = [(n, "ada", None, n == 5) for n in range(6)]
    broken = [(n, "bela", None, n in {2, 6}) for n in range(7)]

    [found] = five_and_a_success(tries([*rows, *broken]))
    assert (ids([found]), found.known_at) == (["abcdef"], AT + 5)


def test_scores_are_in_units_of_their_limits() -> None:
    history = np.array([0.0, 2.0] * 50)  # mean 1, deviation 1; median 1, MAD 1

    assert z_score(4.0, history) == 1.0
    assert mad_score(1 + 3.5 / 0.6745, history) == pytest.approx(1.0)


def test_where_the_mad_is_nothing_the_mean_deviation_stands_in() -> None:
    history = np.array([0.0] * 9 + [10.0])  # median 0, MAD 0, mean deviation 1

    assert mad_score(3.5 * 1.253314, history) == pytest.approx(1.0)


def test_an_hour_is_judged_by_the_hours_before_it_once_a_week_is_over() -> None:
    quiet = [(day * 86_400, "ada", None, False) for day in range(10)]
    loud = [(10 * 86_400 + n, "ada", None, False) for n in range(5)]
    early = [(3_600 + n, "ada", None, False) for n in range(3)]

    found = list(hourly(z_score, by_actor=False)(tries([*quiet, *loud])))
    assert found[-1].known_at == AT + 10 * 86_400 + 3_600
    assert len(found[-1].event_ids) == 5
    assert all(each.start >= AT + 7 * 86_400 for each in hourly(z_score, by_actor=True)(tries([*early, *quiet])))
