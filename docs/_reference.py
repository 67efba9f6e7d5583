"""Reference pages as text, each a loop over the registry that it describes."""

from __future__ import annotations

import configparser
import inspect
import re
import types
import typing
from typing import TYPE_CHECKING, Any

import click
import msgspec

import auditframe
from auditframe import cli, errors
from auditframe.catalogue import EFFECTS, catalogue
from auditframe.lake.journal import Journal, Walk
from auditframe.lake.layout import Description
from auditframe.lake.quarantine import Kept
from auditframe.lake.records import Collected, Counts, Entry, PartitionState, QuarantineState, Removal, Span
from auditframe.lake.runs import Header
from auditframe.schema import COLUMNS, arrow_schema
from docs._anomalies import anomaly_tables
from docs._figures import (
    collection_table,
    flatten_table,
    growth_table,
    lake_table,
    performance_table,
    reliability_table,
    snapshot_table,
    startup_table,
)
from docs._markdown import block, code, page, table
from docs._pages import ROOT
from docs._reports import report_pages, report_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from auditframe.catalogue import EventType

_ATTRIBUTES = re.compile(r"^Attributes:\n(?P<lines>(?:    .*\n?|\n)+)", re.MULTILINE)
_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
_JSON_TYPES = {"str": "text", "int": "integer", "bool": "true or false", "NoneType": "null", "datetime": "time"}
_RECORDS = (
    Description,
    Entry,
    Collected,
    Span,
    Counts,
    PartitionState,
    QuarantineState,
    Removal,
    Kept,
    Walk,
    Header,
    Journal,
)


def events_page() -> str:
    """Describe every known event type, area by area."""
    known = catalogue().values()
    undocumented = sum(not type_.documented for type_ in known)
    lead = (
        f"The catalogue knows {len(known)} event types; OpenAI's specification lists all but {undocumented} of them. "
        "An event of any other type is kept all the same: its effect is `other`.\n\n"
        f"Effects, by which reports group: {', '.join(f'`{effect}`' for effect in EFFECTS)}."
    )
    return page(
        "Event types", lead, table(("type", "scope", "effect", "severity", "documented", ""), map(_type, known))
    )


def columns_page() -> str:
    """Describe every column of an event."""
    lead = (
        "The columns of events, in order, in a DataFrame, an Arrow table and each Parquet file alike. Missing is null. "
        "Paths are tried in order; `*` stands for the key that is named like the event's own type."
    )
    rows = (
        (
            f"`{column.name}`",
            code(str(field.type)),
            column.unit or "",
            ", ".join(f"`{path}`" for path in column.paths),
            column.doc,
        )
        for column, field in zip(COLUMNS, arrow_schema(), strict=True)
    )
    return page("Columns", lead, table(("column", "Arrow type", "unit", "path in the event", ""), rows))


def cli_page() -> str:
    """Describe every command and its options."""
    root = cli.cli
    context = _context(root, "auditframe")
    lead = "\n\n".join(_paragraphs(cli)[1:])
    found = (root.get_command(context, name) for name in root.list_commands(context))
    commands = [command for command in found if command]
    return page(
        "Command line",
        lead,
        block(root.get_help(context)),
        *(_command(command, context) for command in commands),
    )


def errors_page() -> str:
    """Draw the tree of errors, and describe each."""
    first, tree, rest = _paragraphs(errors)[0], _tree(), _paragraphs(errors)[-1]
    classes = [each for each in vars(errors).values() if inspect.isclass(each)]
    return page("Errors", first, block(tree), rest, *map(_error, classes))


def api_page() -> str:
    """Name every public thing; Sphinx reads the docstrings."""
    names = [name for name in auditframe.__all__ if not name.startswith("__")]
    return page("Python", "The public names of `auditframe`.", *filter(None, map(_autodoc, names)))


def command_table() -> str:
    """List the commands."""
    rows = ((f"`auditframe {name}`", command.help) for name, command in cli.COMMANDS.items())
    return table(("command", ""), rows)


def layers() -> str:
    """Draw the layers that the import linter holds, the highest first."""
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter", encoding="utf-8")
    return block(contracts["importlinter:contract:layers"]["layers"])


def record_tables() -> dict[str, str]:
    """Return a table of the keys of each record that a lake writes, by the record's name."""
    return {record.__name__: _record(record) for record in _RECORDS}


PAGES: Mapping[str, Callable[[], str]] = {
    **report_pages(),
    "events": events_page,
    "columns": columns_page,
    "cli": cli_page,
    "errors": errors_page,
    "api": api_page,
}
"""What writes each page of ``docs/reference`` that nobody writes by hand."""


