from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from auditframe.reports import REGISTRY
from tests.report_cases import cases_of, events_of, flat

if TYPE_CHECKING:
    from auditframe import reports

CASES = [
    pytest.param(REGISTRY[name], case, id=f"{name}-{number}")
    for name in ("password_spray", "credential_stuffing", "success_after_failures")
    for number, case in enumerate(cases_of(name))
]


def _found(report: reports.Report[Any], case: dict[str, Any], *, later_s: int) -> list[dict[str, Any]]:
    """What a report finds when all of a case's events happen later, without the times."""
    moved = [event | {"effective_at": event["effective_at"] + later_s} for event in events_of(case)]
    rows = report.arrow(flat(moved).events, **case["parameters"]).to_pylist()
    return [{name: value for name, value in row.items() if not name.endswith("_at")} for row in rows]


@pytest.mark.parametrize("later_s", [299, 420, 540, 2860, 3300, 3599])
@pytest.mark.parametrize(("report", "case"), CASES)
def test_an_attack_is_the_same_wherever_on_the_clock_it_happens(
    report: reports.Report[Any], case: dict[str, Any], later_s: int
) -> None:
    assert _found(report, case, later_s=later_s) == _found(report, case, later_s=0)
