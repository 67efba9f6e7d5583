from __future__ import annotations

import ast
import inspect
import json
import pkgutil
import random
import re
import textwrap
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditframe import reports
from auditframe.catalogue import SEVERITIES, catalogue
from auditframe.errors import FileError, LakeNotFoundError, ParameterError, ReportError, UnknownReportError
from auditframe.flatten import flatten_events
from auditframe.lake import Events, Lake
from auditframe.reports import (
    REGISTRY,
    Bars,
    DailyBand,
    DailyBars,
    Heatmap,
    Marks,
    Parameter,
    Points,
    Report,
    ReportColumn,
    Spans,
    _parameters,
    controls,
)
from auditframe.reports._columns import FINDING_COLUMNS
from auditframe.reports._source import as_events
from auditframe.sample import sample
from auditframe.schema import COLUMNS, arrow_schema
from tests.portable import refused_in
from tests.report_cases import CASES, Asked, cases_of, events_of, flat, lake_of, torn_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from auditframe.reports._source import Source

NOTHING = arrow_schema().empty_table()

every_report = pytest.mark.parametrize("report", REGISTRY.values(), ids=REGISTRY)
CHECKS = {name: report for name, report in REGISTRY.items() if report.is_check}
every_check = pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)

ALL_CASES = [(name, number) for name in REGISTRY for number in range(len(cases_of(name)))]
PLAIN_CASES = [(name, number) for name, number in ALL_CASES if not cases_of(name)[number].get("lake_only")]
STAMPS = ["scope", "first_seen_at"]
"""What files do not tell of their events."""

STAMPED_CASES = [(name, number) for name, number in PLAIN_CASES if {*STAMPS} & {*REGISTRY[name].reads}]
WINDOWED_CASES = [
    (name, number)
    for name, number in PLAIN_CASES
    if number == 0 or any(each.read for relation in REGISTRY[name].relations for each in (*relation.needs, relation))
]
"""A report's first case, as any, and all of those that do not see events through the engine's window alone."""

CHECK_CASES = [(name, number) for name, number in ALL_CASES if name in CHECKS]

SHOWS_PAYLOADS = {"actor_timeline", "catalogue_drift", "change_log", "resource_history"}
"""The reports whose rows say what else a payload holds."""

TENANT_CASES = [
    (name, number)
    for name, number in PLAIN_CASES
    if name not in SHOWS_PAYLOADS and events_of(cases_of(name)[number]) != torn_events(cases_of(name)[number])
]


def every(cases: list[tuple[str, int]]) -> pytest.MarkDecorator:
    ids = [f"{name}-{number}" for name, number in cases]
    return pytest.mark.parametrize("asked", cases, indirect=True, scope="module", ids=ids)


every_case, every_plain_case, every_case_of_a_check = every(ALL_CASES), every(PLAIN_CASES), every(CHECK_CASES)
every_stamped_case, every_windowed_case = every(STAMPED_CASES), every(WINDOWED_CASES)
every_tenant_case = every(TENANT_CASES)


@pytest.fixture(scope="module")
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """A case of a report; the tests of a case follow one another, so that they share its lake."""
    name, number = request.param
    return Asked(REGISTRY[name], cases_of(name)[number], tmp_path_factory.mktemp("case"))


def plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def rows_of(answer: pa.Table) -> list[dict[str, object]]:
    return [{name: plain(value) for name, value in row.items()} for row in answer.to_pylist()]


def shuffled_events(asked: Asked, *, seed: int) -> list[dict[str, Any]]:
    events = events_of(asked.case)
    return random.Random(seed).sample(events, len(events))  # noqa: S311 - no secret


