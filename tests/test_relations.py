from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from auditframe import reports
from auditframe.catalogue import catalogue
from auditframe.errors import FileError, ParameterError
from auditframe.flatten import flatten_events
from auditframe.reports._safeguards import SAFEGUARD_AREAS
from auditframe.schema import COLUMN_NAMES

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

HEADER = "change,actor,resource_id,starts_at,ends_at\n"


def removed(*users: str, actor: str = "key_1") -> pa.Table:
    events: list[Any] = [
        {
            "id": f"e{number}",
            "type": "user.deleted",
            "effective_at": 1767225600,
            "user.deleted": {"id": user},
            "actor": {"type": "api_key", "api_key": {"id": actor}},
        }
        for number, user in enumerate(users)
    ]
    seen_at = datetime.fromisoformat("2026-02-01T00:00:00Z")
    return flatten_events(events, scope="organization", seen_at=seen_at).events


def unapproved(path: Path, *users: str, actor: str = "key_1") -> list[str]:
    answer = reports.unapproved_changes.arrow(removed(*users, actor=actor), approved=str(path))
    return [row["resource_id"] for row in answer.to_pylist()]


def written(folder: Path, text: str) -> Path:
    path = folder / "approved.csv"
    path.write_text(text, encoding="utf-8")
    return path


# Approved changes.


def test_a_list_without_a_row_approves_nothing(tmp_path: Path) -> None:
    assert unapproved(written(tmp_path, HEADER), "u1", "u2") == ["u1", "u2"]


def test_an_empty_line_approves_nothing(tmp_path: Path) -> None:
    assert unapproved(written(tmp_path, HEADER + "\n\n"), "u1") == ["u1"]


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("CHG-1,,,,\n", "line 2 (CHG-1)"),
        (",,,,\n", "line 2 (without a name)"),
        ('"CHG-1\nagain",key_1,,,\n\nCHG-2,,"",,\nCHG-3,,,,\n', "line 5 (CHG-2)"),
    ],
)
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_line_that_would_approve_everything_is_refused_by_its_number(
    start: str, lines: str, named: str, tmp_path: Path
) -> None:
    path = written(tmp_path, start + HEADER + lines)

    with pytest.raises(ParameterError) as caught:
        unapproved(path, "u1")
    assert f"{named} names neither actor, resource_id nor times and would approve everything" in str(caught.value)
    assert "give starts_at and ends_at" in str(caught.value)


def test_a_span_of_time_alone_approves_everything_in_it(tmp_path: Path) -> None:
    inside = "CHG-1,,,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z\n"
    before = "CHG-1,,,,2026-01-01T00:00:00Z\n"

    assert unapproved(written(tmp_path, HEADER + inside), "u1", "u2") == []
    assert unapproved(written(tmp_path, HEADER + before), "u1") == ["u1"]


@pytest.mark.parametrize("name", ["NA", "null", "nan", "N/A", "007", "true"])
def test_a_name_that_looks_like_something_else_is_a_name(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + f"CHG-1,,{name},,\n")

    assert unapproved(path, name, "u2") == ["u2"]


def test_columns_may_stand_in_any_order_and_beside_others(tmp_path: Path) -> None:
    text = "ends_at,note,resource_id,change,starts_at,actor\n,x,u1,CHG-1,,\n"

    assert unapproved(written(tmp_path, text), "u1", "u2") == ["u2"]


def test_an_id_is_matched_to_the_letter(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "CHG-1,KEY_1,,,\n")

    assert unapproved(path, "u1", actor="KEY_1") == []
    assert unapproved(path, "u1", actor="key_1") == ["u1"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.csv cannot be read") as caught:
        unapproved(tmp_path / "none.csv", "u1")

    assert caught.value.path == tmp_path / "none.csv"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Empty CSV file"),
        ("change,actor,resource_id,starts_at\nCHG-1,,,\n", "ends_at"),
        (HEADER + "CHG-1,,,2026-01-01T00:00:00,\n", "zone"),
        (HEADER + "CHG-1,,,,yesterday\n", "yesterday"),
        (HEADER + "CHG-1,,\n", "Expected 5 columns, got 3"),
        (HEADER + "CHG-1,,,2026-01-02T00:00:00Z,2026-01-01T00:00:00Z\n", "CHG-1 ends before it starts"),
    ],
)
def test_a_file_that_is_no_list_of_approvals_is_refused_with_what_it_must_be(
    text: str, message: str, tmp_path: Path
) -> None:
    path = written(tmp_path, text)

    with pytest.raises(ParameterError, match=f"is no list of approved changes: .*{message}") as caught:
        unapproved(path, "u1")
    assert caught.value.report == "unapproved_changes"
    assert "the columns change, actor, resource_id, starts_at, ends_at" in str(caught.value)


# Safeguards.


def test_every_event_that_turns_a_control_on_or_off_is_about_a_safeguard() -> None:
    judged = {each.area for each in SAFEGUARD_AREAS if each.field is None}
    switches = {type_.area for type_ in catalogue().values() if type_.effect in {"control_on", "control_off"}}

    assert switches <= judged


def test_every_safeguard_is_an_area_of_the_catalogue_or_a_setting_with_a_column() -> None:
    areas = {type_.area for type_ in catalogue().values()}
    fields = {each.field for each in SAFEGUARD_AREAS if each.field}

    assert {each.area for each in SAFEGUARD_AREAS} <= areas
    assert {f"detail_changes_requested_{field}" for field in fields} <= set(COLUMN_NAMES)


@pytest.mark.parametrize("field", [each.field for each in SAFEGUARD_AREAS if each.field])
def test_a_change_of_every_setting_is_a_row(field: str) -> None:
    event: Any = {
        "id": "e1",
        "type": "organization.updated",
        "effective_at": 1767225600,
        "organization.updated": {"id": "org-1", "changes_requested": {field: "x"}},
    }
    seen_at = datetime.fromisoformat("2026-02-01T00:00:00Z")
    answer = reports.control_changes.arrow(flatten_events([event], scope="organization", seen_at=seen_at).events)

    assert [(row["field"], row["after"]) for row in answer.to_pylist()] == [(field, "x")]
