"""Looking after a lake: status, verify."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
import pyarrow as pa

from auditframe.catalogue import SCOPES
from auditframe.cli import FOUND
from auditframe.cli._options import json_option, lake_option, run_options
from auditframe.cli._output import print_summary, say, terminal_width
from auditframe.errors import LakeCorruptError
from auditframe.lake import Fault, Lake
from auditframe.lake.ledger import current_partitions
from auditframe.render import to_table
from auditframe.text import inert

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from auditframe.lake.records import Entry

_HOUR = timedelta(hours=1)

_COUNTS = """
    SELECT scope, count(*) AS events, min(effective_at) AS first_at, max(effective_at) AS last_at
    FROM events
    GROUP BY scope
"""
_NOTHING = {"events": 0, "first_at": None, "last_at": None}


@click.command()
@lake_option
@json_option
@run_options
def status(*, lake: str, as_json: bool) -> None:
    """Say what a lake holds and how fresh it is.

    Covered is what the ledger proves was read whole; more than one window means a gap between them.

    \b
    auditframe status --lake lake
    auditframe status --lake lake --json
    """  # noqa: D301 - click reads \b as "keep these lines"
    target = Lake(lake)
    entries = target.ledger()
    scopes = _scopes(target, entries)
    facts = {"lake": lake, **_whole(target, entries)}
    if as_json:
        print_summary({**facts, "scopes": scopes})
        return
    for name, value in facts.items():
        click.echo(f"{name:<15}{_told(value)}")
    click.echo(f"\n{to_table(pa.Table.from_pylist(scopes), width=terminal_width())}", nl=False)


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
            click.echo(inert(f"{fault.path}: {fault.what}"))
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
        "entries": len(entries),
        "last_entry": last and f"{last.kind} {last.number}",
        "last_entry_at": last and last.finished_at,
        "head": last and last.hash,
    }


def _scopes(lake: Lake, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return a row for each scope: what is there, what is covered, how far behind that is."""
    counted = {row.pop("scope"): row for row in lake.arrow(_COUNTS).to_pylist()}
    statuses = {each.scope: each.status for entry in entries for each in entry.collected}
    return [
        {
            "scope": scope,
            "last_snapshot": statuses.get(scope),
            **counted.get(scope, _NOTHING),
            **_freshness(lake, scope),
        }
        for scope in SCOPES
    ]


def _freshness(lake: Lake, scope: str) -> Mapping[str, Any]:
    covered = lake.coverage(scope)
    until = covered[-1].end if covered else None
    behind_h = round((datetime.now(UTC) - until) / _HOUR, 1) if until else None
    return {"behind_h": behind_h, "covered": [str(window) for window in covered]}


def _told(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%F %T}Z"
    return "none" if value is None else inert(str(value))