def file_of(events: list[dict[str, Any]], folder: Path) -> Path:
    lines = [json.dumps(event, separators=(",", ":")) for event in events]
    (folder / "events.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder / "events.jsonl"


def table_of(source: Source) -> pa.Table:
    table = as_events(source).table
    assert table is not None
    return table.combine_chunks()


def in_order(events: pa.Table) -> pa.Table:
    return events.sort_by([("effective_at", "ascending"), ("id", "ascending"), ("raw", "ascending")])


# What every report promises.


@every_report
def test_no_events_give_exactly_the_declared_columns(report: Report[Any]) -> None:
    answer = report.arrow(NOTHING)

    assert answer.num_rows == 0
    assert answer.schema.equals(report.schema, check_metadata=True)
    assert answer.column_names == [column.name for column in report.columns]


@every_report
def test_no_events_give_a_dataframe_with_the_declared_columns(report: Report[Any]) -> None:
    frame = report(NOTHING)

    assert list(frame.columns) == [column.name for column in report.columns]


@every_report
def test_every_column_has_a_doc_that_is_a_sentence(report: Report[Any]) -> None:
    wrong = [column.name for column in report.columns if not column.doc.endswith(".")]

    assert wrong == []


@every_report
def test_exactly_the_numbers_have_a_unit(report: Report[Any]) -> None:
    numbers = {column.name for column in report.columns if column.kind in {"integer", "number"}}

    assert {column.name for column in report.columns if column.unit} == numbers


@every_report
def test_the_metadata_of_a_field_holds_doc_and_unit(report: Report[Any]) -> None:
    for column, field in zip(report.columns, report.schema, strict=True):
        expected = {b"doc": column.doc.encode(), **({b"unit": column.unit.encode()} if column.unit else {})}

        assert field.metadata == expected


@every_report
def test_the_docstring_is_a_question_and_how_to_read_the_answer(report: Report[Any]) -> None:
    assert report.question.endswith("?")
    assert report.doc.startswith("One row ")
    assert "Args:" not in report.doc
    assert report.__doc__ is not None
    assert report.__doc__.startswith(report.question)


@every_report
def test_every_parameter_has_a_default_a_doc_and_only_a_name(report: Report[Any]) -> None:
    for parameter in inspect.signature(report.body).parameters.values():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY

    for stated in report.parameters:
        assert stated.doc.endswith(".")
        assert stated.accepts(stated.default)


@every_report
def test_a_report_names_controls_that_there_are(report: Report[Any]) -> None:
    assert report.controls
    assert [control for control in report.controls if control not in controls()] == []


@every_report
def test_a_plot_names_declared_columns(report: Report[Any]) -> None:
    match report.plot:
        case Bars(label, value, flag):
            named = {*label, value, *([flag] if flag else [])}
        case DailyBars(day, value):
            named = {day, value}
        case Spans(label, start, end, marks, _):
            named = {*label, start, end, *(column for column, _ in marks)}
        case Points(at, label):
            named = {at, label}
        case Heatmap(row, column, value):
            named = {row, column, value}
        case DailyBand(day, value, expected, limit):
            named = {day, value, expected, limit}
        case Marks(start, end, colour, beside):
            named = {start, end, colour}
            assert REGISTRY[beside].plot is not None
        case None:
            named = set()

    assert named <= {column.name for column in report.columns}


@every_report
def test_the_body_is_one_sql_literal(report: Report[Any]) -> None:
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(report.body))).body
    assert isinstance(function, ast.FunctionDef)
    docstring, answer = function.body

    assert isinstance(docstring, ast.Expr)
    assert isinstance(answer, ast.Return)
    assert isinstance(answer.value, ast.Constant)


@every_report
def test_every_parameter_is_bound_and_nothing_else(report: Report[Any]) -> None:
    asked = [each.sql or "" for relation in report.relations for each in (*relation.needs, relation)]
    bound = set(re.findall(r"\$(\w+)", "\n".join([report.sql(), *asked])))
    taken = {name for relation in report.relations for name in relation.parameters}

    assert bound | taken == {parameter.name for parameter in report.parameters}


@every_report
def test_the_sql_orders_its_rows(report: Report[Any]) -> None:
    assert "ORDER BY" in report.sql().splitlines()[-1]


@every_report
def test_all_sql_is_portable_and_does_not_branch_on_type_names(report: Report[Any]) -> None:
    shared = [each.sql for relation in report.relations for each in (*relation.needs, relation) if each.sql]
    for sql in (report.sql(), *shared):
        assert refused_in(sql) == []
        assert re.findall(r"\btype\s*(?:=|IN\s*\()\s*'", sql) == []


