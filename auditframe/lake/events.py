"""The relation ``events``: Parquet files or an Arrow table, seen through a window, asked in SQL."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from auditframe.errors import LakeCorruptError, LakeLockedError
from auditframe.lake.engine import PlanError, open_engine, refusal
from auditframe.lake.parquet import read_partition
from auditframe.schema import COLUMN_NAMES, arrow_schema
from auditframe.window import ALWAYS, Instant, Window, intersection, parse_window

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd
    import pyarrow as pa

    from auditframe.lake.engine import Engine, Question

    Stamps = list[tuple[int, int, int]]

_ATTEMPTS = 10
"""How often a question is asked whose files are replaced while it is answered."""


_FEW_BYTES = 16 << 20
"""Files that are not larger together, and in memory at most some ten times as large, are sooner read once than for each
of several questions."""


@dataclass(frozen=True, slots=True)
class Events:
    """Events that SQL can be asked about, under the name ``events``; beside them ``catalogue``, the known event types.

    Attributes:
        files: Parquet files, read when asked; empty when the events are in `table`.
        table: Events in memory; None when they are in `files`.
        span: Only events inside this window are seen.
        lake: The folder of the lake that the files belong to; None when they belong to none.
        unread: What nobody has read whole of the time that the lake was asked about, oldest first.
        kept: The engine that `kept_open` keeps; None for one for each question.
    """

    files: tuple[Path, ...] = ()
    table: pa.Table | None = None
    span: Window = ALWAYS
    lake: Path | None = None
    unread: tuple[Window, ...] = ()
    kept: _Kept | None = field(default=None, repr=False, compare=False)

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
            ParameterError: The text is not one SELECT, or not one that the engine understands.
            ReportError: The engine fails at an event, or its memory does not suffice.
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
                much there is; a step that cannot gets more. None for all the memory that is found.
        """
        for _ in range(_ATTEMPTS):
            before = self._stamps()
            try:
                with self._engine(thread_mb, before) as engine:
                    answer = engine.answer((query, params or {}), self.span, beside or {}, first or {})
            except duckdb.Error as error:
                if self._stamps() == before:
                    self._check_files(error)
                    raise refusal(error, query) from None  # a traceback shows no event either
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

    @contextlib.contextmanager
    def kept_open(self, *, thread_mb: int) -> Iterator[Events]:
        """See the same events through an engine that stays open for questions that are to make do with so much memory.

        So footers are read once, and what several questions ask first is asked once where they follow one another.
        Few events are read once altogether.

        Args:
            thread_mb: As `arrow`.
        """
        held = replace(self, files=(), table=self.arrow(_AS_THEY_STAND)) if self._are_few() else self
        with contextlib.closing(_Kept(held, thread_mb)) as kept:
            yield replace(held, kept=kept)

    def _are_few(self) -> bool:
        return bool(self.files) and sum(size for _, size, _ in self._stamps()) <= _FEW_BYTES

    @contextlib.contextmanager
    def _engine(self, thread_mb: int | None, stamps: Stamps) -> Iterator[Engine]:
        if self.kept and self.kept.thread_mb == thread_mb:
            yield self.kept.engine_for(stamps)
            return
        with open_engine(self.files, self.table, thread_mb=thread_mb) as engine:
            yield engine

    def _stamps(self) -> Stamps:
        """Identify each file: the engine opens it for its footer and again for its rows, maybe of two versions."""
        try:
            found = [file.stat() for file in self.files]
        except FileNotFoundError as error:
            missing = Path(error.filename)
            raise LakeCorruptError(f"{missing} is missing. See: auditframe verify", path=missing) from None
        return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in found]

    def _check_files(self, error: duckdb.Error) -> None:
        """Tell a file that cannot be read from a question that cannot be answered; the engine words both alike."""
        is_of_names = isinstance(error, PlanError) and error.is_of_names
        for file in self.files[:1] if is_of_names else self.files:
            names = read_partition(file, path=file).schema.names
            if self.lake and names != list(COLUMN_NAMES):
                raise LakeCorruptError(f"{file} does not have the lake's columns. See: auditframe verify", path=file)


class _Kept:
    """An engine that is kept open, and opened anew when the files are other ones.

    Attributes:
        thread_mb: What each of its threads makes do with [MB].
    """

    def __init__(self, events: Events, thread_mb: int) -> None:
        self.thread_mb = thread_mb
        self._events = events
        self._open = contextlib.ExitStack()
        self._engine: Engine | None = None
        self._stamps: Stamps = []

    def engine_for(self, stamps: Stamps) -> Engine:
        """Return an engine that knows of these versions of the files alone."""
        if self._engine is None or stamps != self._stamps:
            self.close()
            opened = open_engine(self._events.files, self._events.table, thread_mb=self.thread_mb)
            self._engine, self._stamps = self._open.enter_context(opened), stamps
        return self._engine

    def close(self) -> None:
        """Close the engine."""
        self._open.close()
        self._engine = None


_AS_THEY_STAND = "SELECT * FROM events"  # files of somebody's own may lack columns that no question names
_EVERYTHING = f"SELECT {', '.join(COLUMN_NAMES)} FROM events ORDER BY effective_at, id"  # noqa: S608 - our own names
