"""The engine: DuckDB that sees given events, the catalogue, and nothing else."""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.csv as pc

from auditframe.catalogue import catalogue_csv
from auditframe.errors import ParameterError, ReportError
from auditframe.schema import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from auditframe.window import Window

    Question = tuple[str, Mapping[str, Any]]
    """One SELECT, and the values of its parameters."""

T = TypeVar("T")

MEMORY_LIMIT = "AUDITFRAME_MEMORY_LIMIT"
"""The environment variable that bounds what the engine holds in memory, such as 300MB."""

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "python_enable_replacements": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
}

_MOST_FOOTERS = 1_000
"""How many files may be there for their footers to be kept: each takes 110 KiB, more than reading it again is worth."""

_MORE = 4
"""How many times the memory a step gets that could not do with what it had: more tries cost time, fewer cost memory."""

_WHAT_THERE_IS = "SELECT current_setting('threads'), parse_formatted_bytes(current_setting('memory_limit'))"

_NOTHING = pa.table({})
_PATTERN = re.compile(r"[*?\[]|^~")

_SAYS_NO_EVENT = "More than one row returned by a subquery used as an expression"
"""What the engine says of a mistake in SQL that only shows while it reads events, and that holds nothing of them."""


_HINTS = ("Did you mean", "Candidate bindings")
"""How the lines begin in which the engine says what may have been meant."""


_OF_THE_SQL = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException)
_OF_THE_ENGINE = (duckdb.InternalException, duckdb.FatalException)


class PlanError(duckdb.Error):
    """The engine refuses a question before it reads an event, so that its words are about the SQL alone."""

    def __init__(self, error: duckdb.Error) -> None:
        super().__init__(str(error))
        self.is_of_names = isinstance(error, _OF_THE_SQL)
        """Whether a word, a function or a column is at fault, for which the engine looks at the first file alone."""


