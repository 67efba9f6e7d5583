"""The command line of reports that judge, and what a report says of itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import matplotlib as mpl
import pytest

from auditframe.catalogue import SEVERITIES
from auditframe.render import LIST_ITEMS
from auditframe.reports import REGISTRY
from tests.report_cases import cases_of, lake_of
from tests.test_cli import WINDOW, run

if TYPE_CHECKING:
    from pathlib import Path

CHECK = "success_after_failures"
"""A check whose cases have a finding of severity high."""


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    case = next(case for case in cases_of(CHECK) if any(row["severity"] == "high" for row in case["expected"]))
    return lake_of(case, tmp_path / "lake").path


@pytest.mark.parametrize(("least", "code"), [("low", 4), ("high", 4), ("critical", 0)])
def test_findings_as_severe_as_asked_exit_with_4_after_the_answer(lake: Path, least: str, code: int) -> None:
    done = run("report", CHECK, "--lake", lake, "--fail-on", least, "--format", "json")

    assert done.exit_code == code
    assert "high" in {row["severity"] for row in json.loads(done.stdout)}


@pytest.mark.parametrize("options", [(), ("--quiet",)])
def test_what_made_findings_exit_with_4_is_counted_on_stderr(
    lake: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    asked = ("report", CHECK, "--lake", lake, "--out", tmp_path / "found.json", *options)
    found, passed = (run(*asked, "--fail-on", least) for least in ("high", "critical"))
    high = [row for row in json.loads((tmp_path / "found.json").read_text()) if row["severity"] == "high"]

    assert (found.exit_code, found.stderr) == (4, f"{len(high)} finding(s) of severity high or more.\n")
    assert (passed.exit_code, passed.stderr) == (0, "")


@pytest.mark.parametrize("source", ["--lake", "--on"])
def test_a_check_of_time_that_nobody_read_says_so_once_and_has_not_passed(lake: Path, source: str) -> None:
    asked = ("report", "findings", source, lake, "--start", "2026-11-10", "--quiet", "--format", "csv")
    failed, told = run(*asked, "--fail-on", "info"), run(*asked)

    assert (failed.exit_code, told.exit_code) == (4, 0)
    assert failed.stderr == told.stderr
    assert failed.stderr.count("Nobody has read [2026-11-10T00:00:00Z, +inf) whole") == 1


def test_without_a_severity_to_fail_on_findings_are_an_answer(lake: Path) -> None:
    assert run("report", CHECK, "--lake", lake).exit_code == 0


def test_the_union_of_checks_fails_too_unless_somebody_answers_for_it(lake: Path, tmp_path: Path) -> None:
    everything = "\n".join(
        f'[[suppression]]\ncheck = "{name}"\nowner = "sec@example.com"\nreason = "A drill"\nexpires = 2100-01-01'
        for name, report in REGISTRY.items()
        if report.is_check
    )
    (tmp_path / "suppressions.toml").write_text(everything, encoding="utf-8")
    asked = ("report", "findings", "--lake", lake, "--fail-on", "high", "--format", "json")
    answered_for = run(*asked, "--suppressions", tmp_path / "suppressions.toml")

    assert run(*asked).exit_code == 4
    assert answered_for.exit_code == 0
    assert CHECK in {row["check"] for row in json.loads(answered_for.stdout)}


@pytest.mark.parametrize("name", REGISTRY)
def test_a_report_has_the_options_that_mean_something(name: str) -> None:
    text, report = run("report", name, "--help").output, REGISTRY[name]

    assert ("--plot" in text) == (report.plot is not None)
    assert ("--fail-on" in text) == ("finding" in report.schema.names)
    assert "--explain" in text


@pytest.mark.parametrize("name", REGISTRY)
def test_an_explanation_is_the_sql_with_each_value_that_it_binds_and_that_of_its_relations(name: str) -> None:
    report, done = REGISTRY[name], run("report", name, "--explain")
    told, _, sql = done.stdout.rpartition(report.sql())
    comments = [line for line in told.splitlines() if line.startswith("-- ")]

    assert (done.exit_code, sql.strip()) == (0, "")
    assert [line.split(" = ")[0] for line in comments[len(report.relations) :]] == [
        f"-- ${each}" for each in report.bound()
    ]
    assert [line.split(",")[0] for line in comments[: len(report.relations)]] == [
        f"-- {each.name}" for each in report.relations
    ]
    assert len(duckdb.extract_statements(done.stdout)) == 1 + sum(each.sql is not None for each in report.relations)


@pytest.mark.parametrize(
    ("options", "said"),
    [((), "-- $as_of = NULL"), (("--as-of", "2026-07-01"), "-- $as_of = '2026-07-01T00:00:00+00:00'")],
)
def test_a_moment_is_explained_as_the_instant_that_is_bound(options: tuple[str, ...], said: str) -> None:
    done: Any = run("report", "stale_keys", "--explain", *options)

    assert said in done.stdout.splitlines()


def test_an_explanation_names_the_window_that_was_asked_for() -> None:
    bare, inside = (run("report", "login_failures", "--explain", *options) for options in ((), WINDOW))

    assert inside.stdout == (
        "-- events, those in the window [2026-10-30T00:00:00Z, 2026-11-01T00:00:00Z) alone\n" + bare.stdout
    )


@pytest.mark.parametrize("name", ["asked.sql", "asked.csv"])
def test_an_explanation_goes_where_it_is_sent(tmp_path: Path, name: str) -> None:
    done = run("report", "login_failures", "--explain", "--out", tmp_path / name)

    assert (done.exit_code, done.output) == (0, "")
    assert (tmp_path / name).read_text() == run("report", "login_failures", "--explain").stdout


def test_an_explanation_in_another_format_than_sql_is_a_usage_error() -> None:
    done = run("report", "login_failures", "--explain", "--format", "json")

    assert (done.exit_code, done.stdout) == (2, "")
    assert "leave --format away" in done.stderr


def test_the_sql_of_an_explanation_can_be_asked_again(lake: Path) -> None:
    asked = run("report", "events_per_type", "--explain", *WINDOW).stdout
    again = run("sql", asked, "--lake", lake, "--format", "csv")

    assert asked.startswith("-- ")
    assert again.stdout == run("report", "events_per_type", "--lake", lake, "--format", "csv").stdout


def test_a_query_that_begins_with_a_comment_is_no_option_and_an_unknown_option_is_one(lake: Path) -> None:
    commented = run("sql", "--all=1 of them\nSELECT 1 AS one", "--lake", lake, "--format", "csv")
    mistaken = run("sql", "SELECT 1 AS one", "--lake", lake, "--formt", "csv")

    assert commented.stdout_bytes == b"one\r\n1\r\n"
    assert (mistaken.exit_code, "--format" in mistaken.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("stale_keys", "--as-of", "yesterday"), "as_of of stale_keys: 'yesterday' is no time"),
        (("activity_heatmap", "--zone", "Mars/Olympus"), "zone of activity_heatmap: 'Mars/Olympus' is no time zone"),
    ],
)
def test_a_value_that_cannot_be_read_is_a_usage_error(lake: Path, options: tuple[str, ...], said: str) -> None:
    done = run("report", *options, "--lake", lake)

    assert done.exit_code == 2
    assert said in done.stderr


def test_the_plot_of_a_report_is_that_of_its_parameters(lake: Path, tmp_path: Path) -> None:
    with mpl.rc_context({"svg.fonttype": "none"}):  # text as text
        run("report", "activity_heatmap", "--lake", lake, "--zone", "Asia/Kolkata", "--plot", tmp_path / "hours.svg")

    assert ">hour of the day [Asia/Kolkata]<" in (tmp_path / "hours.svg").read_text()


@pytest.mark.parametrize("form", ["csv", "json", "md", "records"])
@pytest.mark.parametrize("is_file", [True, False])
def test_every_format_but_a_table_has_every_event_of_a_finding(
    lake: Path, tmp_path: Path, form: str, is_file: bool
) -> None:
    out = tmp_path / "findings.out"
    done = run("report", CHECK, "--lake", lake, "--format", form, *(["--out", out] if is_file else []))
    text = out.read_text(encoding="utf-8") if is_file else done.stdout
    rows = REGISTRY[CHECK].arrow(lake).to_pylist()

    assert max(len(row["event_ids"]) for row in rows) > LIST_ITEMS
    assert all(each in text for row in rows for each in row["event_ids"])
    assert all(row["why"][-20:] in text for row in rows)


def test_a_severity_that_there_is_not_is_refused(lake: Path) -> None:
    done = run("report", CHECK, "--lake", lake, "--fail-on", "dire")

    assert done.exit_code == 2
    assert all(severity in done.stderr for severity in SEVERITIES)
