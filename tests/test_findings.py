from __future__ import annotations

import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from auditframe import reports
from auditframe.errors import AuditFrameWarning, FileError, ParameterError
from auditframe.flatten import flatten_events
from auditframe.lake import Lake
from auditframe.reports import Report, check, findings

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

DAY_S = 86_400
T0 = 1_767_225_600  # 2026-01-01


@check(severity="high")
def deletions() -> str:
    """Who deleted something?

    One row a deletion.
    """
    return """
        SELECT
            'deletions:' || id AS finding,
            CASE WHEN area = 'project' THEN 'high' ELSE 'low' END AS severity,
            effective_at,
            actor_email AS actor,
            resource_id,
            [id] AS event_ids,
            actor_email || ' deleted something.' AS why
        FROM events
        WHERE verb = 'deleted'
        ORDER BY effective_at, id
    """


@check(severity="medium")
def busiest() -> str:
    """Who did the most so far?

    One row for the busiest actor; it changes as the log grows.
    """
    return """
        WITH counted AS (
            SELECT actor_email, count(*) AS events, min(id) AS first_id, min(effective_at) AS began
            FROM events
            GROUP BY actor_email
        )
        SELECT
            'busiest:' || first_id AS finding,
            'medium' AS severity,
            began AS effective_at,
            actor_email AS actor,
            CAST(NULL AS VARCHAR) AS resource_id,
            [first_id] AS event_ids,
            actor_email || ' did the most.' AS why
        FROM counted
        WHERE events = (SELECT max(events) FROM counted)
        ORDER BY finding
    """


@pytest.fixture(autouse=True)
def _two_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = {each.name: each for each in (deletions, reports.events_per_day, findings)}
    monkeypatch.setattr(reports, "REGISTRY", registry)


def event(id_: str, type_: str, *, day: int = 0, email: str = "ada@example.com") -> dict[str, Any]:
    actor = {"type": "session", "session": {"user": {"id": f"user-{email}", "email": email}}}
    at = T0 + day * DAY_S
    return {"id": id_, "type": type_, "effective_at": at, "actor": actor, type_: {"id": f"thing-{id_}"}}


def events_of(*events: dict[str, Any]) -> pa.Table:
    return flatten_events(events, scope="organization", seen_at=datetime(2026, 3, 1, tzinfo=UTC)).events


EVENTS = (
    event("e1", "project.deleted"),
    event("e2", "user.deleted", day=1, email="bo@example.com"),
    event("e3", "user.added", day=2),
    event("e4", "project.deleted", day=3, email="bo@example.com"),
)


def suppression(**changes: str) -> str:
    """Write a suppression file; a value is TOML."""
    named = {
        "check": '"deletions"',
        "owner": '"sec@example.com"',
        "reason": '"Ticket 7"',
        "expires": "2026-06-01",
    } | changes
    return "\n".join(["[[suppression]]", *(f"{name} = {value}" for name, value in named.items() if value)]) + "\n"


def asked(folder: Path, text: str, *, as_of: str = "2026-05-31T23:59:59Z") -> list[dict[str, Any]]:
    path = folder / "suppressions.toml"
    path.write_text(text, encoding="utf-8")
    answer = findings.arrow(events_of(*EVENTS), suppressions=str(path), as_of=as_of)
    return [dict(row) for row in answer.to_pylist()]


def test_findings_are_those_of_every_check_the_most_severe_first_then_the_newest() -> None:
    answer = findings.arrow(events_of(*EVENTS))

    assert answer["finding"].to_pylist() == ["deletions:e4", "deletions:e1", "deletions:e2"]
    assert answer["severity"].to_pylist() == ["high", "high", "low"]
    assert set(answer["check"].to_pylist()) == {"deletions"}
    assert answer["suppressed"].null_count == len(answer)


@pytest.mark.parametrize(
    ("change", "suppressed"),
    [
        ({}, {"deletions:e1", "deletions:e2", "deletions:e4"}),
        ({"finding": '"deletions:e4"'}, {"deletions:e4"}),
        ({"actor": '"bo@example.com"'}, {"deletions:e2", "deletions:e4"}),
        ({"resource_id": '"thing-e1"'}, {"deletions:e1"}),
        ({"actor": '"bo@example.com"', "resource_id": '"thing-e1"'}, set()),
    ],
)
def test_a_suppression_covers_what_has_every_value_that_it_names(
    tmp_path: Path, change: dict[str, str], suppressed: set[str]
) -> None:
    rows = asked(tmp_path, suppression(**change))
    told = {row["finding"]: row["suppressed"] for row in rows if row["suppressed"]}

    assert told.keys() == suppressed
    assert set(told.values()) <= {"sec@example.com: Ticket 7 (until 2026-06-01)"}
    assert len(rows) == 3


def test_what_is_suppressed_stays_and_stands_last(tmp_path: Path) -> None:
    rows = asked(tmp_path, suppression(finding='"deletions:e4"'))

    assert [row["finding"] for row in rows] == ["deletions:e1", "deletions:e2", "deletions:e4"]