class Engine:
    """Answers one question after the other; get one from `open_engine`.

    What a question asks first stays for the next one that asks it first too, of the same window.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, source: duckdb.DuckDBPyRelation, memory: _Memory) -> None:
        self._connection = connection
        self._source = source
        self._memory = memory
        self._span: Window | None = None
        self._beside: dict[str, pa.Table] = {}
        self._first: dict[str, Question] = {}

    def answer(
        self, question: Question, span: Window, beside: Mapping[str, pa.Table], first: Mapping[str, Question]
    ) -> pa.Table:
        """Answer one SELECT.

        Args:
            question: The SELECT, over ``events``, ``catalogue`` and what follows.
            span: Only events inside this window are seen.
            beside: Further tables.
            first: Questions that are asked before, in their order, and whose answers are tables.

        Raises:
            ParameterError: The text is not one SELECT.
            PlanError: The engine refuses the text.
            duckdb.Error: The engine fails at the events, and its words may hold their text.
        """
        self._see(span)
        with self._memory.given_back():
            self._ask_first(first, self._put_beside(beside))
            return self._select(question)

    def _select(self, question: Question) -> pa.Table:
        query, params = question
        try:
            kinds = [statement.type for statement in self._connection.extract_statements(query)]
        except duckdb.Error as error:
            raise PlanError(error) from None
        if kinds != [duckdb.StatementType.SELECT]:
            raise ParameterError(
                "Only one SELECT can be asked; a lake changes by snapshots and imports alone.", report=None
            )
        with self._planned(question):
            answer: pa.Table = self._memory.enough_for(
                lambda: self._connection.sql(query, params=dict(params)).to_arrow_table()
            )
        return answer

    @contextlib.contextmanager
    def _planned(self, question: Question) -> Iterator[None]:
        """Tell, when a SELECT fails, whether it does so without the events, too."""
        try:
            yield
        except (duckdb.OutOfMemoryException, *_OF_THE_ENGINE):
            raise
        except duckdb.Error:
            query, params = question
            try:
                self._connection.execute(f"EXPLAIN {query}", dict(params))
            except duckdb.Error as error:
                raise PlanError(error) from None
            raise

    def _see(self, span: Window) -> None:
        if span == self._span:
            return
        self._keep_first(())
        relation, at = self._source, duckdb.ColumnExpression("effective_at")
        if span.start is not None:
            relation = relation.filter(at >= duckdb.ConstantExpression(span.start))
        if span.end is not None:
            relation = relation.filter(at < duckdb.ConstantExpression(span.end))
        relation.create_view("events", replace=True)
        self._span = span

    def _put_beside(self, tables: Mapping[str, pa.Table]) -> set[str]:
        """Put tables beside the events; return the names of those that are new or other ones."""
        for name in self._beside.keys() - tables.keys():
            self._connection.unregister(name)
            del self._beside[name]
        changed = {name for name, table in tables.items() if not table.equals(self._beside.get(name, _NOTHING))}
        for name in changed:
            self._connection.register(name, tables[name])
            self._beside[name] = tables[name]
        return changed

    def _ask_first(self, questions: Mapping[str, Question], changed: set[str]) -> None:
        """Ask what has not been asked yet, or names a table that has changed since."""
        for name, question in questions.items():
            if self._first.get(name) != question or changed & set(re.findall(r"\w+", question[0])):
                changed = {*changed, name}
        self._keep_first(questions.keys() - changed)
        for name, (sql, params) in questions.items():
            if name not in self._first:
                with self._planned((sql, params)):
                    self._memory.enough_for(partial(self._keep_answer, name, sql, params))
                self._first[name] = (sql, params)

    def _keep_answer(self, name: str, sql: str, params: Mapping[str, Any]) -> None:
        self._connection.execute(f"CREATE TEMP TABLE {name} AS {sql}", dict(params))

    def _keep_first(self, names: Collection[str]) -> None:
        for name in self._first.keys() - names:
            self._connection.execute(f"DROP TABLE {name}")
            del self._first[name]


class _Memory:
    """What a connection makes do with: so much at first, and for a step that cannot, ever more until it can.

    Not every step can go on from the disk; better the memory than no answer.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, first: int | None, most: int) -> None:
        """Begin with `first` [bytes], or for None with what the connection has, and never give more."""
        self._connection = connection
        self._first = first
        self._most = most
        self._limit = most if first is None else first
        if first is not None:
            self._set(first)

    def enough_for(self, step: Callable[[], T]) -> T:
        """Take a step, again with more memory where that it had does not suffice."""
        while True:
            try:
                return step()
            except duckdb.OutOfMemoryException:
                if self._limit >= self._most:
                    raise
                self._set(min(self._limit * _MORE, self._most))

    @contextlib.contextmanager
    def given_back(self) -> Iterator[None]:
        """Make do with little again afterwards."""
        try:
            yield
        finally:
            if self._first is not None and self._limit != self._first:
                with contextlib.suppress(duckdb.OutOfMemoryException):  # what is kept stays
                    self._set(self._first)

    def _set(self, limit: int) -> None:
        self._connection.execute("SET memory_limit = $limit", {"limit": f"{limit}B"})
        self._limit = limit


@contextlib.contextmanager
def open_engine(files: Sequence[Path], table: pa.Table | None, *, thread_mb: int | None = None) -> Iterator[Engine]:
    """Open an engine that sees some events and nothing else: no other file, no network, no Python variable.

    Args:
        files: Parquet files that hold the events.
        table: The events themselves, where there are no files; None for no events.
        thread_mb: What each thread makes do with if it can [MB], unless `MEMORY_LIMIT` says how much there is; None for
            all the memory that is found.
    """
    with (
        tempfile.TemporaryDirectory(prefix="auditframe-") as scratch,
        duckdb.connect(":memory:", config=_CONFIG) as connection,
    ):
        connection.execute("SET TimeZone = 'UTC'")
        _hide_progress(connection)
        if len(files) <= _MOST_FOOTERS:
            connection.execute("SET parquet_metadata_cache = true")  # else each scan reads every footer again
        connection.execute("SET temp_directory = $scratch", {"scratch": scratch})
        memory = _memory_of(connection, thread_mb)
        named = _without_patterns(files, Path(scratch))
        folders = sorted({str(path.parent) for file in (*files, *named) for path in (file, file.absolute())})
        connection.execute("SET allowed_directories = $folders", {"folders": folders})
        connection.execute("SET enable_external_access = false")
        connection.register("catalogue", _catalogue_table())
        if files:
            source = connection.read_parquet([str(file) for file in named], hive_partitioning=False)
        else:
            source = connection.from_arrow(arrow_schema().empty_table() if table is None else table)
        connection.execute("SET allowed_configs = ['memory_limit']")  # for `_Memory`; a SELECT cannot set it
        connection.execute("SET lock_configuration = true")
        yield Engine(connection, source, memory)


