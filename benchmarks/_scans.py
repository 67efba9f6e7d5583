"""Which columns of the events the engine reads to answer a report, as its plans say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from unittest import mock

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditframe.lake import Events
    from auditframe.reports import Report

_SCANS = {"READ_PARQUET", "PARQUET_SCAN"}


def scanned_columns(report: Report[Any], events: Events) -> set[str]:
    """Answer a report and return the columns that its plans read from the files."""
    connect, columns = duckdb.connect, set[str]()
    with mock.patch.object(duckdb, "connect", lambda *args, **options: _Observed(connect(*args, **options), columns)):
        report.arrow(events)
    return columns


class _Observed:
    """A connection that asks for the plan of each SELECT before it runs it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, columns: set[str]) -> None:
        self._connection = connection
        self._columns = columns

    def __enter__(self) -> _Observed:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, query: str, params: object = None) -> Any:
        _, made, select = query.partition(" AS ")
        if query.startswith("CREATE TEMP TABLE") and made:
            self._look(select, params)
        return self._connection.execute(query, params)

    def sql(self, query: str, *, params: object = None) -> Any:
        self._look(query, params)
        return self._connection.sql(query, params=params)

    def _look(self, query: str, params: object) -> None:
        plan = self._connection.execute(f"EXPLAIN (FORMAT json) {query}", params).fetchall()[0][1]
        for node in json.loads(plan):
            self._columns.update(_read_below(node))


def _read_below(node: dict[str, Any]) -> Iterator[str]:
    if node["name"].strip() in _SCANS:
        named = node["extra_info"].get("Projections", [])
        yield from filter(None, [named] if isinstance(named, str) else named)
    for child in node["children"]:
        yield from _read_below(child)