def sections() -> dict[str, str]:
    """Return what stands between markers in pages that are otherwise written by hand, by the marker's name."""
    return {
        "reports": report_table(),
        "commands": command_table(),
        "layers": layers(),
        "reliability": reliability_table(),
        "performance": performance_table(),
        "growth": growth_table(),
        "flatten": flatten_table(),
        "lake": lake_table(),
        "collection": collection_table(),
        "snapshot": snapshot_table(),
        "startup": startup_table(),
        "anomalies": anomaly_tables(),
        **record_tables(),
    }


def _type(type_: EventType) -> tuple[str, ...]:
    return (
        f"`{type_.type}`",
        type_.scope,
        f"`{type_.effect}`",
        type_.severity,
        "yes" if type_.documented else "no",
        type_.doc,
    )


def _command(command: click.Command, root: click.Context) -> str:
    with _context(command, command.name, parent=root) as context:
        described = [f"## `auditframe {command.name}`", block(command.get_help(context))]
        if isinstance(command, click.Group):
            inner = (command.get_command(context, name) for name in command.list_commands(context))
            described += [_subcommand(each, context) for each in inner if each]
    return "\n\n".join(described)


def _context(command: click.Command, name: str | None, *, parent: click.Context | None = None) -> click.Context:
    return command.make_context(name, [], parent=parent, resilient_parsing=True, terminal_width=100)


def _subcommand(command: click.Command, parent: click.Context) -> str:
    with _context(command, command.name, parent=parent) as context:
        return f"### `{context.command_path}`\n\n{block(command.get_help(context))}"


def _error(class_: type) -> str:
    bases = ", ".join(f"`{base.__name__}`" for base in class_.__bases__)
    doc = inspect.cleandoc(class_.__doc__ or "")
    attributes = [(f"`{name}`", text) for name, text in _attributes(doc)]
    described = [f"## `{class_.__name__}`", _prose(doc), f"Base: {bases}."]
    if getattr(class_, "retryable", False):
        described.append("The same call may succeed later without a change.")
    if attributes:
        described.append(table(("attribute", ""), attributes))
    return "\n\n".join(described)


def _autodoc(name: str) -> str:
    value = getattr(auditframe, name)
    if isinstance(value, types.ModuleType):
        return _directive("automodule", value.__name__, ":no-members:") if name != "errors" else ""
    if inspect.isclass(value):
        return f"## `{name}`\n\n" + _directive("autoclass", f"auditframe.{name}", ":members:")
    return f"## `{name}`\n\n" + _directive("autofunction", f"auditframe.{name}")


def _directive(directive: str, target: str, *options: str) -> str:
    return "\n".join(["```{eval-rst}", f".. {directive}:: {target}", *(f"   {option}" for option in options), "```"])


def _record(record: type[msgspec.Struct]) -> str:
    docs = dict(_attributes(inspect.cleandoc(record.__doc__ or "")))
    fields = msgspec.structs.fields(record)
    rows = [(f"`{field.encode_name}`", _json_type(field.type), docs.get(field.name, "")) for field in fields]
    return table(("key", "JSON", ""), rows) if docs else table(("key", "JSON"), [row[:2] for row in rows])


def _json_type(type_: Any) -> str:
    """Say in JSON's words what a key holds."""
    if typing.get_origin(type_) in (typing.Union, types.UnionType):
        return " or ".join(map(_json_type, typing.get_args(type_)))
    if typing.get_origin(type_) is list:
        return f"array of {_json_type(typing.get_args(type_)[0])}"
    if typing.get_origin(type_) is dict:
        return f"object whose values are each {_json_type(typing.get_args(type_)[1])}"
    if typing.get_origin(type_) is typing.Literal:
        return " or ".join(f'`"{value}"`' for value in typing.get_args(type_))
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        return f"`{type_.__name__}`"
    return _JSON_TYPES[type_.__name__]


def _attributes(doc: str) -> Iterator[tuple[str, str]]:
    found = _ATTRIBUTES.search(doc + "\n")
    for name, text in _ATTRIBUTE.findall(found["lines"]) if found else ():
        yield name, " ".join(text.split())


def _prose(doc: str) -> str:
    """Return a docstring up to its first section, a paragraph a line."""
    before = _ATTRIBUTES.split(doc + "\n")[0]
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in before.strip().split("\n\n"))


def _paragraphs(module: types.ModuleType) -> list[str]:
    return inspect.cleandoc(module.__doc__ or "").split("\n\n")


def _tree() -> str:
    drawn = next(paragraph for paragraph in _paragraphs(errors) if "├──" in paragraph)
    return inspect.cleandoc(drawn)