@pytest.mark.parametrize(
    ("sql", "construct"),
    [
        ("SELECT id FROM events QUALIFY row_number() OVER (ORDER BY id) = 1", "qualify"),
        ("SELECT DISTINCT ON (type) id FROM events", "distinct on"),
        ("SELECT unnest(detail_data_scopes) FROM events", "unnest beside CROSS JOIN"),
        ("SELECT s FROM events LEFT JOIN unnest(detail_data_scopes) AS u(s) ON true", "unnest beside CROSS JOIN"),
        ("SELECT date_diff('hour', first_at, last_at) FROM events", "date_diff"),
        ("SELECT extract(isodow FROM effective_at) FROM events", "day of week"),
        ("SELECT median(x) FROM events", "medians and quantiles"),
        ("SELECT len(detail_data_scopes) FROM events", "len"),
        ("SELECT * EXCLUDE (raw) FROM events", "columns, exclude, replace"),
        ("SELECT now() FROM events", "the clock"),
        ("SELECT current_date FROM events", "the clock"),
        ("SELECT * FROM events ASOF JOIN catalogue USING (type)", "asof join"),
        ("SELECT id FROM events UNION BY NAME SELECT id FROM events", "union by name"),
        ("SELECT COLUMNS('a.*') FROM events", "columns, exclude, replace"),
        ("SELECT * REPLACE (1 AS id) FROM events", "columns, exclude, replace"),
        ("SELECT dayname(effective_at) FROM events", "day of week"),
        ("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM events", "medians and quantiles"),
        ("SELECT s FROM range(3) AS r(s)", "table functions"),
        ("SELECT log(x) FROM events", "log"),
        ("SELECT id FROM events TABLESAMPLE 3 ROWS", "random"),
    ],
)
def test_the_linter_refuses_what_is_not_portable(sql: str, construct: str) -> None:
    (found,) = refused_in(sql)

    assert found.startswith(f"{construct}: ")


def test_the_linter_reads_no_text_in_quotes() -> None:
    assert refused_in("SELECT 'median(x)' AS said FROM events CROSS JOIN unnest(ids) AS u(id)") == []


# The registry.


def test_every_theme_is_in_the_registry() -> None:
    modules = {module.name for module in pkgutil.iter_modules(reports.__path__)}

    assert {report.theme for report in REGISTRY.values()} == {name for name in modules if not name.startswith("_")}


def test_every_report_has_cases_and_every_case_file_a_report() -> None:
    assert sorted(path.stem for path in CASES.glob("*.json")) == sorted(REGISTRY)


@every_report
def test_a_report_is_found_under_its_name(report: Report[Any]) -> None:
    assert reports.get(report.name) is report
    assert getattr(reports, report.name) is report


def test_an_unknown_report_is_named_with_its_neighbour() -> None:
    with pytest.raises(UnknownReportError, match="Did you mean 'login_failures'") as caught:
        reports.get("login_failure")

    assert caught.value.report == "login_failure"


# The answers.


@every_plain_case
def test_a_table_gives_the_answer_worked_out_by_hand_in_whatever_order_events_arrive(asked: Asked) -> None:
    answer = asked.report.arrow(flat(shuffled_events(asked, seed=0)).events, **asked.parameters)

    assert rows_of(answer) == asked.case["expected"]


@every_tenant_case
def test_half_a_surrogate_pair_in_payloads_of_the_tenant_hides_nothing_else_that_they_say(asked: Asked) -> None:
    answer = asked.report.arrow(flat(torn_events(asked.case)).events, **asked.parameters)

    assert rows_of(answer) == asked.case["expected"]


@every_plain_case
def test_a_dataframe_is_the_same_source(asked: Asked) -> None:
    """A report sees its source as `Events` alone: equal ones give the same answer."""
    events = flat(shuffled_events(asked, seed=1))

    assert table_of(events.to_pandas()) == table_of(events.events)


@every_case
@pytest.mark.filterwarnings("ignore:Nobody has read")  # cases of coverage have gaps
def test_a_lake_gives_the_same_answer(asked: Asked) -> None:
    assert rows_of(asked.answer) == asked.case["expected"]


@every_case
@pytest.mark.filterwarnings("ignore:Nobody has read")  # cases of coverage have gaps
def test_the_path_of_a_lake_is_the_same_source(asked: Asked) -> None:
    assert as_events(str(asked.lake.path)) == as_events(asked.lake)


