"""What a report is: a named question as SQL, with parameters, declared columns, a plot and the controls it supports."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, ParamSpec

import pyarrow as pa

from auditframe.errors import ParameterError, ReportError
from auditframe.reports._columns import FINDING_COLUMNS, ReportColumn
from auditframe.reports._fragments import spelled_out
from auditframe.reports._parameters import Parameter, declared_parameters, read_values
from auditframe.reports._source import as_events
from auditframe.schema import COLUMN_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

    from auditframe.catalogue import Severity
    from auditframe.lake import Events
    from auditframe.reports._relations import Relation
    from auditframe.reports._source import Source
    from auditframe.reports._specs import PlotSpec

    Finish = Callable[[pa.Table, Mapping[str, Any]], pa.Table]
    """What turns the SQL's answer, and the values of the parameters, into the final answer."""

P = ParamSpec("P")

THREAD_MB = 100
"""What a thread of the engine is to make do with for an answer that is short: with two, 400 MiB are enough for all."""

_ALIAS = re.compile(r"\bAS \w+")
_SECTION = re.compile(r"^(Args|Returns|Raises|Source):\n", re.MULTILINE)


@dataclass(frozen=True)
class Report(Generic[P]):
    """A named question that can be asked of events.

    Calling it with a source and its parameters answers it. A source is a `Lake`, a window of one, an Arrow table
    or a DataFrame with the columns of `schema.COLUMNS`, or the path of a lake, of Parquet files or of event files.

    Attributes:
        body: The function that was decorated; it returns the SQL.
        columns: The columns of the answer, in order.
        plot: What its plot shows; None when a picture says nothing more.
        controls: The controls it supports evidence for, such as ``SOC 2 CC6.1``.
        finish: What turns the SQL's answer into the final one; None leaves it.
        relations: The tables beside ``events`` and ``catalogue`` that the SQL names.
        severity: Of a check, the highest severity that its findings have; None for a report that does not judge.
        is_roomy: Whether no memory is saved in answering it: its answer grows with the log, or saving would cost more.
    """

    body: Callable[P, str]
    columns: tuple[ReportColumn, ...]
    plot: PlotSpec | None = None
    controls: tuple[str, ...] = ()
    finish: Finish | None = field(default=None, repr=False)
    relations: tuple[Relation, ...] = ()
    severity: Severity | None = None
    is_roomy: bool = False

    def __post_init__(self) -> None:
        """Show editors and notebooks the report's own docstring and parameters instead of this class's."""
        source = inspect.Parameter("source", inspect.Parameter.POSITIONAL_ONLY)
        parameters = inspect.signature(self.body).parameters.values()
        vars(self).update(
            __doc__=inspect.getdoc(self.body),
            __signature__=inspect.Signature([source, *parameters], return_annotation="pd.DataFrame"),
        )

    def __repr__(self) -> str:
        return f"<report {self.name}: {self.question}>"

    def __call__(self, source: Source, /, *args: P.args, **params: P.kwargs) -> pd.DataFrame:
        """Answer the question as a DataFrame; see `arrow`."""
        return self.arrow(source, *args, **params).to_pandas(date_as_object=False)

    def arrow(self, source: Source, /, *args: P.args, **params: P.kwargs) -> pa.Table:
        """Answer the question as an Arrow table.

        Args:
            source: Where the events are.
            args: None: parameters are given by name.
            params: The report's parameters.

        Returns:
            Exactly the declared columns, in their order, with their types, docs and units.

        Raises:
            ParameterError: A parameter is unknown or has a value of another type.
            ReportError: The source cannot be used, or lacks a column that the report reads.
        """
        values = self._values(args, params)
        try:
            events = as_events(source)
            self._check_columns(events)
            named = [each for relation in self.relations for each in (*relation.needs, relation)]
            beside = {each.name: each.read(events, values) for each in named if each.read}
            first = {each.name: (each.sql, _named_in(each.sql, values)) for each in named if each.sql}
            thread_mb = None if self.is_roomy else THREAD_MB
            answer = events.arrow(
                self._sql, _named_in(self._sql, values), beside=beside, first=first, thread_mb=thread_mb
            )
            final = self.finish(answer, values) if self.finish else answer
        except ReportError as error:
            error.report = error.report or self.name
            raise
        return final.cast(self.schema)

    def sql(self, *args: P.args, **params: P.kwargs) -> str:
        """Return the SQL that is asked, with ``$name`` where a parameter's value is bound."""
        self._values(args, params)
        return inspect.cleandoc(self._sql)

    def bound(self, *args: P.args, **params: P.kwargs) -> dict[str, Any]:
        """Return the values that the SQL, and that of its relations, binds, by name."""
        return _named_in(self._every_sql, self._values(args, params))

    @property
    def name(self) -> str:
        """The report's name."""
        return self.body.__name__

    @property
    def theme(self) -> str:
        """The module that it stands in."""
        return self.body.__module__.rpartition(".")[2]

    @property
    def question(self) -> str:
        """The question that it answers, as one sentence."""
        return self._text.partition("\n")[0]

    @property
    def doc(self) -> str:
        """How to read the answer: the docstring between the question and its first section."""
        return _SECTION.split(self._text)[0].partition("\n")[2].strip()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What can be asked differently, in the order of the signature."""
        return declared_parameters(self.body, self._text)

    @property
    def is_check(self) -> bool:
        """Whether it judges: whether each row of its answer is a finding."""
        return self.severity is not None

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the answer; each field's metadata holds its doc and unit."""
        return pa.schema([column.field for column in self.columns])

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of events that the SQL, and that of its relations, names; in the order of `schema.COLUMNS`.

        Where another table has a column of the same name, it may be that one that is read.
        """
        words = set(re.findall(r"\w+", _ALIAS.sub("", self._every_sql)))
        return tuple(name for name in COLUMN_NAMES if name in words)

    @property
    def _sql(self) -> str:
        return spelled_out(self.body())  # type: ignore[call-arg]

    @property
    def _every_sql(self) -> str:
        asked = [each.sql or "" for relation in self.relations for each in (*relation.needs, relation)]
        return "\n".join([self._sql, *asked])

    @property
    def _text(self) -> str:
        return inspect.getdoc(self.body) or ""

    def _values(self, args: tuple[object, ...], given: Mapping[str, object]) -> dict[str, Any]:
        if args:
            names = ", ".join(parameter.name for parameter in self.parameters) or "it has none"
            raise ParameterError(f"{self.name} takes parameters by name alone ({names}).", report=self.name)
        return read_values(self.name, self.parameters, given)

    def _check_columns(self, events: Events) -> None:
        if events.table is None:
            return
        missing = [name for name in self.reads if name not in events.table.column_names]
        if missing:
            raise ReportError(
                f"{self.name} reads the column {', '.join(missing)}, which the source lacks. Give it events with all "
                "columns, as auditframe.load() or lake.to_pandas() return them.",
                report=self.name,
            )


def _named_in(sql: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what goes elsewhere: the engine refuses a value that the SQL does not name."""
    named = set(re.findall(r"\$(\w+)", sql))
    return {name: value for name, value in values.items() if name in named}