def test_a_suppression_ends_with_its_day_and_is_then_a_finding(tmp_path: Path) -> None:
    rows = asked(tmp_path, suppression(actor='"bo@example.com"'), as_of="2026-06-01")
    (expired,) = (row for row in rows if row["check"] == "suppressions")

    assert not any(row["suppressed"] for row in rows)
    assert (expired["severity"], expired["actor"]) == ("medium", "sec@example.com")
    assert expired["effective_at"] == datetime(2026, 6, 1, tzinfo=UTC)
    assert expired["why"].startswith("Expired on 2026-06-01: the suppression of deletions, bo@example.com, owned by")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (suppression(check='"deletion"'), "suppression 1 names 'deletion', which is no check"),
        (suppression(owner=""), "suppression 1 has no owner"),
        (suppression(reason='" "'), "reason of suppression 1 must be text"),
        (suppression(expires='"2026-06-01"'), "expires of suppression 1 must be a date"),
        (suppression(expires="2026-06-01T00:00:00Z"), "expires of suppression 1 must be a date"),
        (suppression(until="2026-06-01"), "suppression 1 has the unknown key 'until'"),
        (suppression() + suppression(owner="7"), "owner of suppression 2 must be text"),
        ("suppression = 3\n", "something else than"),
        ("suppression = [3]\n", "suppression 1 is no table"),
        ("[[suppressions]]\n", "something else than"),
        ("[[suppression", "no TOML"),
    ],
)
def test_a_file_that_is_no_list_of_suppressions_is_refused_by_what_is_wrong(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ParameterError, match=said) as caught:
        asked(tmp_path, text)

    assert caught.value.report == "findings"


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(FileError, match=r"none\.toml cannot be read"):
        findings(events_of(), suppressions=str(tmp_path / "none.toml"))
    with pytest.raises(ParameterError, match="no TOML"):
        findings(events_of(), suppressions=str(tmp_path / "bytes.toml"))


# How often a check would have fired.


def backtested(check_: Report[Any], source: Any, **options: Any) -> list[tuple[str, int, list[str]]]:
    frame = reports.backtest(check_, source, **options)
    rows = zip(frame["day"].dt.strftime("%F"), frame["findings"], frame["finding_ids"], strict=True)
    return [(str(day), int(count), list(ids)) for day, count, ids in rows]


def test_a_backtest_counts_each_finding_on_the_day_on_which_it_came() -> None:
    assert backtested(deletions, events_of(*EVENTS), days=4) == [
        ("2026-01-01", 1, ["deletions:e1"]),
        ("2026-01-02", 1, ["deletions:e2"]),
        ("2026-01-03", 0, []),
        ("2026-01-04", 1, ["deletions:e4"]),
    ]


def test_a_backtest_counts_severities() -> None:
    frame = reports.backtest(deletions, events_of(*EVENTS), days=4)

    assert list(frame.columns[2:7]) == ["critical", "high", "medium", "low", "info"]
    assert frame[["high", "low"]].sum().to_list() == [2, 1]


def test_a_backtest_does_not_count_what_was_there_before_it_began() -> None:
    assert [row[0:2] for row in backtested(deletions, events_of(*EVENTS), days=2)] == [
        ("2026-01-03", 0),
        ("2026-01-04", 1),
    ]


def test_a_backtest_knows_of_no_later_day_than_the_one_it_is_at() -> None:
    log = events_of(
        event("a1", "user.added", email="ada@example.com"),
        event("b1", "user.added", day=1, email="bo@example.com"),
        event("b2", "user.added", day=1, email="bo@example.com"),
    )

    assert [row[2] for row in backtested(busiest, log, days=2)] == [["busiest:a1"], ["busiest:b1"]]


def test_a_backtest_of_a_window_stays_inside_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.append(flatten_events(EVENTS, scope="organization"))
    rows = backtested(deletions, lake.window("2026-01-02", "2026-01-04"), days=90)

    assert [row[0:2] for row in rows] == [("2026-01-02", 1), ("2026-01-03", 0)]


def test_a_backtest_of_nothing_has_no_days() -> None:
    assert reports.backtest(deletions, events_of()).empty


def test_only_a_check_over_a_day_or_more_is_backtested() -> None:
    with pytest.raises(ParameterError, match="events_per_day is no check"):
        reports.backtest(reports.events_per_day, events_of())
    with pytest.raises(ParameterError, match="days must be at least 1"):
        reports.backtest(deletions, events_of(), days=0)


def test_unapproved_changes_without_a_list_say_that_nothing_was_judged_and_findings_do_not(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.append(flatten_events([{"id": "e1", "type": "project.created", "effective_at": T0}]))
    (tmp_path / "approved.csv").write_text("change,actor,resource_id,starts_at,ends_at\n")
    with pytest.warns(AuditFrameWarning, match="No approved changes were given, so nothing was judged"):
        unjudged = reports.unapproved_changes(lake)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = reports.findings(lake)
        judged = reports.unapproved_changes(lake, approved=str(tmp_path / "approved.csv"))

    assert (len(unjudged), len(judged), warned) == (0, 1, [])
    assert "unapproved_changes" not in set(found["check"])