@every_windowed_case
def test_a_window_of_a_lake_gives_the_same_answer(asked: Asked) -> None:
    answer = asked.report.arrow(asked.lake.window("2000-01-01", "2100-01-01"), **asked.parameters)

    assert rows_of(answer) == asked.case["expected"]


@every_plain_case
def test_files_are_the_same_source_but_for_what_they_do_not_tell(asked: Asked, tmp_path: Path) -> None:
    events = events_of(asked.case)
    told = table_of(file_of(events, tmp_path)).drop(STAMPS)

    assert in_order(told) == in_order(table_of(flat(events).events).drop(STAMPS))


@every_stamped_case
def test_files_give_the_same_answer(asked: Asked, tmp_path: Path) -> None:
    answer = asked.report.arrow(file_of(events_of(asked.case), tmp_path), **asked.parameters)

    assert rows_of(answer) == asked.case["expected"]


def test_parquet_files_give_the_same_answer(tmp_path: Path) -> None:
    (case, *_), report = cases_of("login_failures"), reports.login_failures
    pq.write_table(flat(case["events"]).events, tmp_path / "events.parquet")

    for source in (tmp_path / "events.parquet", str(tmp_path / "*.parquet")):
        assert rows_of(report.arrow(source)) == case["expected"]


# What every check promises.


@every_check
def test_the_answer_of_a_check_begins_with_what_every_finding_has(check: Report[Any]) -> None:
    assert check.columns[: len(FINDING_COLUMNS)] == FINDING_COLUMNS


@every_check
def test_a_check_has_a_case_with_a_finding_and_one_without(check: Report[Any]) -> None:
    found = {bool(case["expected"]) for case in cases_of(check.name)}

    assert found == {True, False}


@every_case_of_a_check
def test_a_finding_has_an_id_of_its_own_a_severity_events_and_a_sentence(asked: Asked) -> None:
    answer, highest = asked.answer.to_pylist(), SEVERITIES.index(asked.report.severity or "info")

    assert len({row["finding"] for row in answer}) == len(answer)
    assert all(row["finding"].startswith(f"{asked.report.name}:") for row in answer)
    assert all(SEVERITIES.index(row["severity"]) <= highest for row in answer)
    assert all(row["event_ids"] and row["why"].endswith(".") and row["effective_at"] for row in answer)


@every_case
@pytest.mark.filterwarnings("ignore:Nobody has read")  # cases of coverage have gaps
def test_event_ids_are_ids_of_events(asked: Asked) -> None:
    known = {event["id"] for event in events_of(asked.case)}

    for row in asked.answer.to_pylist():
        named = {value for name, value in row.items() if name == "event_id" or name.endswith("_event_id")}
        assert {*row.get("event_ids", ()), *named} - {None} <= known


@every_report
def test_a_text_that_the_engine_refuses_stops_no_report(report: Report[Any]) -> None:
    lone = "\ud800"  # half a character: JSON may hold it, and no engine takes it for text
    events = [
        {"id": f"e{number}", "type": type_, "effective_at": 1_767_225_600 + number, type_: {"id": "x", "name": lone}}
        for number, type_ in enumerate(catalogue())
    ]

    assert report.arrow(flat(events).events).schema == report.schema


def test_days_and_instants_arrive_in_pandas_as_times() -> None:
    case = cases_of("events_per_day")[0]
    frame = reports.events_per_day(flat(case["events"]).events)
    actors = reports.events_per_actor(flat(case["events"]).events)

    assert frame["day"].dt.day.to_list() == [1, 2, 3, 4]
    assert str(actors["first_at"].dt.tz) == "UTC"


def test_a_window_is_half_open() -> None:
    events = Events(table=flat(cases_of("events_per_day")[0]["events"]).events)
    answer = reports.events_per_day.arrow(events.window("2026-01-01T23:59:59Z", "2026-01-04T00:00:01Z"))

    assert [row["events"] for row in answer.to_pylist()] == [1, 0, 0, 1]


