from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from auditframe import reports
from auditframe.lake import Events
from auditframe.schema import COLUMNS
from tests.report_cases import cases_of, flat, lake_of

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

CASE = cases_of("coverage")[0]


def spans_in(answer: pa.Table) -> list[tuple[str | None, str, str | None, str | None, int]]:
    """Return scope, kind, start, end (day and hour) and events of each row."""
    rows = answer.to_pylist()
    ends = [[each and f"{each:%dT%H}" for each in (row["starts_at"], row["ends_at"])] for row in rows]
    return [(row["scope"], row["kind"], *two, row["events"]) for row, two in zip(rows, ends, strict=True)]


@pytest.mark.filterwarnings("ignore:Nobody has read")  # the gap that is asked for
def test_coverage_is_clipped_to_the_window_that_is_asked_for(tmp_path: Path) -> None:
    window = lake_of(CASE, tmp_path / "lake").window("2026-01-01T12:00:00Z", "2026-01-04T12:00:00Z")

    assert spans_in(reports.coverage.arrow(window)) == [
        ("organization", "covered", "01T12", "02T00", 0),
        ("organization", "gap", "02T00", "03T00", 1),
        ("organization", "covered", "03T00", "04T00", 1),
        ("organization", "gap", "04T00", "04T12", 1),
        ("tenant", "gap", "01T12", "04T12", 0),
    ]


def test_a_window_with_one_open_end_has_a_gap_up_to_there(tmp_path: Path) -> None:
    window = lake_of(CASE, tmp_path / "lake").window(end="2026-01-01T12:00:00Z")

    assert spans_in(reports.coverage.arrow(window)) == [
        ("organization", "gap", None, "01T00", 1),
        ("organization", "covered", "01T00", "01T12", 2),
        ("tenant", "gap", None, "01T12", 0),
    ]


def test_a_source_that_is_no_lake_proves_nothing() -> None:
    events = Events(table=flat(CASE["events"]).events)

    assert spans_in(reports.coverage.arrow(events)) == [("organization", "outside", None, None, 6)]
    assert spans_in(reports.coverage.arrow(events.window("2026-01-01", "2026-01-02"))) == [
        ("organization", "gap", "01T00", "02T00", 2),
        ("tenant", "gap", "01T00", "02T00", 0),
    ]


@pytest.mark.filterwarnings("ignore:Nobody has read")  # the gap that is asked for
def test_events_of_which_nobody_said_the_scope_are_outside(tmp_path: Path) -> None:
    case = {**CASE, "arrivals": [{"seen_at": "2026-02-01T00:00:00Z", "scope": None, "events": CASE["events"]}]}
    answer = reports.coverage.arrow(lake_of(case, tmp_path / "lake"))

    assert spans_in(answer)[-1] == (None, "outside", None, None, 6)


@pytest.mark.filterwarnings("ignore:Nobody has read")  # the gap that is asked for
@pytest.mark.parametrize("number", range(len(cases_of("coverage"))))
def test_every_event_is_in_exactly_one_row_of_coverage(number: int, tmp_path: Path) -> None:
    case = cases_of("coverage")[number]
    answer = reports.coverage.arrow(lake_of(case, tmp_path / "lake"))

    assert sum(row["events"] for row in answer.to_pylist()) == len(case["events"])


def test_a_window_of_a_lake_holds_its_own_mutations_alone(tmp_path: Path) -> None:
    lake = lake_of(cases_of("mutations")[0], tmp_path / "lake")

    assert [row["event_ids"] for row in reports.mutations.arrow(lake.window(end="2026-01-02")).to_pylist()] == [
        ["e1"],
        ["e1"],
    ]
    assert reports.mutations.arrow(lake.window("2026-01-02", "2026-01-03")).num_rows == 0


def test_a_mutation_names_keys_and_no_values(tmp_path: Path) -> None:
    answer = reports.mutations.arrow(lake_of(cases_of("mutations")[0], tmp_path / "lake")).to_pylist()

    assert [text for row in answer for text in ("192.0.2.", "owner", "member") if text in str(row)] == []


def _value_of(kind: str) -> Any:
    return {
        "text": "x",
        "name": "x",
        "address": "x",
        "texts": ["x"],
        "integer": 1,
        "number": 1,
        "flag": True,
        "json": {"any": ["thing"]},
    }[kind]


def _payload(steps: list[str], value: Any) -> Any:
    return {steps[0]: _payload(steps[1:], value)} if steps else value


def test_no_column_of_a_payload_is_drift_when_it_holds_what_it_should() -> None:
    events = []
    for number, column in enumerate(COLUMNS):
        for root, *steps in column.steps:
            if steps and root not in ("actor", "project"):
                type_ = "api_key.created" if root == "*" else root
                listed = column.kind == "texts" and steps[0] in ("certificates", "configs")
                payload = {steps[0]: [{steps[1]: "x"}]} if listed else _payload(steps, _value_of(column.kind))
                events.append({"id": f"e{number}", "type": type_, "effective_at": 1767225600, type_: payload})
    answer = reports.catalogue_drift(flat(events).events)

    assert len(events) > 50
    assert set(answer["kind"]) == {"never_seen"}


def test_drift_agrees_with_what_flattening_counts() -> None:
    events = [
        {"id": f"e{number}", "type": "api_key.created", "effective_at": 1767225600 + number, "api_key.created": payload}
        for number, payload in enumerate(
            [{"id": 7}, {"id": None}, {"data": {"scopes": "all"}}, {"data": "all"}, {"data": {"scopes": ["a", 1]}}, "x"]
        )
    ]
    flattened = flat(events)
    answer = reports.catalogue_drift.arrow(flattened.events, area="api_key").to_pylist()
    found = [row for row in answer if row["kind"] == "other_type"]
    counted = {f"*/{row['field']}".rstrip("/"): 0 for row in found}
    for row in found:
        counted[f"*/{row['field']}".rstrip("/")] += row["events"]

    assert counted == dict(flattened.drift)
