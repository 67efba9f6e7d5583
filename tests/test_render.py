from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditframe.cli._output import FORMS
from auditframe.errors import ReportError
from auditframe.render import FORMATS, to_csv, to_json, to_markdown, to_parquet, to_records, to_table

if TYPE_CHECKING:
    from collections.abc import Callable

NINE = datetime(2026, 7, 1, 9, tzinfo=UTC)
INSTANT = pa.timestamp("us", tz="UTC")


def lines(text: str) -> list[str]:
    return text.splitlines()


def records(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_a_table_has_names_a_rule_and_a_line_for_each_row() -> None:
    answer = pa.table({"actor": ["ada@example.com", None], "events": [5, 1200]})

    assert lines(to_table(answer)) == [
        "actor            events",
        "───────────────  ──────",
        "ada@example.com       5",
        "                   1200",
    ]


def test_a_record_has_a_line_for_each_column_that_is_not_null_and_cuts_no_text() -> None:
    answer = pa.table({"why": ["x" * 300, "short"], "actor": [None, "ada@example.com\x1b"], "ids": [["a"], ["b", "c"]]})

    assert to_records(answer) == (
        f"why    {'x' * 300}\nids    a\n\nwhy    short\nactor  ada@example.com\\x1b\nids    b, c\n"
    )


@pytest.mark.parametrize("write", [to_records, to_markdown])
def test_what_a_file_of_text_holds_is_whole(write: Callable[[pa.Table], str]) -> None:
    ids = [f"audit-{number}" for number in range(50)]
    text = write(pa.table({"why": ["x" * 300], "event_ids": [ids], "nested": [[[["a", "b"], ["c", "d"]], []]]}))

    assert "x" * 300 in text
    assert ", ".join(ids) in text
    assert "a, b, c, d" in text


def test_a_record_on_a_terminal_counts_the_rest_of_a_long_list() -> None:
    answer = pa.table({"why": ["x" * 300], "ids": [["a", "b", "c", "d", "e"]]})

    assert to_records(answer, width=80) == f"why  {'x' * 300}\nids  a, b, c +2 more\n"


def test_a_table_without_rows_still_names_its_columns() -> None:
    answer = pa.table({"actor": pa.array([], pa.string())})

    assert lines(to_table(answer)) == ["actor", "─────"]


def test_an_instant_is_shown_in_utc_with_a_z() -> None:
    answer = pa.table({"at": pa.array([NINE], pa.timestamp("us", tz="Europe/Berlin"))})

    assert lines(to_table(answer))[2] == "2026-07-01 09:00:00Z"


def test_wide_letters_keep_the_next_column_in_line() -> None:
    answer = pa.table({"name": ["日本", "ab"], "x": ["1", "2"]})

    assert lines(to_table(answer))[2:] == ["日本  1", "ab    2"]


def test_a_long_text_is_cut_and_an_id_is_not() -> None:
    answer = pa.table({"detail": ["d" * 200], "event_id": ["i" * 200]})

    assert lines(to_table(answer))[2] == "d" * 79 + "…" + "  " + "i" * 200


def test_a_long_list_shows_its_first_items_and_counts_the_rest() -> None:
    answer = pa.table({"ids": [["a", "b", "c", "d", "e"], ["a", "b"], []]})

    assert lines(to_table(answer))[2:] == ["a, b, c +2 more", "a, b", ""]


def test_the_items_of_a_list_are_never_cut() -> None:
    answer = pa.table({"ids": [["a" * 100, "b"]]})

    assert lines(to_table(answer))[2] == "a" * 100 + " +1 more"


def test_columns_without_room_are_named_below_and_narrow_ones_after_them_are_shown() -> None:
    answer = pa.table({"a": ["12345"], "b": ["x" * 30], "c": ["6"]})

    assert lines(to_table(answer, width=12)) == ["a      c", "─────  ─", "12345  6", "(no room for b)"]


def test_the_first_column_is_shown_however_narrow_the_line_is() -> None:
    assert lines(to_table(pa.table({"a": ["12345"]}), width=2))[2] == "12345"


@pytest.mark.parametrize("write", [to_table, to_markdown, to_csv])
def test_text_that_a_terminal_would_obey_is_shown_and_not_sent(write: Callable[[pa.Table], str]) -> None:
    answer = pa.table({"x": ["\x1b[31mred\x07\u202eabc\nd"], "l": [["\x9b2J"]], "\x1b]0;name": [1]})

    text = write(answer)

    assert not any(char in text for char in "\x1b\x07\u202e\x9b")
    assert "x1b" in text


def test_markdown_is_a_table_with_numbers_to_the_right() -> None:
    answer = pa.table({"actor": ["ada"], "events": [5]})

    assert to_markdown(answer) == "| actor | events |\n| --- | ---: |\n| ada | 5 |\n"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", "a\\|b"),
        ("`rm`", "\\`rm\\`"),
        ("<img src=x>", "&lt;img src=x&gt;"),
        ("![x](http://evil)", "!\\[x\\](http:\\//evil)"),
        ("a\\|b", "a\\\\\\|b"),
        ("*_x_*", "\\*\\_x\\_\\*"),
        ("api_key.created", "api_key.created"),
        ("&lt;", "&amp;lt;"),
    ],
)
def test_markup_in_text_is_escaped(text: str, escaped: str) -> None:
    assert lines(to_markdown(pa.table({"x": [text]})))[2] == f"| {escaped} |"