# What is refused.


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"min_failure": 2}, "no parameter 'min_failure'. Did you mean 'min_failures'"),
        ({"min_failures": "2"}, "min_failures of login_failures must be a whole number, not str"),
        ({"min_failures": True}, "min_failures of login_failures must be a whole number, not bool"),
        ({"min_failures": None}, "min_failures of login_failures must be a whole number, not NoneType"),
    ],
)
def test_a_parameter_that_is_unknown_or_of_another_type_is_named(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message) as caught:
        reports.login_failures(NOTHING, **parameters)

    assert caught.value.report == "login_failures"


def test_a_parameter_that_may_be_none_says_so() -> None:
    with pytest.raises(ParameterError, match="resource_id of resource_history must be text or None, not int"):
        reports.resource_history(NOTHING, resource_id=7)  # type: ignore[arg-type]


def test_a_report_without_parameters_says_so() -> None:
    with pytest.raises(ParameterError, match="It takes none"):
        reports.events_per_day(NOTHING, days=3)  # type: ignore[call-arg]


def test_parameters_go_by_name_alone() -> None:
    with pytest.raises(ParameterError, match=r"by name alone \(min_failures\)"):
        reports.login_failures(NOTHING, 3)  # type: ignore[call-arg]


def test_a_value_is_never_read_as_sql() -> None:
    events = flat([{"id": "e1", "type": "user.added", "effective_at": 1767225600, "user.added": {"id": "x"}}]).events
    answer = reports.resource_history.arrow(events, resource_id="x' OR '1'='1")

    assert answer.num_rows == 0


def test_a_frame_without_a_column_that_is_read_is_refused_by_its_name() -> None:
    frame = NOTHING.to_pandas().drop(columns=["ip_address"])

    with pytest.raises(ReportError, match="reads the column ip_address, which the source lacks") as caught:
        reports.login_failures(frame)
    assert caught.value.report == "login_failures"


def test_a_frame_without_a_column_that_is_not_read_is_as_good() -> None:
    case = cases_of("events_per_day")[0]
    frame = flat(case["events"]).to_pandas().drop(columns=["raw", "ja3"])

    assert rows_of(reports.events_per_day.arrow(frame)) == case["expected"]


def test_columns_that_are_no_events_are_ignored() -> None:
    case = cases_of("events_per_day")[0]
    frame = flat(case["events"]).to_pandas().assign(note="mine")

    assert rows_of(reports.events_per_day.arrow(frame)) == case["expected"]


def _naive(frame: Any) -> Any:
    return frame.assign(effective_at=frame["effective_at"].dt.tz_localize(None))


def _numbered(frame: Any) -> Any:
    return frame.assign(actor_email=7)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(_naive, "column effective_at .* have no zone"), (_numbered, "column actor_email must hold string")],
)
def test_a_column_of_another_kind_is_refused_by_its_name(spoil: Callable[[Any], Any], message: str) -> None:
    frame = flat(cases_of("events_per_day")[0]["events"]).to_pandas()

    with pytest.raises(ReportError, match=message):
        reports.events_per_actor(spoil(frame))


def test_a_source_that_holds_no_events_is_refused() -> None:
    with pytest.raises(ReportError, match="no column of events"):
        reports.events_per_day(pa.table({"x": [1]}))
    with pytest.raises(ReportError, match="cannot be asked of a int"):
        reports.events_per_day(3)  # type: ignore[arg-type]


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(LakeNotFoundError, match="no lake"):
        reports.events_per_day(tmp_path)
    with pytest.raises(FileError, match=r"none\.parquet"):
        reports.events_per_day(tmp_path / "none.parquet")


# Writing a report.


def test_a_decorated_function_is_a_report() -> None:
    @reports.report(
        columns=(ReportColumn("share", "number", "Share of events that name an actor.", "1"),),
        plot=Bars(label=("share",), value="share"),
        finish=lambda answer, _: answer.select(["share"]),
    )
    def named_share(*, least: float = 0.0, only: str | None = None) -> str:
        """How many events say who caused them?

        One row.

        Args:
            least: Leave the row out
                when the share is smaller [1].
            only: Only this type; None for all.
        """
        return """
            SELECT CAST(count(actor_id) AS DOUBLE) / count(*) AS share, 1 AS extra FROM events
            WHERE CAST($only AS VARCHAR) IS NULL OR type = $only
            HAVING CAST(count(actor_id) AS DOUBLE) / count(*) >= $least
            ORDER BY share
        """

    events = flat(cases_of("events_per_actor")[0]["events"]).events
    docs: Mapping[str, str] = {parameter.name: parameter.doc for parameter in named_share.parameters}

    assert named_share.arrow(events, least=0).to_pylist() == [{"share": 4 / 6}]
    assert docs == {
        "least": "Leave the row out when the share is smaller [1].",
        "only": "Only this type; None for all.",
    }
    assert str(inspect.signature(named_share)).startswith("(source, /, *, least: ")
    assert repr(named_share) == "<report named_share: How many events say who caused them?>"


