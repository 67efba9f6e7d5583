"""Relations: the tables beside ``events`` and ``catalogue`` that some reports name."""

from __future__ import annotations

import csv
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pc

from auditframe.catalogue import SCOPES
from auditframe.coverage import spans
from auditframe.errors import AuditFrameWarning, FileError, ParameterError, WindowError
from auditframe.lake import QUARANTINE_TYPES, Lake
from auditframe.reports._fragments import spelled_out
from auditframe.window import ALWAYS, Window, difference, intersection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from auditframe.lake import Events

_INSTANT = pa.timestamp("us", tz="UTC")
_LIMITS = ("actor", "resource_id", "starts_at", "ends_at")
_NOT_JUDGED = "No approved changes were given, so nothing was judged. Name a file of them with the parameter approved."


@dataclass(frozen=True, slots=True)
class Relation:
    """A table that a report's SQL names beside ``events`` and ``catalogue``.

    Attributes:
        name: Its name in SQL.
        columns: Its columns and their Arrow types.
        doc: What a row of it is, as a sentence.
        read: What makes it, from the events that the report is asked of and the values of its parameters; None when
            it is an answer.
        parameters: The parameters that it takes and the SQL does not.
        sql: The question about the same events whose answer it is, its fragments spelled out; None when it comes from
            elsewhere.
        needs: The relations that this question names in turn.
    """

    name: str
    columns: Mapping[str, pa.DataType]
    doc: str
    read: Callable[[Events, Mapping[str, Any]], pa.Table] | None = None
    parameters: tuple[str, ...] = ()
    sql: str | None = None
    needs: tuple[Relation, ...] = ()

    def __post_init__(self) -> None:
        """Spell out the fragments that the question names."""
        if self.sql:
            object.__setattr__(self, "sql", spelled_out(self.sql))


def _read_coverage(events: Events, _: Mapping[str, Any]) -> pa.Table:
    rows = [row for scope in SCOPES for row in _spans_of(_lake_of(events), scope, events.span)]
    return pa.Table.from_pylist(rows, schema=pa.schema(list(COVERAGE.columns.items())))


def _spans_of(lake: Lake | None, scope: str, asked: Window) -> Iterator[dict[str, Any]]:
    """Yield what was read whole of a scope inside a window, and the gaps that this leaves in it."""
    read = next(span for span in spans(lake.ledger() if lake else ()) if span.scope == scope)
    covered = list(_clipped(read.covered, asked))
    first, last = (covered[0].start, covered[-1].end) if covered else (asked.end, asked.end)
    bounds = asked if asked != ALWAYS else Window(first, last)
    gaps = difference([bounds], covered) if covered or asked != ALWAYS else ()
    for kind, windows in (("covered", covered), ("gap", gaps)):
        for window in windows:
            yield {"scope": scope, "kind": kind, "starts_at": window.start, "ends_at": window.end}


def _clipped(windows: Iterable[Window], asked: Window) -> Iterator[Window]:
    for window in windows:
        try:
            yield intersection(window, asked)
        except WindowError:
            continue  # it lies outside


def _read_quarantine(events: Events, _: Mapping[str, Any]) -> pa.Table:
    lake, schema = _lake_of(events), pa.schema(list(QUARANTINE.columns.items()))
    return pa.Table.from_pandas(lake.quarantine(), schema=schema) if lake else schema.empty_table()


def _read_approvals(events: Events, values: Mapping[str, Any]) -> pa.Table:
    schema = pa.schema(list(APPROVALS.columns.items()))
    if values["approved"] is None:
        if events.kept is None:  # else it is one check of many, asked with its defaults
            warnings.warn(AuditFrameWarning(_NOT_JUDGED), stacklevel=4)
        return schema.empty_table()
    path = Path(values["approved"])
    try:
        # Only an empty field is null: an actor or a resource may well be called NA or null.
        options = pc.ConvertOptions(column_types=schema, null_values=[""], strings_can_be_null=True)
        table = pc.read_csv(path, convert_options=options).select(schema.names).cast(schema)
        _check_approvals(table, path)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}.", path=path) from error
    except (pa.ArrowException, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ParameterError(
            f"{path} is no list of approved changes: {reason} It is a CSV file with the columns "
            f"{', '.join(schema.names)}; times have a zone, and an empty field matches everything, but not all of them "
            "may be empty.",
            report=None,
        ) from error
    return table


def _check_approvals(approvals: pa.Table, path: Path) -> None:
    for row in approvals.to_pylist():
        if row["starts_at"] and row["ends_at"] and row["ends_at"] <= row["starts_at"]:
            raise ValueError(f"{row['change']} ends before it starts.")
        if not any(row[name] for name in _LIMITS):
            raise ValueError(
                f"line {_line_without_limits(path)} ({row['change'] or 'without a name'}) names neither actor, "
                "resource_id nor times and would approve everything; fill in one of them, or remove the line. To "
                "approve everything for a while, give starts_at and ends_at."
            )


def _line_without_limits(path: Path) -> int:
    """Return the number of the first line of a file of approvals that approves everything."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        return next(rows.line_num for row in rows if row and not any(row[name] for name in _LIMITS))


def _lake_of(events: Events) -> Lake | None:
    return Lake(events.lake) if events.lake else None


COVERAGE = Relation(
    "coverage",
    {"scope": pa.string(), "kind": pa.string(), "starts_at": _INSTANT, "ends_at": _INSTANT},
    "A window that the ledger proves was read whole (covered), or one that nobody has read whole (gap).",
    _read_coverage,
)
QUARANTINE = Relation(
    "quarantine",
    QUARANTINE_TYPES,
    "What arrived and could not be placed, and other payloads of known events; empty where the source is no lake.",
    _read_quarantine,
)
APPROVALS = Relation(
    "approvals",
    {
        "change": pa.string(),
        "actor": pa.string(),
        "resource_id": pa.string(),
        "starts_at": _INSTANT,
        "ends_at": _INSTANT,
    },
    "A change that somebody approved: its name in the change system, who may do it, to what, and when.",
    _read_approvals,
    parameters=("approved",),
)