def report(  # noqa: PLR0913 - a report is declared once, by name
    *,
    columns: tuple[ReportColumn, ...],
    plot: PlotSpec | None = None,
    controls: tuple[str, ...] = (),
    finish: Finish | None = None,
    relations: tuple[Relation, ...] = (),
    is_roomy: bool = False,
) -> Callable[[Callable[P, str]], Report[P]]:
    """Make a function a report.

    The function's keyword-only parameters, each with a default, are the report's. The first line of its docstring is
    the question, what follows says how to read the answer, and ``Args:`` documents the parameters. Its body returns
    one SQL literal that asks ``events`` and ``catalogue``, binds each parameter as ``$name``, may name ``{fragments}``
    and orders its rows.

    Args:
        columns: The columns of the answer, in order.
        plot: What its plot shows; None when a picture says nothing more.
        controls: The controls that it supports evidence for, from ``controls.csv``.
        finish: A function from the SQL's answer and the parameters to the final answer.
        relations: Tables beside ``events`` and ``catalogue`` that the SQL names.
        is_roomy: Whether no memory is to be saved: the answer has rows for each event, or saving costs more than it
            brings.
    """

    def decorate(body: Callable[P, str]) -> Report[P]:
        return Report(body, columns, plot, controls, finish, relations, is_roomy=is_roomy)

    return decorate


def check(  # noqa: PLR0913 - a check is declared once, by name
    *,
    severity: Severity,
    columns: tuple[ReportColumn, ...] = (),
    plot: PlotSpec | None = None,
    controls: tuple[str, ...] = (),
    finish: Finish | None = None,
    relations: tuple[Relation, ...] = (),
    is_roomy: bool = False,
) -> Callable[[Callable[P, str]], Report[P]]:
    """Make a function a check: a report that judges, each row of whose answer is a finding.

    Its answer begins with `FINDING_COLUMNS`. A finding's id is the check's name, a colon, and what stays the same at
    every run: the id of the first event that it rests on, and more where one event can give several findings.

    Args:
        severity: The highest severity that a finding of it has.
        columns: The columns that follow those of every finding.
        plot: As `report`.
        controls: As `report`.
        finish: As `report`.
        relations: As `report`.
        is_roomy: As `report`.
    """

    def decorate(body: Callable[P, str]) -> Report[P]:
        return Report(body, (*FINDING_COLUMNS, *columns), plot, controls, finish, relations, severity, is_roomy)

    return decorate