NUMBERS = [
    (report, parameter)
    for report in REGISTRY.values()
    for parameter in report.parameters
    if {int, float} & set(parameter.types)
]
every_number = pytest.mark.parametrize(
    ("report", "parameter"), NUMBERS, ids=[f"{report.name}-{parameter.name}" for report, parameter in NUMBERS]
)


@every_number
def test_a_number_that_no_question_could_mean_is_refused(report: Report[Any], parameter: Parameter) -> None:
    nothing = arrow_schema().empty_table()
    for value in (-1, 2**62, *([float("nan"), float("inf")] if float in parameter.types else [])):
        with pytest.raises(ParameterError, match=f"{parameter.name} of {report.name}: it must be from 0 to "):
            report.arrow(nothing, **{parameter.name: value})


@every_number
def test_the_least_and_the_greatest_number_have_an_answer(report: Report[Any], parameter: Parameter) -> None:
    events = flatten_events(sample(seed=3, events=300, days=2, end="2026-11-01").events).events
    least, most = _parameters.bounds_of(parameter.name)

    for value in (least, most):
        assert report.arrow(events, **{parameter.name: value}).schema == report.schema


@pytest.mark.parametrize("share", [1.0001, 5, -0.1])
def test_a_share_lies_between_none_and_all(share: float) -> None:
    with pytest.raises(ParameterError, match="max_share of off_hours_activity: it must be from 0 to 1, not"):
        reports.off_hours_activity.arrow(arrow_schema().empty_table(), max_share=share)


# What no payload can do.

HOSTILE: tuple[Any, ...] = (
    None,
    "",
    "\x00",
    "\ud800",
    "9" * 5000,
    "::/0",
    "fe80::1%eth0/64",
    "in part x",
    -1e308,
    1e308,
    2**64,
    True,
    [],
    [None],
    [None, "192.0.2.1", None, "", "192.0.2.0/" + "9" * 5000],
    ["\ud800"],
    [{"id": None}, {"id": "a"}, {"name": "b"}, None, 1],
    {"": {"\ud800": ["\udfff"]}, "\x00": None},
    json.loads('{"a":' * 40 + "[" * 40 + "]" * 40 + "}" * 40),
)
"""What a payload may hold where something else is documented; a lone half of a surrogate pair is legal JSON."""


def hostile_events(*, type_: str, arrival: int) -> Iterator[dict[str, Any]]:
    """Put every hostile value where a column reads from, under a type; other ones with every arrival."""
    paths = [steps[1:] for column in COLUMNS for steps in column.steps if steps[0] in ("*", type_)]
    for number, value in enumerate(HOSTILE):
        for path in [(), ("\ud800", str(arrival)), *paths]:
            detail: Any = [value, arrival] if arrival and not path else value
            for key in reversed(path):
                detail = {key: detail}
            id_ = f"{type_} {number} {'/'.join(path)!a}"
            yield {"id": id_, "type": type_, "effective_at": 1767225600 + number, type_: detail}


@pytest.fixture(scope="module")
def hostile_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    types = ("ip_allowlist.updated", "certificates.activated", "login.failed", "new.thing")
    return lake_of(
        {
            "arrivals": [
                {
                    "seen_at": f"2026-02-0{arrival + 1}T00:00:00Z",
                    "events": [event for type_ in types for event in hostile_events(type_=type_, arrival=arrival)],
                }
                for arrival in range(2)
            ]
        },
        tmp_path_factory.mktemp("hostile") / "lake",
    )


@every_report
def test_whatever_a_payload_holds_a_report_answers(report: Report[Any], hostile_lake: Lake) -> None:
    assert report.arrow(hostile_lake).schema.names == [column.name for column in report.columns]
