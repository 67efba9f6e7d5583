from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import traceback
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auditframe.errors import ParameterError, ReportError
from auditframe.flatten import flatten_events
from auditframe.lake import Lake
from auditframe.lake import events as lake_events
from auditframe.lake.engine import MEMORY_LIMIT
from auditframe.lake.parquet import read_partition
from auditframe.reports import REGISTRY, _base, backtest, events_per_actor, password_spray, privileged_grants
from benchmarks._scans import scanned_columns
from tests.small_disk import missing, small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditframe.lake import Events
    from auditframe.lake.engine import Question
    from auditframe.reports import Report
    from auditframe.sample import Sample

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
ONE_BY_ONE = [report for report in REGISTRY.values() if report.name != "findings"]
SORTED_ALL = "SELECT id, raw FROM events ORDER BY raw DESC"


def lake_of(folder: Path, *, days: int, events_per_day: int = 1) -> Lake:
    lake = Lake(folder)
    events: list[dict[str, Any]] = [
        {
            "id": f"e{day:02}-{number}",
            "type": "role.created",
            "effective_at": int((FIRST + timedelta(days=day, seconds=number)).timestamp()),
            "role.created": {"id": f"role-{day}-{number}", "role_name": "x" * 400},
        }
        for day in range(days)
        for number in range(events_per_day)
    ]
    lake.append(flatten_events(events, scope="organization", seen_at=FIRST + timedelta(days=days)))
    return lake