def _hide_progress(connection: duckdb.DuckDBPyConnection) -> None:
    """Draw no bar into stdout, as the engine does where Python runs no script; where it cannot, it must not be told."""
    if connection.execute("SELECT current_setting('enable_progress_bar')").fetchall()[0][0]:
        connection.execute("SET enable_progress_bar = false")


def _without_patterns(files: Sequence[Path], folder: Path) -> Sequence[Path]:
    """Return paths to the same files that the engine does not take for patterns: links, where it would."""
    if not any(_PATTERN.search(str(file)) for file in files):
        return files
    links = [folder / f"{number}.parquet" for number in range(len(files))]
    for link, file in zip(links, files, strict=True):
        link.symlink_to(file.absolute())
    return links


@cache
def _catalogue_table() -> pa.Table:
    # Made from Python's values, it would take pandas along, which costs more time than many a question.
    types = dict.fromkeys(("type", "scope", "effect", "severity", "doc"), pa.string()) | {"documented": pa.bool_()}
    return pc.read_csv(io.BytesIO(catalogue_csv()), convert_options=pc.ConvertOptions(column_types=types))


def _memory_of(connection: duckdb.DuckDBPyConnection, thread_mb: int | None) -> _Memory:
    if limit := os.environ.get(MEMORY_LIMIT):
        try:
            connection.execute("SET memory_limit = $limit", {"limit": limit})
        except duckdb.Error as error:
            raise ReportError(
                f"{MEMORY_LIMIT} must be an amount of memory, such as 300MB or 2GB. {_first_line(error)}", report=None
            ) from error
        thread_mb = None
    threads, most = connection.execute(_WHAT_THERE_IS).fetchall()[0]
    return _Memory(connection, None if thread_mb is None else min(thread_mb * threads * 1_000_000, most), most)


def refusal(error: duckdb.Error, query: str) -> ReportError:
    """Say in a line what the engine refuses, and what helps.

    Args:
        error: What the engine raised; unless it is a `PlanError`, a text of an event may stand in it anywhere.
        query: The question.
    """
    if isinstance(error, duckdb.OutOfMemoryException):
        message = f"The engine's memory does not suffice. Raise {MEMORY_LIMIT}, or ask for a shorter window."
        return ReportError(f"{message} {_first_line(error)}", report=None)
    if isinstance(error, _OF_THE_ENGINE):  # whose words may hold anything
        return ReportError(
            f"DuckDB {duckdb.__version__} fails at this SQL by a mistake of its own. Ask it otherwise, or install "
            "another version of DuckDB.",
            report=None,
        )
    if isinstance(error, PlanError):
        hints = [line for line in str(error).splitlines()[1:] if line.startswith(_HINTS)]
        return ParameterError(" ".join(["The engine refuses this SQL.", _first_line(error), *hints]), report=None)
    if isinstance(error, duckdb.IOException):  # of files, the engine reads and writes its own alone
        return ReportError(f"The engine refuses this SQL. {_first_line(error)}", report=None)
    kind, _, words = str(error).partition(": ")
    if words.startswith(_SAYS_NO_EVENT):
        return ReportError(f"The engine refuses this SQL. {kind}: {_SAYS_NO_EVENT}", report=None)
    return ReportError(
        f"The engine fails at an event with this SQL. {', '.join([kind, *_own_line(words, query)])}. What the event "
        "holds is left out; TRY(...) and TRY_CAST make null of what fails.",
        report=None,
    )


def _own_line(words: str, query: str) -> list[str]:
    """Return the line of the question that the engine points at, if it does; a text of an event may look like one."""
    places: list[tuple[str, str]] = re.findall(r"^(LINE \d+: )(.*)$", words, re.MULTILINE)
    return [head + sql for head, sql in places[-1:] if sql.removeprefix("...").removesuffix("...") in query]


def _first_line(error: duckdb.Error) -> str:
    return str(error).splitlines()[0]
