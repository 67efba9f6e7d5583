"""The relation ``events``: Parquet files or an Arrow table, seen through a window, asked in SQL."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.csv as pc

from auditframe.catalogue import catalogue_csv
from auditframe.errors import LakeCorruptError, LakeLockedError, ReportError
from auditframe.lake.parquet import read_partition
from auditframe.schema import COLUMN_NAMES, arrow_schema
from auditframe.window import ALWAYS, Instant, Window, intersection, parse_window

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    Question = tuple[str, Mapping[str, Any]]
    """One SELECT, and the values of its parameters."""

MEMORY_LIMIT = "AUDITFRAME_MEMORY_LIMIT"
"""The environment variable that bounds what the engine holds in memory, such as 300MB."""

_ATTEMPTS = 10
"""How often a question is asked whose files are replaced while it is answered."""

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "python_enable_replacements": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
}


@dataclass(frozen=True, slots=True)
class Events:
    """Events that SQL can be asked about, under the name ``events``; beside them ``catalogue``, the known event types.

    Attributes:
        files: Parquet files, read when asked; empty when the events are in `table`.
        table: Events in memory; None when they are in `files`.
        span: Only events inside this window are seen.
        lake: The folder of the lake that the files belong to; None when they belong to none.
    """

    files: tuple[Path, ...] = ()
    table: pa.Table | None = None
    span: Window = ALWAYS
    lake: Path | None = None

    def window(self, start: Instant | None = None, end: Instant | None = None) -> Events:
        """See only the events of a half-open window ``[start, end)`` that these hold; None leaves a side as it is."""
        return replace(self, span=intersection(self.span, parse_window(start, end)))

    def sql(self, query: str, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Ask one SELECT and get a DataFrame.

        Args:
            query: DuckDB SQL over ``events`` and ``catalogue``, with ``$name`` for parameters.
            params: The value of each parameter.

        Returns:
            The rows in the query's order; times are aware and in UTC.

        Raises:
            ReportError: The text is not one SELECT, or the engine refuses it.
            LakeCorruptError: A file of the lake cannot be read.
        """
        return self.arrow(query, params).to_pandas()

    def arrow(
        self,
        query: str,
        params: Mapping[str, Any] | None = None,
        *,
        beside: Mapping[str, pa.Table] | None = None,
        first: Mapping[str, Question] | None = None,
        thread_mb: int | None = None,
    ) -> pa.Table:
        """Ask one SELECT and get an Arrow table; as `sql` otherwise.

        Args:
            query: As `sql`.
            params: As `sql`.
            beside: Further tables that the query may name.
            first: Questions that are asked before, in their order, and whose answers the query may name. They stay in
                the engine, which puts on disk what its memory cannot hold.
            thread_mb: What each thread of the engine is to make do with if it can [MB], unless `MEMORY_LIMIT` says how
                much there is; None for all the memory that is found.
        """
        for _ in range(_ATTEMPTS):
            before = self._stamps()
            try:
                answer = self._ask_frugally((query, params or {}), beside or {}, first or {}, thread_mb)
            except duckdb.Error as error:
                if self._stamps() == before:
                    self._check_files()
                    raise ReportError(_refusal(error), report=None) from error
            else:
                if self._stamps() == before:
                    return answer
        raise LakeLockedError(
            "The lake's files were replaced faster than they could be read. Ask again when the writer is done, or ask "
            "for a window that it does not write to.",
            path=self.files[0],
        )

    def to_arrow(self) -> pa.Table:
        """Return all events, ordered by ``effective_at``, then ``id``."""
        return self.arrow(_EVERYTHING).cast(arrow_schema())

    def to_pandas(self) -> pd.DataFrame:
        """Return all events as a DataFrame, ordered by ``effective_at``, then ``id``."""
        return self.to_arrow().to_pandas()

    def _ask_frugally(
        self, question: Question, beside: Mapping[str, pa.Table], first: Mapping[str, Question], thread_mb: int | None
    ) -> pa.Table:
        if thread_mb and not os.environ.get(MEMORY_LIMIT):
            # Not every step can go on from the disk; better the memory than no answer.
            with contextlib.suppress(duckdb.OutOfMemoryException):
                return self._ask(question, beside, first, thread_mb)
        return self._ask(question, beside, first)

    def _ask(
        self,
        question: Question,
        beside: Mapping[str, pa.Table],
        first: Mapping[str, Question],
        thread_mb: int | None = None,
    ) -> pa.Table:
        query, params = question
        with self._connect(thread_mb) as connection:
            for name, table in beside.items():
                connection.register(name, table)
            for name, (sql, values) in first.items():
                connection.execute(f"CREATE TEMP TABLE {name} AS {sql}", dict(values))
            kinds = [statement.type for statement in connection.extract_statements(query)]
            if kinds != [duckdb.StatementType.SELECT]:
                raise ReportError(
                    "Only one SELECT can be asked; a lake changes by snapshots and imports alone.", report=None
                )
            answer: pa.Table = connection.sql(query, params=dict(params)).to_arrow_table()
            return answer

    def _stamps(self) -> list[tuple[int, int, int]]:
        """Identify each file: the engine opens it for its footer and again for its rows, maybe of two versions."""
        try:
            found = [file.stat() for file in self.files]
        except FileNotFoundError as error:
            missing = Path(error.filename)
            raise LakeCorruptError(f"{missing} is missing. See: auditframe verify", path=missing) from None
        return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in found]

    def _check_files(self) -> None:
        """Tell a file that cannot be read from a question that cannot be answered; the engine words both alike."""
        for file in self.files:
            if read_partition(file, path=file).schema.names != list(COLUMN_NAMES):
                raise LakeCorruptError(f"{file} does not have the lake's columns. See: auditframe verify", path=file)

    @contextlib.contextmanager
    def _connect(self, thread_mb: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open an engine that sees these events and nothing else: no other file, no network, no Python variable."""
        with (
            tempfile.TemporaryDirectory(prefix="auditframe-") as scratch,
            duckdb.connect(":memory:", config=_CONFIG) as connection,
        ):
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET parquet_metadata_cache = true")  # else each scan reads every footer again
            connection.execute("SET temp_directory = $scratch", {"scratch": scratch})
            _limit_memory(connection, thread_mb)
            folders = sorted({str(file.parent) for file in self.files})
            connection.execute("SET allowed_directories = $folders", {"folders": folders})
            connection.execute("SET enable_external_access = false")
            connection.register("catalogue", _catalogue_table())
            self._relation(connection).create_view("events")
            connection.execute("SET lock_configuration = true")
            yield connection

    def _relation(self, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
        if self.files:
            relation = connection.read_parquet([str(file) for file in self.files], hive_partitioning=False)
        else:
            relation = connection.from_arrow(arrow_schema().empty_table() if self.table is None else self.table)
        at = duckdb.ColumnExpression("effective_at")
        if self.span.start is not None:
            relation = relation.filter(at >= duckdb.ConstantExpression(self.span.start))
        if self.span.end is not None:
            relation = relation.filter(at < duckdb.ConstantExpression(self.span.end))
        return relation


_EVERYTHING = f"SELECT {', '.join(COLUMN_NAMES)} FROM events ORDER BY effective_at, id"  # noqa: S608 - our own names


@cache
def _catalogue_table() -> pa.Table:
    # Made from Python's values, it would take pandas along, which costs more time than many a question.
    types = dict.fromkeys(("type", "scope", "effect", "severity", "doc"), pa.string()) | {"documented": pa.bool_()}
    return pc.read_csv(io.BytesIO(catalogue_csv()), convert_options=pc.ConvertOptions(column_types=types))


def _refusal(error: duckdb.Error) -> str:
    if isinstance(error, duckdb.OutOfMemoryException):
        return (
            f"The engine's memory does not suffice. Raise {MEMORY_LIMIT}, or ask for a shorter window. "
            f"{_first_line(error)}"
        )
    return f"The engine refuses this SQL. {_first_line(error)}"


def _limit_memory(connection: duckdb.DuckDBPyConnection, thread_mb: int | None) -> None:
    threads = connection.execute("SELECT current_setting('threads')").fetchall()[0][0]
    limit = os.environ.get(MEMORY_LIMIT) or (f"{thread_mb * threads}MB" if thread_mb else None)
    if limit is None:
        return
    try:
        connection.execute("SET memory_limit = $limit", {"limit": limit})
    except duckdb.Error as error:
        raise ReportError(
            f"{MEMORY_LIMIT} must be an amount of memory, such as 300MB or 2GB. {_first_line(error)}", report=None
        ) from error


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]