@pytest.fixture(scope="module")
def lake_of_days(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return lake_of(tmp_path_factory.mktemp("days"), days=3)


@pytest.fixture(scope="module")
def lake_of_sample(organization: Sample, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("sample"))
    lake.append(flatten_events(organization.events, scope="organization", seen_at=FIRST + timedelta(days=365)))
    return lake


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which temporary folders are made."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_window_has_only_the_partitions_that_it_touches(tmp_path: Path) -> None:
    window = lake_of(tmp_path / "lake", days=20).window("2026-01-05T12:00:00Z", "2026-01-08")

    assert [file.parent.name for file in window.files] == ["date=2026-01-05", "date=2026-01-06", "date=2026-01-07"]


@pytest.mark.parametrize("report", REGISTRY.values(), ids=REGISTRY)
def test_a_report_of_a_window_opens_no_other_partition(report: Report[Any], tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", days=4)
    for day in ("2026-01-01", "2026-01-04"):
        (tmp_path / "lake" / "events" / f"date={day}" / "events.parquet").write_bytes(b"no Parquet")

    assert report.arrow(lake.window("2026-01-02", "2026-01-04")).schema == report.schema


@pytest.mark.parametrize("report", ONE_BY_ONE, ids=lambda report: report.name)
@pytest.mark.filterwarnings("ignore:No approved changes")
def test_a_report_reads_no_column_from_the_files_that_its_sql_does_not_name(
    report: Report[Any], lake_of_sample: Lake
) -> None:
    assert scanned_columns(report, lake_of_sample.events) <= set(report.reads)


def test_what_a_report_reads_is_what_it_names_but_for_what_other_tables_have(lake_of_sample: Lake) -> None:
    assert scanned_columns(events_per_actor, lake_of_sample.events) == set(events_per_actor.reads)
    assert scanned_columns(password_spray, lake_of_sample.events) == set(password_spray.reads)


def test_what_memory_cannot_hold_goes_to_a_folder_that_is_removed(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = lake_of(tmp_path / "lake", days=3, events_per_day=30_000)
    whole = lake.arrow(SORTED_ALL)
    monkeypatch.setenv(MEMORY_LIMIT, "64MB")
    answer = lake.arrow(SORTED_ALL)

    assert whole.nbytes > 40_000_000
    assert answer.equals(whole)
    assert list(scratch.iterdir()) == []


def test_memory_that_does_not_suffice_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = lake_of(tmp_path / "lake", days=1, events_per_day=2_000)
    monkeypatch.setenv(MEMORY_LIMIT, "1MB")

    with pytest.raises(ReportError, match="Raise AUDITFRAME_MEMORY_LIMIT, or ask for a shorter window"):
        lake.arrow(SORTED_ALL)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("CAST(raw AS INT)", "Conversion Error, LINE 1: SELECT CAST(raw AS INT) FROM events."),
        ("raw::TIMESTAMP", "Conversion Error, LINE 1: SELECT raw::TIMESTAMP FROM events."),
        ("effective_at AT TIME ZONE raw", "Not implemented Error."),
        ("date_part(raw, effective_at)", "Conversion Error."),
        ("error(raw)", "Invalid Input Error."),
        ("error('no' || chr(10) || 'LINE 1: ' || raw)", "Invalid Input Error."),
        ("json_extract('{}', '$[' || raw)", "Invalid Input Error."),
        ("list_transform([1], lambda x: error(raw))", "Invalid Input Error."),
        ("regexp_matches('a', raw || '(')", "Invalid Input Error."),
        ("strptime(raw, '%d')", "Invalid Input Error."),
        ("(SELECT error(raw) FROM events)", "Invalid Input Error."),
    ],
)
def test_no_text_of_an_event_stands_in_a_refusal(sql: str, told: str, lake_of_days: Lake) -> None:
    with pytest.raises(ReportError) as caught:
        lake_of_days.arrow(f"SELECT {sql} FROM events")  # noqa: S608 - what fails is what is tested
    shown = "".join(traceback.format_exception(caught.value))

    assert "role-" not in shown
    assert "xxx" not in shown
    assert told in str(caught.value)
    assert "TRY_CAST" in str(caught.value)


def test_no_text_of_an_event_stands_in_the_refusal_of_what_is_asked_first(lake_of_days: Lake) -> None:
    with pytest.raises(ReportError) as caught:
        lake_of_days.events.arrow("SELECT * FROM before", first={"before": ("SELECT error(raw) AS e FROM events", {})})

    assert "role-" not in "".join(traceback.format_exception(caught.value))


def test_what_is_wrong_with_the_sql_alone_is_told_in_the_words_of_the_engine(lake_of_days: Lake) -> None:
    for sql, told in (
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT typ FROM events", 'Referenced column "typ" not found'),
        ("SELECT nextval(raw) FROM events", "must be a constant expression"),
        ("SELECT (SELECT id FROM events)", "More than one row returned by a subquery used as an expression"),
    ):
        with pytest.raises(ReportError, match=f"The engine refuses this SQL.*{told}"):
            lake_of_days.arrow(sql)


def test_a_slip_in_the_sql_reads_no_file_to_its_end(lake_of_days: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def read_and_note(file: Path, *, path: Path) -> pa.Table:
        read.append(path)
        return read_partition(file, path=path)

    monkeypatch.setattr(lake_events, "read_partition", read_and_note)
    with pytest.raises(ParameterError, match="Referenced column"):
        lake_of_days.arrow("SELECT typ FROM events")

    assert len(lake_of_days.partitions()) > 1
    assert read == [*lake_of_days.partitions().values()][:1]


@pytest.mark.parametrize("mistake", [duckdb.InternalException, duckdb.FatalException])
def test_a_mistake_of_the_engine_is_not_blamed_on_the_sql(
    mistake: type[duckdb.Error], lake_of_days: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise mistake("INTERNAL Error: role-1 changed identity")

    monkeypatch.setattr(duckdb.DuckDBPyConnection, "sql", fail)
    with pytest.raises(ReportError, match="by a mistake of its own") as caught:
        lake_of_days.arrow("SELECT 1")

    assert not isinstance(caught.value, ParameterError)
    assert "role-1" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.skipif(missing() is not None, reason=missing() or "")
def test_where_the_disk_does_not_suffice_either_there_is_more_memory(tmp_path: Path, scratch: Path) -> None:
    lake = lake_of(tmp_path / "lake", days=3, events_per_day=30_000)

    with small_disk(scratch):
        assert lake.events.arrow(SORTED_ALL, thread_mb=32).equals(lake.arrow(SORTED_ALL))


SHORT = [report for report in ONE_BY_ONE if not report.is_roomy]
MEMORY = "SELECT current_setting('memory_limit') AS memory, current_setting('threads') AS threads FROM events LIMIT 1"


@pytest.mark.parametrize("limit", ["", "300MB"])
def test_a_question_makes_do_with_little_unless_told_otherwise(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MEMORY_LIMIT, limit)
    events = lake_of(tmp_path / "lake", days=1).events
    (row,) = events.arrow(MEMORY, thread_mb=100).to_pylist()

    assert row["memory"] == f"{(300 if limit else 100 * row['threads']) * 1e6 / 2**20:.1f} MiB"


ON_STDOUT = """
import duckdb
from auditframe.lake import Events

ASKED = "SELECT current_setting('enable_progress_bar') AS shown"
print(Events().sql(ASKED)["shown"][0], *duckdb.sql(ASKED).fetchall()[0])
"""


def test_no_bar_of_progress_stands_in_stdout_where_python_runs_no_script() -> None:
    command = [sys.executable, "-c", ON_STDOUT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own command

    assert done.stdout == "False True\n"


def test_where_little_memory_does_not_suffice_there_is_more(tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", days=1, events_per_day=2_000)

    assert lake.events.arrow(SORTED_ALL, thread_mb=1).equals(lake.arrow(SORTED_ALL))


LIMIT = "SELECT parse_formatted_bytes(current_setting('memory_limit')) AS bytes FROM events LIMIT 1"


def test_only_the_step_that_needs_it_gets_more_memory(tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", days=1, events_per_day=2_000)
    copies = 10 * (os.cpu_count() or 1)  # each thread brings its megabyte along
    first: dict[str, Question] = {
        "earlier": (LIMIT, {}),
        "draw": ("SELECT random() AS drawn FROM events LIMIT 1", {}),
        "sorted": (
            "SELECT id, row_number() OVER (ORDER BY raw) AS nth FROM events CROSS JOIN range($copies)",
            {"copies": copies},
        ),
        "later": (LIMIT, {}),
    }
    question = """
        SELECT earlier.bytes AS earlier, later.bytes AS later, drawn, (SELECT count(*) FROM sorted) AS n
        FROM earlier, draw, later
    """
    with lake.events.kept_open(thread_mb=1) as events:
        answer, again = (events.arrow(question, first=first, thread_mb=1).to_pylist()[0] for _ in range(2))
        (after,) = events.arrow(LIMIT, thread_mb=1).to_pylist()
    (found,) = lake.arrow(LIMIT).to_pylist()

    assert answer["n"] == 2_000 * copies
    assert answer == again  # what was asked before is not asked again
    assert answer["earlier"] == after["bytes"]
    assert 3 * answer["earlier"] < answer["later"] < found["bytes"]


@pytest.mark.parametrize("report", SHORT, ids=[report.name for report in SHORT])
def test_a_report_answers_alike_with_little_memory(
    report: Report[Any], organization: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = flatten_events(organization.events).events
    whole = report.arrow(source)
    monkeypatch.setattr(_base, "THREAD_MB", 10)  # half of them come to an end with so little

    assert report.arrow(source).equals(whole)


@pytest.mark.parametrize("limit", ["much", "300 people"])
def test_a_limit_that_is_no_amount_of_memory_is_refused(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = lake_of(tmp_path / "lake", days=1)
    monkeypatch.setenv(MEMORY_LIMIT, limit)

    with pytest.raises(ReportError, match="AUDITFRAME_MEMORY_LIMIT must be an amount of memory, such as 300MB"):
        events_per_actor.arrow(lake)


def test_a_query_cannot_change_the_limit_or_look_into_other_folders(tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "lake", days=1)
    (tmp_path / "else.csv").write_text("a\n1\n", encoding="utf-8")

    with pytest.raises(ReportError, match="one SELECT"):
        lake.arrow("SET memory_limit = '1GB'")
    with pytest.raises(ReportError, match="refuses"):
        lake.arrow("SELECT * FROM read_csv($file)", {"file": str(tmp_path / "else.csv")})


def test_a_relation_that_cannot_be_asked_stops_the_report_by_its_name(tmp_path: Path) -> None:
    table = lake_of(tmp_path / "lake", days=1).to_arrow().drop_columns(["detail_permissions"])

    with pytest.raises(ReportError, match="reads the column detail_permissions") as caught:
        privileged_grants.arrow(table)
    assert caught.value.report == "privileged_grants"


OF_T, OF_A = "SELECT x + 1 AS x FROM t", "SELECT x + 10 AS x FROM a"
A = st.sampled_from(["SELECT 1 AS x", OF_T, "SELECT count(*) AS x FROM events"])
B = st.sampled_from([OF_A, "SELECT 3 AS x", "SELECT sum(x) AS x FROM (SELECT x FROM a) AS t"])
QUESTIONS = st.fixed_dictionaries({"a": A}, optional={"b": B, "c": B.map(lambda sql: sql.replace("FROM a", "FROM b"))})
DAYS = st.none() | st.sampled_from(["2026-01-02", "2026-01-03"])


@given(asked=st.lists(st.tuples(QUESTIONS, st.integers(1, 2), DAYS), min_size=1, max_size=6))
@example(asked=[({"a": "SELECT 1 AS x", "b": OF_A}, 1, None), ({"a": "SELECT 2 AS x", "b": OF_A}, 1, None)])
@example(asked=[({"a": OF_T, "b": OF_A}, 1, None), ({"a": OF_T, "b": OF_A}, 2, None)])
@settings(max_examples=20)
def test_an_engine_that_stays_open_answers_as_one_for_each_question(
    asked: list[tuple[dict[str, str], int, str | None]], lake_of_days: Lake
) -> None:
    def answers(events: Events) -> Iterator[Any]:
        for questions, t, start in asked:
            chain = {name: questions[name] for name in ("abc" if "b" in questions else "a") if name in questions}
            yield (
                events.window(start)
                .arrow(
                    f"SELECT x FROM {list(chain)[-1]}",  # noqa: S608 - our own name
                    beside={"t": pa.table({"x": [t]})},
                    first={name: (sql, {}) for name, sql in chain.items()},
                    thread_mb=100,
                )
                .to_pylist()
            )

    with lake_of_days.events.kept_open(thread_mb=100) as kept:
        assert list(answers(kept)) == list(answers(lake_of_days.events))


@pytest.mark.parametrize("few_bytes", [0, 1 << 30])
def test_an_engine_that_stays_open_answers_of_one_state_of_the_lake(
    few_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_events, "_FEW_BYTES", few_bytes)
    count: tuple[str, dict[str, Any]] = ("SELECT count(*) AS n FROM events", {})
    lake = lake_of(tmp_path, days=2)
    with lake.events.kept_open(thread_mb=100) as kept:
        before = kept.arrow("SELECT n FROM counted", first={"counted": count}, thread_mb=100)["n"][0].as_py()
        lake.append(flatten_events([{"id": "new", "type": "login.failed", "effective_at": int(FIRST.timestamp())}]))
        after = kept.arrow("SELECT n FROM counted", first={"counted": count}, thread_mb=100)["n"][0].as_py()

    assert (before, after) == (2, 2 if few_bytes else 3)


@pytest.mark.parametrize("name", ["findings", "backtest"])
def test_many_events_are_answered_for_as_few_are(
    name: str, organization: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(tmp_path)
    lake.append(flatten_events(organization.events))

    def answer() -> Any:
        return (
            REGISTRY["findings"](lake, as_of="2027-01-01")
            if name == "findings"
            else backtest(privileged_grants, lake, days=5)
        )

    few = answer()
    monkeypatch.setattr(lake_events, "_FEW_BYTES", 0)

    assert answer().equals(few)


@pytest.mark.parametrize("few_bytes", [0, 1 << 30])
def test_files_may_lack_a_column_that_no_question_names(
    few_bytes: int, organization: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_events, "_FEW_BYTES", few_bytes)
    whole = flatten_events(organization.events).events
    pq.write_table(whole.drop_columns(["raw", "detail"]), tmp_path / "events.parquet")

    found = backtest(password_spray, tmp_path / "events.parquet", days=3)

    assert found.equals(backtest(password_spray, whole, days=3))


@pytest.mark.parametrize("name", ["w*", "lake[1]", "[prod] lake?", "~lake"])
def test_a_lake_whose_name_looks_like_a_pattern_is_read_and_no_other(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    events = [{"id": f"e{number}", "type": "login.succeeded", "effective_at": number * 86_400} for number in range(3)]
    for path, some in ((name, events[:2]), ("w2", events), ("lake1", events)):
        Lake(path).append(flatten_events(some))

    assert Lake(name).sql("SELECT count(*) AS n FROM events")["n"].to_list() == [2]
    assert REGISTRY["events_per_day"](tmp_path / name)["events"].sum() == 2
