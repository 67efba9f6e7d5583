"""What a report is: a named question as SQL, with parameters, declared columns, a plot and the controls it supports."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, get_args

import pyarrow as pa

from auditframe.errors import ParameterError, ReportError, did_you_mean
from auditframe.reports._source import as_events
from auditframe.schema import ARROW_TYPES, COLUMN_NAMES, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

    from auditframe.lake import Events
    from auditframe.reports._source import Source
    from auditframe.reports._specs import PlotSpec

P = ParamSpec("P")

AnswerKind = Kind | Literal["day"]
"""What a column of an answer holds: a kind of `schema.Kind`, or a calendar day in UTC."""

_DAY_TYPE = pa.date32()

_SECTION = re.compile(r"^(Args|Returns|Raises|Source):\n", re.MULTILINE)
_ARGUMENT = re.compile(r"^    (\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
_TYPE_NAMES: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    type(None): "None",
}


@dataclass(frozen=True, slots=True)
class ReportColumn:
    """One column of a report's answer.

    Attributes:
        name: The column's name.
        kind: What it holds.
        doc: One sentence; says what null means where a null can be.
        unit: What a number counts or measures; None where there is nothing to count.
    """

    name: str
    kind: AnswerKind
    doc: str
    unit: str | None = None

    @property
    def type(self) -> pa.DataType:
        """The Arrow type of the column."""
        return _DAY_TYPE if self.kind == "day" else ARROW_TYPES[self.kind]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a report, as the signature and the docstring of its function state it.

    Attributes:
        name: The parameter's name.
        types: The Python types of a value; ``NoneType`` among them when it may be None.
        default: The value when none is given.
        doc: What it does.
    """

    name: str
    types: tuple[type, ...]
    default: Any
    doc: str

    def accepts(self, value: object) -> bool:
        """Whether a value has one of the types; True is no number, and a whole number is a number."""
        if isinstance(value, bool):
            return bool in self.types
        return isinstance(value, self.types) or (float in self.types and isinstance(value, int))

    @property
    def expected(self) -> str:
        """The types in words."""
        return " or ".join(_TYPE_NAMES.get(type_, type_.__name__) for type_ in self.types)


@dataclass(frozen=True)
class Report(Generic[P]):
    """A named question that can be asked of events.

    Calling it with a source and its parameters answers it. A source is a `Lake`, a window of one, an Arrow table
    or a DataFrame with the columns of `schema.COLUMNS`, or the path of a lake, of Parquet files or of event files.

    Attributes:
        body: The function that was decorated; it returns the SQL.
        columns: The columns of the answer, in order.
        plot: What its plot shows.
        controls: The controls it supports evidence for, such as ``SOC 2 CC6.1``.
        finish: What turns the SQL's answer into the final one; None leaves it.
    """

    body: Callable[P, str]
    columns: tuple[ReportColumn, ...]
    plot: PlotSpec
    controls: tuple[str, ...] = ()
    finish: Callable[[pa.Table], pa.Table] | None = field(default=None, repr=False)

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
            answer = events.arrow(self.body(**values), values)  # type: ignore[call-arg]
        except ReportError as error:
            error.report = self.name
            raise
        return (self.finish(answer) if self.finish else answer).cast(self.schema)

    def sql(self, *args: P.args, **params: P.kwargs) -> str:
        """Return the SQL that is asked, with ``$name`` where a parameter's value is bound."""
        return inspect.cleandoc(self.body(**self._values(args, params)))  # type: ignore[call-arg]

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
        docs = {name: " ".join(text.split()) for name, text in _ARGUMENT.findall(self._text)}
        declared = inspect.signature(self.body, eval_str=True).parameters.values()
        return tuple(
            Parameter(each.name, get_args(each.annotation) or (each.annotation,), each.default, docs.get(each.name, ""))
            for each in declared
        )

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the answer; each field's metadata holds its doc and unit."""
        return pa.schema([_arrow_field(column) for column in self.columns])

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of events that the SQL names, in the order of `schema.COLUMNS`."""
        words = set(re.findall(r"\w+", self.body()))  # type: ignore[call-arg]
        return tuple(name for name in COLUMN_NAMES if name in words)

    @property
    def _text(self) -> str:
        return inspect.getdoc(self.body) or ""

    def _values(self, args: tuple[object, ...], given: Mapping[str, object]) -> dict[str, Any]:
        """Check what was given, and fill the rest with the defaults."""
        known = {parameter.name: parameter for parameter in self.parameters}
        if args:
            names = ", ".join(known) or "it has none"
            raise ParameterError(f"{self.name} takes parameters by name alone ({names}).", report=self.name)
        for name, value in given.items():
            if name not in known:
                raise ParameterError(self._unknown(name, tuple(known)), report=self.name)
            if not known[name].accepts(value):
                raise ParameterError(
                    f"{name} of {self.name} must be {known[name].expected}, not {type(value).__name__}.",
                    report=self.name,
                )
        return {parameter.name: parameter.default for parameter in known.values()} | dict(given)

    def _unknown(self, name: str, known: tuple[str, ...]) -> str:
        takes = f"It takes {', '.join(known)}." if known else "It takes none."
        return f"{self.name} has no parameter {name!r}.{did_you_mean(name, known)} {takes}"

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


def report(
    *,
    columns: tuple[ReportColumn, ...],
    plot: PlotSpec,
    controls: tuple[str, ...] = (),
    finish: Callable[[pa.Table], pa.Table] | None = None,
) -> Callable[[Callable[P, str]], Report[P]]:
    """Make a function a report.

    The function's keyword-only parameters, each with a default, are the report's. The first line of its docstring is
    the question, what follows says how to read the answer, and ``Args:`` documents the parameters. Its body returns
    one SQL literal that asks ``events`` and ``catalogue``, binds each parameter as ``$name`` and orders its rows.

    Args:
        columns: The columns of the answer, in order.
        plot: What its plot shows.
        controls: The controls that it supports evidence for.
        finish: A function from the SQL's answer to the final one.
    """

    def decorate(body: Callable[P, str]) -> Report[P]:
        return Report(body, columns, plot, controls, finish)

    return decorate


def _arrow_field(column: ReportColumn) -> pa.Field[pa.DataType]:
    unit = {"unit": column.unit} if column.unit else {}
    return pa.field(column.name, column.type, metadata={"doc": column.doc, **unit})