def test_csv_quotes_as_rfc_4180_says() -> None:
    answer = pa.table({"a": ['say "hi", you', None], "n": [1, None]})

    assert to_csv(answer) == 'a,n\r\n"say ""hi"", you",1\r\n,\r\n'


def test_csv_writes_times_as_iso_and_lists_as_json() -> None:
    answer = pa.table({"at": pa.array([NINE], INSTANT), "day": [date(2026, 7, 1)], "l": [["a", "b"]]})

    assert records(to_csv(answer))[1] == ["2026-07-01T09:00:00Z", "2026-07-01", '["a", "b"]']


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1+1"])
def test_csv_defuses_a_text_that_a_spreadsheet_would_run(formula: str) -> None:
    answer = pa.table({"x": [formula], formula: ["y"]})

    assert records(to_csv(answer)) == [["x", "'" + formula], ["'" + formula, "y"]]


def test_csv_defuses_formulas_behind_a_tab_or_a_carriage_return() -> None:
    answer = pa.table({"x": ["\t=1", "\r=1"]})

    assert records(to_csv(answer))[1:] == [["'\\t=1"], ["'\\r=1"]]


def test_csv_leaves_a_negative_number_a_number() -> None:
    assert to_csv(pa.table({"x": [-1, 2]})) == "x\r\n-1\r\n2\r\n"


def test_json_gives_back_the_exact_values() -> None:
    hostile = "=1\x1b\u202e\u2028 | `x`"
    answer = pa.table({"x": [hostile], "l": [["a", None]], "n": [2**53 + 1], "f": [True], "none": [None]})

    assert json.loads(to_json(answer)) == [{"x": hostile, "l": ["a", None], "n": 2**53 + 1, "f": True, "none": None}]


def test_json_is_ascii_and_a_row_a_line() -> None:
    text = to_json(pa.table({"x": ["\x7fé", "b"]}))

    assert text.isascii()
    assert text == '[\n{"x": "\\u007f\\u00e9"},\n{"x": "b"}\n]\n'


def test_json_without_rows_is_an_empty_array() -> None:
    assert json.loads(to_json(pa.table({"x": pa.array([], pa.string())}))) == []


def test_json_has_a_text_for_what_it_has_no_word_for() -> None:
    answer = pa.table(
        {
            "at": pa.array([NINE], INSTANT),
            "nan": [float("nan")],
            "whole": [Decimal(3)],
            "part": [Decimal("1.5")],
            "bytes": [b"\xff"],
            "row": [{"a": NINE}],
        }
    )

    assert json.loads(to_json(answer)) == [
        {
            "at": "2026-07-01T09:00:00Z",
            "nan": "nan",
            "whole": 3,
            "part": "1.5",
            "bytes": "ff",
            "row": {"a": "2026-07-01T09:00:00Z"},
        }
    ]


def test_parquet_keeps_the_metadata_of_the_columns() -> None:
    schema = pa.schema([pa.field("events", pa.int64(), metadata={"unit": "events"})])
    answer = pa.table({"events": [3]}, schema=schema)

    with pq.ParquetFile(io.BytesIO(to_parquet(answer)), pre_buffer=False) as file:
        read = file.read(use_threads=False)

    assert read.to_pylist() == [{"events": 3}]
    assert (read.schema.field("events").metadata or {})[b"unit"] == b"events"


@pytest.mark.parametrize("write", [to_json, to_parquet])
def test_two_columns_of_one_name_are_refused_where_one_would_be_lost(write: Callable[[pa.Table], object]) -> None:
    answer = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["n", "n"])

    with pytest.raises(ReportError, match="Two columns are named n"):
        write(answer)


def test_every_format_can_be_asked_for_by_the_ending_of_a_file() -> None:
    assert set(FORMS) == set(FORMATS)
