"""Render: an Arrow table as text to read or as bytes to keep.

Text of events stays inert wherever a person or a program would obey it: `to_table`, `to_records` and `to_markdown`
write control characters visibly, and `to_csv` also defuses what a spreadsheet would run as a formula. Whoever needs the
exact text takes JSON or Parquet. Only `to_table` cuts texts and lists, and `to_records` lists for a terminal.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import unicodedata
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from auditframe.errors import ReportError
from auditframe.text import inert

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Format = Literal["table", "records", "csv", "json", "parquet", "md"]

CELL_CHARS = 80
"""How wide a text or a list is in `to_table` before it is cut; ids are never cut, nor is the first item of a list."""

LIST_ITEMS = 3
"""How many items of a list `to_table` shows at most; the rest is counted."""

_GAP = "  "
_INSTANT = pa.timestamp("us", tz="UTC")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORMULA = tuple("=+-@\t\r＝＋－＠")  # noqa: RUF001 - spreadsheets take the full-width signs for the plain ones
_MARKUP = re.compile(r"([\\`|*~$\[\]])|(?<![^\W_])_|_(?![^\W_])|(?<=:)/(?=/)")
_TAGS = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def to_table(answer: pa.Table, *, width: int | None = None) -> str:
    """Align an answer for reading.

    Args:
        answer: The rows.
        width: How wide a line may be [characters]; a column that finds no room is named below instead. None
            shows every column.

    Returns:
        A line of names, a rule, and a line for each row. Nulls are blank, numbers stand right, times are UTC.
    """
    columns = [_aligned(name, column) for name, column in zip(answer.column_names, answer.columns, strict=True)]
    fitting = _fitting([_width(lines[0]) for lines in columns], width)
    lines = [_GAP.join(cells).rstrip() for cells in zip(*(columns[place] for place in fitting), strict=True)]
    left_out = [inert(name) for place, name in enumerate(answer.column_names) if place not in fitting]
    note = [f"(no room for {', '.join(left_out)})"] if left_out else []
    return "".join(f"{line}\n" for line in [*lines, *note])


def to_records(answer: pa.Table, *, width: int | None = None) -> str:
    """Write each row of an answer as a paragraph, a line for each column; nulls are left out, texts are not cut.

    Args:
        answer: The rows.
        width: How wide a line may be [characters], for which a long list shows its first items alone. None shows all.
    """
    show = _whole if width is None else _shown
    wide = max(map(_width, answer.column_names), default=0)
    names = [_left(inert(name), wide) + _GAP for name in answer.column_names]
    columns = ([show(value) for value in _values(column)] for column in answer.columns)
    rows = (zip(names, cells, strict=True) for cells in zip(*columns, strict=True))
    return "\n".join("".join(f"{name}{cell}\n" for name, cell in row if cell) for row in rows)


def to_markdown(answer: pa.Table) -> str:
    """Write an answer as a Markdown table; markup in its text is escaped, and nothing is cut."""
    rules = ["---:" if _is_number(column) else "---" for column in answer.columns]
    cells = [[_escaped(_whole(value)) for value in _values(column)] for column in answer.columns]
    rows = [[_escaped(inert(name)) for name in answer.column_names], rules, *zip(*cells, strict=True)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def to_csv(answer: pa.Table) -> str:
    r"""Write an answer as CSV (RFC 4180): UTF-8, times in ISO 8601, lists as JSON, nulls as empty fields.

    Text is changed where it would be obeyed: control characters are written as ``\x1b``, and a text that begins like a
    formula gets an apostrophe in front.
    """
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\r\n")
    writer.writerow([_field(name) for name in answer.column_names])
    writer.writerows(zip(*([_field(value) for value in _values(column)] for column in answer.columns), strict=True))
    return sink.getvalue()


def to_json(answer: pa.Table) -> str:
    """Write an answer as a JSON array of objects, a row a line, in ASCII; nothing is cut or changed.

    Times are ISO 8601 with a Z; numbers that JSON has no word for are texts.

    Raises:
        ReportError: Two columns have the same name.
    """
    _check_names(answer)
    columns = [[_plain(value) for value in _values(column)] for column in answer.columns]
    rows = (dict(zip(answer.column_names, values, strict=True)) for values in zip(*columns, strict=True))
    return "[" + ",".join(f"\n{json.dumps(row, allow_nan=False)}" for row in rows) + "\n]\n"


def to_parquet(answer: pa.Table) -> bytes:
    """Write an answer as Parquet with the metadata of its columns and page checksums.

    Raises:
        ReportError: Two columns have the same name.
    """
    _check_names(answer)
    sink = io.BytesIO()
    pq.write_table(answer, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()


FORMATS: Mapping[Format, Callable[[pa.Table], str | bytes]] = {
    "table": to_table,
    "records": to_records,
    "csv": to_csv,
    "json": to_json,
    "parquet": to_parquet,
    "md": to_markdown,
}
"""How each format is written."""


def _aligned(name: str, column: pa.ChunkedArray[Any]) -> list[str]:
    """Return the name, the rule and the cells of a column, all equally wide."""
    keeps = name == "id" or name.endswith("_id") or types.is_list(column.type)
    cells = [shown if keeps else _cut(shown) for shown in map(_shown, _values(column))]
    name = inert(name)
    wide = max(map(_width, [name, *cells]))
    pad = _right if _is_number(column) else _left
    return [pad(name, wide), "─" * wide, *(pad(cell, wide) for cell in cells)]


def _fitting(widths: Sequence[int], width: int | None) -> list[int]:
    """Return the places of the columns that a line has room for, the first one always."""
    if width is None:
        return list(range(len(widths)))
    fitting, used = [0], widths[0]
    for place, wide in enumerate(widths[1:], start=1):
        if used + len(_GAP) + wide <= width:
            fitting.append(place)
            used += len(_GAP) + wide
    return fitting


def _values(column: pa.ChunkedArray[Any]) -> list[Any]:
    """Return a column's values; instants by way of numbers, because Arrow would take pandas along to convert them."""
    if column.type != _INSTANT:
        return list(column.to_pylist())
    numbers = column.cast(pa.int64()).to_pylist()
    return [None if number is None else _EPOCH + timedelta(microseconds=number) for number in numbers]


