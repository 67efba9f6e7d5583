from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from auditframe import reports
from auditframe.flatten import flatten_events
from auditframe.schema import COLUMNS, Column

REQUESTED = [column for column in COLUMNS if column.name.startswith("detail_changes_requested")]
GIVEN = [column for column in COLUMNS if column.name.startswith("detail_data")]
LIMITS = [column for column in REQUESTED if column.unit]

VALUES: dict[str, Any] = {"text": "seven", "texts": ["seven"], "integer": 7, "json": {"of": "seven"}}


def event_with(column: Column, path: tuple[str, ...], *, type_: str) -> dict[str, Any]:
    """Write an event that holds a value under one path of a column, and nothing else."""
    detail = VALUES[column.kind]
    for key in reversed(path[1:]):
        detail = {key: detail}
    named = type_ if path[0] == "*" else path[0]
    return {"id": "e1", "type": named, "effective_at": 1767225600, named: detail}


def asked(name: str, event: dict[str, Any]) -> list[dict[str, Any]]:
    seen_at = datetime.fromisoformat("2026-02-01T00:00:00Z")
    return reports.get(name).arrow(flatten_events([event], scope="organization", seen_at=seen_at).events).to_pylist()


@pytest.mark.parametrize(
    ("column", "path"),
    [(column, path) for column in (*REQUESTED, *GIVEN) for path in column.steps],
    ids=lambda value: value.name if isinstance(value, Column) else "/".join(value),
)
def test_whatever_an_event_asks_for_or_gives_is_a_row(column: Column, path: tuple[str, ...]) -> None:
    rows = asked("change_log", event_with(column, path, type_="thing.updated"))
    value = VALUES[column.kind]

    assert len(rows) > 0
    assert any(("seven" if value != 7 else "7") in row["after"] for row in rows)
    assert all(row["event_id"] == "e1" for row in rows)


def test_there_are_fields_to_cover() -> None:
    assert len(REQUESTED) >= 23
    assert len(LIMITS) == 6


@pytest.mark.parametrize("column", LIMITS, ids=lambda column: column.name)
def test_every_limit_is_a_row_with_the_unit_of_its_column(column: Column) -> None:
    (row,) = asked("rate_limit_changes", event_with(column, column.steps[0], type_="rate_limit.updated"))

    assert (row["field"], row["after"]) == (column.name.removeprefix("detail_changes_requested_"), 7)
    assert row["unit"] == column.unit
