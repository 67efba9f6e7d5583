"""Looking after a lake: status, verify."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from auditframe.cli import FOUND
from auditframe.cli._options import json_option, lake_option, run_options
from auditframe.cli._output import complain, print_data, print_summary, say
from auditframe.coverage import missing, shortcomings, to_arrow
from auditframe.errors import LakeCorruptError
from auditframe.lake import Fault, Lake
from auditframe.lake.ledger import current_partitions
from auditframe.text import inert
from auditframe.window import parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from auditframe.lake.records import Entry

_HOUR_S = 3600


@click.command()
@lake_option
@click.option("--max-age", metavar="TIME", help="Exit with 4 when coverage ends longer ago than this: 2h, 1d.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), help="How to write it; table when not given.")
@json_option
@run_options
def status(*, lake: str, max_age: str | None, form: str | None, as_json: bool) -> None:
    """Say what a lake holds and how fresh it is.

    Covered is what the ledger proves was read whole. With a gap between covered windows, a partition that is missing,
    or with --max-age when the end of coverage lies longer ago, the exit code is 4 and each reason is a line on stderr.

    \b
    auditframe status --lake lake
    auditframe status --lake lake --max-age 2h --format json
    """  # noqa: D301 - click reads \b as "keep these lines"
    target, now = Lake(lake), datetime.now(UTC)
    entries = target.ledger()
    wrong = shortcomings(entries, now=now, max_age=parse_duration(max_age) if max_age else None)
    wrong += missing(target, entries)
    facts, scopes = {"lake": lake, **_whole(target, entries)}, to_arrow(target, now=now)
    if as_json or form == "json":
        print_summary({**facts, "scopes": scopes.to_pylist(), "wrong": wrong})
    else:
        _tell(facts, scopes)
    for what in wrong:
        complain(what)
    if wrong:
        raise click.exceptions.Exit(FOUND)


@click.command()
@lake_option
@click.option("--anchor", metavar="HASH", help="The head of an earlier day, kept elsewhere: nothing before it changed.")
@json_option
@run_options
def verify(*, lake: str, anchor: str | None, as_json: bool) -> None:
    """Read every byte of a lake again and name each fault.

    Each fault is a line; with any, the exit code is 4. A lake that was rolled back whole to an older state has no
    fault: only its head, which snapshot and status show and which you keep elsewhere, proves that; give it as --anchor.

    \b
    auditframe verify --lake lake
    """  # noqa: D301
    faults = _faults(lake, anchor)
    if as_json:
        print_summary({"lake": lake, "faults": [{"path": str(fault.path), "what": fault.what} for fault in faults]})
    else:
        for fault in faults:
            print_data(inert(f"{fault.path}: {fault.what}"))
        say(f"{len(faults)} fault(s) found." if faults else "No fault found.")
    if faults:
        raise click.exceptions.Exit(FOUND)


def _faults(lake: str, anchor: str | None) -> Sequence[Fault]:
    try:
        return Lake(lake).verify(anchor=anchor)
    except LakeCorruptError as error:
        return [Fault(error.path, str(error))]


def _whole(lake: Lake, entries: Sequence[Entry]) -> dict[str, Any]:
    """Return what holds for the lake as a whole."""
    partitions = current_partitions(entries)
    last = entries[-1] if entries else None
    return {
        "events": sum(state.rows for state in partitions.values()),
        "partitions": len(partitions),
        "quarantined": len(lake.quarantine()),
        "late": sum(entry.counts.late for entry in entries),
        "lateness_s": max((entry.lateness_s for entry in entries if entry.lateness_s is not None), default=None),
        "entries": len(entries),
        "last_entry": last and f"{last.kind} {last.number}",
        "last_entry_at": last and last.finished_at,
        "head": last and last.hash,
    }


def _tell(facts: Mapping[str, Any], scopes: pa.Table) -> None:
    """Write a line a fact: first of the lake, then of the scopes side by side."""
    for name, value in facts.items():
        print_data(f"{_label(name)}{_told(name, value)}")
    print_data("")
    for name in scopes.column_names:
        first, second = (_told_of_scope(name, row) for row in scopes.to_pylist())
        print_data(f"{_label(name)}{first:<28}{second}".rstrip())


def _label(name: str) -> str:
    return f"{name.removesuffix('_s').replace('_', ' '):<18}"


def _told_of_scope(name: str, row: Mapping[str, object]) -> str:
    if name == "covered_from" and row[name] is None and row["covered_until"] is not None:
        return "the log's beginning"
    return _told(name, row[name])


def _told(name: str, value: object) -> str:
    match value:
        case None:
            return "none"
        case datetime():
            return f"{value.astimezone(UTC):%F %T}Z"
        case int() | float() if name.endswith("_s"):
            return f"{value / _HOUR_S:,.1f} h"
        case list():
            return "; ".join(map(str, value)) or "none"
        case _:
            return inert(str(value))