def _shown(value: Any) -> str:
    """Show a value on one line, without anything that a terminal would obey."""
    if isinstance(value, list):
        return _listed([_shown(item) for item in value])
    if isinstance(value, datetime):
        return _iso(value).replace("T", " ")
    plain = _plain(value)
    if isinstance(plain, str):
        return inert(plain)
    return "" if plain is None else json.dumps(plain)


def _whole(value: Any) -> str:
    """Show a value as `_shown` does, with every item of a list."""
    return ", ".join(map(_whole, value)) if isinstance(value, list) else _shown(value)


def _listed(items: list[str]) -> str:
    ends = accumulate(_width(item) + len(", ") for item in items[:LIST_ITEMS])
    many = max(sum(end <= CELL_CHARS for end in ends), 1)
    return ", ".join(items[:many]) + (f" +{len(items) - many} more" if len(items) > many else "")


def _field(value: Any) -> str:
    plain = _plain(value)
    if not isinstance(plain, str):
        return "" if plain is None else json.dumps(plain)
    if isinstance(value, str) and plain.startswith(_FORMULA):
        return "'" + inert(plain)
    return inert(plain)


def _plain(value: Any) -> Any:  # noqa: PLR0911 - one for each kind of value
    """Turn a value of any Arrow type into one that JSON has."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case datetime():
            return _iso(value)
        case date() | time():
            return value.isoformat()
        case Decimal():
            return int(value) if value == value.to_integral_value() else str(value)
        case bytes():
            return value.hex()
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case _:
            return str(value)


def _iso(instant: datetime) -> str:
    if instant.tzinfo is None:
        return instant.isoformat()
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _is_number(column: pa.ChunkedArray[Any]) -> bool:
    kinds = (types.is_integer, types.is_floating, types.is_decimal)
    return any(is_kind(column.type) for is_kind in kinds)


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", text).translate(_TAGS)


def _check_names(answer: pa.Table) -> None:
    doubled = [name for name, count in Counter(answer.column_names).items() if count > 1]
    if doubled:
        raise ReportError(f"Two columns are named {inert(doubled[0])}. Give one another name with AS.", report=None)


def _cut(text: str) -> str:
    if _width(text) <= CELL_CHARS:
        return text
    ends = accumulate(map(_char_width, text))
    return text[: sum(end < CELL_CHARS for end in ends)] + "…"


def _left(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _right(text: str, width: int) -> str:
    return " " * (width - _width(text)) + text


def _width(text: str) -> int:
    return len(text) if text.isascii() else sum(map(_char_width, text))


def _char_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
