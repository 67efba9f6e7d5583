"""Asking: report, reports, sql."""

from __future__ import annotations

import functools
import re
from datetime import datetime
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pyarrow as pa

from auditframe.catalogue import SEVERITIES
from auditframe.cli import FOUND
from auditframe.cli._options import (
    lake_option,
    optional_lake_option,
    output_options,
    picture,
    run_options,
    window_options,
)
from auditframe.cli._output import Output, complain, say, write_plot
from auditframe.lake import Lake
from auditframe.lake.merge import texts
from auditframe.reports import REGISTRY, as_events, get
from auditframe.window import ALWAYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditframe.lake import Events
    from auditframe.reports import Parameter, Report
    from auditframe.window import Window


class _Reports(click.Group):
    """One command for every report of the registry."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(REGISTRY)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = cmd_name.replace("-", "_")
        return report_command(REGISTRY[name]) if name in REGISTRY else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not args[0].startswith("-"):
            get(args[0].replace("-", "_"))  # says which name was meant
        return super().resolve_command(ctx, args)


@click.group(cls=_Reports, subcommand_metavar="NAME [OPTIONS]")
def report() -> None:
    """Ask a lake, or files, a named question.

    The options of each report: auditframe report NAME --help.

    \b
    auditframe report events_per_actor --lake lake --start -30d
    auditframe report login_failures --lake lake --min-failures 5 --plot failures.png
    """  # noqa: D301 - click reads \b as "keep these lines"


@click.command()
@output_options
@run_options
def reports(*, output: Output) -> None:
    """List the reports: question, parameters, controls.

    \b
    auditframe reports
    auditframe reports --format json
    """  # noqa: D301
    rows = [
        {
            "name": each.name,
            "question": each.question,
            "parameters": [f"{parameter.name}={parameter.default}" for parameter in each.parameters],
            "controls": list(each.controls),
        }
        for each in REGISTRY.values()
    ]
    output.write(pa.Table.from_pylist(rows, schema=_LISTING))


class _Sql(click.Command):
    """Takes a query that begins with a comment for a query, and no option for one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [f" {arg}" if _COMMENT.match(arg) else arg for arg in args])


@click.command(cls=_Sql)
@click.argument("query")
@lake_option
@window_options
@output_options
@run_options
def sql(*, query: str, lake: str, window: Window, output: Output) -> None:
    """Ask a lake one SELECT over events.

    QUERY is DuckDB SQL over two tables: events, with the lake's columns, and catalogue, the known event types. It can
    change nothing, and reads nothing else.

    \b
    auditframe sql "SELECT type, count(*) AS events FROM events GROUP BY ALL ORDER BY ALL" --lake lake
    """  # noqa: D301
    output.write(Lake(lake).window(window.start, window.end).arrow(query))


def report_command(asked: Report[Any]) -> click.Command:
    """Make the command of a report: its parameters are options, its docstring is the help."""

    @optional_lake_option
    @click.option("--on", metavar="FILE", help="Ask this file or quoted glob instead of a lake.")
    @window_options
    @output_options
    @run_options
    @click.option("--explain", is_flag=True, help="Write the SQL and the values that it binds, and ask nothing.")
    def ask(
        *, output: Output, explain: bool, plot: Path | None = None, fail_on: str | None = None, **rest: Any
    ) -> None:
        params = {parameter.name: rest.pop(parameter.name) for parameter in asked.parameters}
        if explain:
            output.write_text(_explained(asked, params, rest["window"]))
            return
        source = _source(**rest)
        answer = asked.arrow(source, **params)
        output.write(answer)
        if plot is not None:
            from auditframe.plots import beside_of  # matplotlib

            write_plot(plot, asked, answer, beside=beside_of(asked, source, **params), params=params)
            say(f"The plot is {plot}.")
        if fail_on is not None and (many := _found(answer, fail_on)):
            complain(f"{many} finding(s) of severity {fail_on} or more.")
        if fail_on is not None and (many or source.unread):  # a check that could not look has not passed
            click.get_current_context().exit(FOUND)

    options = [*map(_option, asked.parameters), *_options_of(asked)]
    command = functools.reduce(lambda body, option: option(body), reversed(options), ask)
    columns = "\n".join(f"{column.name}: {column.doc}" for column in asked.columns)
    help_ = f"{asked.question}\n\n{asked.doc}\n\nColumns:\n\n\b\n{columns}\n\n\b\n{_example(asked)}"
    return click.command(asked.name, help=help_, short_help=asked.question)(command)


_COMMENT = re.compile(r"--.*\n")
"""How a query begins that begins with a comment; after it there is another line, and an option is one."""

_LISTING = pa.schema(
    {
        "name": pa.string(),
        "question": pa.string(),
        "parameters": pa.list_(pa.string()),
        "controls": pa.list_(pa.string()),
    }
)


def _source(*, lake: str | None, on: str | None, window: Window) -> Events:
    if on and not Path(on).is_dir():
        return as_events(on).window(window.start, window.end)
    if not (on or lake):
        raise click.UsageError("Ask what? Give --lake FOLDER, set AUDITFRAME_LAKE, or name files with --on.")
    return Lake(on or lake or "").window(window.start, window.end)


def _option(parameter: Parameter) -> Any:
    name = parameter.name.replace("_", "-")
    kind = next(type_ for type_ in parameter.types if type_ is not type(None))  # of a moment: text
    flag = f"--{name}/--no-{name}" if kind is bool else f"--{name}"
    return click.option(
        flag,
        parameter.name,
        type=kind,
        default=parameter.default,
        show_default=parameter.default is not None,
        help=parameter.doc,
    )


def _options_of(asked: Report[Any]) -> Iterator[Any]:
    """Yield the options that only some reports have: --plot where there is one, --fail-on where there are findings."""
    if asked.plot is not None:
        yield click.option(
            "--plot", type=click.Path(path_type=Path), callback=picture, help="Draw it into this file as well."
        )
    if "severity" in asked.schema.names and "finding" in asked.schema.names:
        yield click.option(
            "--fail-on",
            type=click.Choice(SEVERITIES),
            help="Exit with 4 when a finding is this severe or more, and not suppressed, or when the lake was not read "
            "whole.",
        )


def _found(answer: pa.Table, least: str) -> int:
    """Count the findings of a severity or a higher one that nobody answers for."""
    suppressed = answer["suppressed"].to_pylist() if "suppressed" in answer.schema.names else [None] * len(answer)
    ranks = (SEVERITIES.index(severity) for severity in texts(answer, "severity"))
    open_ranks = (rank for rank, by in zip(ranks, suppressed, strict=True) if by is None)
    return sum(rank >= SEVERITIES.index(least) for rank in open_ranks)


def _explained(asked: Report[Any], params: dict[str, Any], window: Window) -> str:
    """Return the SQL of a report, after that of its relations and comments: the window, each value that it binds."""
    inside = [] if window == ALWAYS else [f"-- events, those in the window {window} alone"]
    values = (f"-- ${name} = {_literal(value)}" for name, value in asked.bound(**params).items())
    beside = (f"-- {each.name}, a table beside events: {each.doc}" for each in asked.relations)
    asked_first = (f"{cleandoc(each.sql)};" for each in asked.relations if each.sql)
    return "\n".join([*inside, *beside, *values, *asked_first, asked.sql(**params)])


def _literal(value: object) -> str:
    return "NULL" if value is None else repr(value.isoformat() if isinstance(value, datetime) else value)


def _example(asked: Report[Any]) -> str:
    plot = f" --plot {asked.name}.png" if asked.plot else ""
    return f"auditframe report {asked.name} --lake lake --start -30d{plot}"
