"""Keeping a lake: prove, quarantine, rebuild, expire, erase."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pyarrow as pa

from auditframe.cli._options import TIME_HELP, json_option, lake_option, output_options, run_options, writable
from auditframe.cli._output import Output, print_data, print_summary, say, write_file
from auditframe.lake import QUARANTINE_TYPES, Lake
from auditframe.text import inert
from auditframe.window import parse_instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditframe.lake.records import Counts, Entry, Removal

_LONG = frozenset({"text", "base64", "sha256"})
"""Columns of quarantine that what is made to be read leaves out: long, and the text may be personal."""

_WHOLE = ("csv", "json", "parquet")
"""The formats in which quarantine is written with all its columns."""

_REASON_HELP = "Why. It stands in the ledger for good, so no personal data belongs in it: a ticket's number."


@click.command()
@click.argument("event_id")
@lake_option
@click.option("--json", "as_json", is_flag=True, help="Write the proof to stdout as one JSON object.")
@click.option("--out", type=click.Path(path_type=Path), callback=writable, help="Write the proof to this file.")
@run_options
def prove(*, event_id: str, lake: str, as_json: bool, out: Path | None) -> None:
    """Prove that an event stands in a lake.

    The proof holds the whole event, the hashes that lead from it to the ledger, and the ledger's entries from there to
    its head. Whoever kept that head, or one of these entries' hashes, checks it without the lake and without
    auditframe. With neither --json nor --out it says what the proof would hold, without the event.

    \b
    auditframe prove audit_log-1a2b --lake lake --out proof.json
    """  # noqa: D301 - click reads \b as "keep these lines"
    if as_json and out is not None:
        raise click.UsageError("Where to? Give --json or --out, not both.")
    proof = Lake(lake).prove(event_id)
    entries = [json.loads(text) for text in (proof.entry, *proof.chain)]
    facts = {
        "event": event_id,
        "partition": proof.partition,
        "row": proof.index + 1,  # as the checker counts
        "entry": entries[0]["number"],
        "head_entry": entries[-1]["number"],
        "head": entries[-1]["hash"],
    }
    if as_json:
        print_data(proof.to_json())
    elif out is not None:
        write_file(out, proof.to_json() + "\n")
        say(f"The proof is {out}; it holds the event. It ends at entry {facts['head_entry']}, whose hash is the head.")
        say(f"The head is {facts['head']}")
    else:
        for name, value in facts.items():
            print_data(f"{name:<15}{inert(str(value))}")


@click.command()
@lake_option
@click.option("--retry", is_flag=True, help="Try first to place again what could not be placed.")
@output_options
@json_option
@run_options
def quarantine(*, lake: str, retry: bool, output: Output, as_json: bool) -> None:
    """List what arrived and could not be placed, and what came with another payload.

    One row an item, oldest snapshot first. CSV, JSON and Parquet also hold what arrived, which may be personal; tables
    to read leave it out. After an upgrade, --retry makes rows of what can be placed now. With --json the list is
    written only if --out names a file.

    \b
    auditframe quarantine --lake lake
    auditframe quarantine --lake lake --retry
    auditframe quarantine --lake lake --out quarantine.json
    """  # noqa: D301
    target = Lake(lake)
    retried, sentence = _retried(target) if retry else ({}, "")
    held = pa.Table.from_pandas(target.quarantine(), schema=pa.schema(QUARANTINE_TYPES), preserve_index=False)
    kinds = held["kind"].to_pylist()
    if output.file is not None or not as_json:
        output.write(held if output.form in _WHOLE else _readable(held))
    if as_json:
        counted = {kind: kinds.count(kind) for kind in ("unplaced", "mutation")}
        print_summary({"lake": lake, **retried, **counted})
    else:
        say(f"{sentence}{len(held)} item(s) are in quarantine.")


@click.command()
@lake_option
@json_option
@run_options
def rebuild(*, lake: str, as_json: bool) -> None:
    """Derive every column anew from the events' texts, after an upgrade.

    Ids, texts, times and Merkle roots stay. Only partitions that change are written, and one ledger entry says which.

    \b
    auditframe rebuild --lake lake
    """  # noqa: D301
    target = Lake(lake)
    entry = target.rebuild()
    if entry is not None:
        done = f"{len(entry.partitions)} partition(s) derived anew."
        _tell(entry, done, as_json=as_json, lake=lake, partitions=len(entry.partitions))
    elif as_json:
        print_summary({"lake": lake, "entry": None, "head": _head(target), "partitions": 0})
    else:
        say("Every partition is as it should be; nothing was written.")


@click.command()
@lake_option
@click.option("--before", required=True, metavar="TIME", help=f"The first instant that is kept: {TIME_HELP}.")
@click.option("--reason", default="retention", show_default=True, help=_REASON_HELP)
@json_option
@run_options
def expire(*, lake: str, before: str, reason: str, as_json: bool) -> None:
    """Remove every event before a date for good, and what was quarantined before it.

    The ledger keeps a tombstone: how many, when, why, and the Merkle roots before and after. Nothing older than the
    date is taken into this lake again.

    Not reached are copies elsewhere: backups, exports, files that somebody made of an answer. The file system may keep
    blocks of the replaced Parquet files until it writes over them.

    \b
    auditframe expire --before 2025-01-01 --lake lake
    auditframe expire --before -400d --lake lake --reason "retention of 400 days"
    """  # noqa: D301
    instant = parse_instant(before)
    entry = Lake(lake).expire(instant, reason=_worded(reason))
    _tell_removal(entry, f"before {instant:%F %T}Z", as_json=as_json, lake=lake)


@click.command()
@lake_option
@click.option("--email", "emails", multiple=True, metavar="ADDRESS", help="An e-mail address; repeatable, as below.")
@click.option("--actor-id", "actor_ids", multiple=True, metavar="ID", help="The id of a user, service account or key.")
@click.option("--reason", required=True, help=_REASON_HELP)
@json_option
@run_options
def erase(*, lake: str, emails: tuple[str, ...], actor_ids: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Remove every event and quarantined item that names somebody, for good.

    An event that knows the person by another name only is not found, so give the address and the ids together. The
    ledger keeps a tombstone: how many, when, why, the Merkle roots before and after, and the SHA-256 of each removed
    id, so that no snapshot brings the event back.

    Not reached are copies elsewhere: backups, exports, files that somebody made of an answer. The file system may keep
    blocks of the replaced Parquet files until it writes over them.

    \b
    auditframe erase --email ada@example.com --actor-id user-1 --reason "request 12" --lake lake
    """  # noqa: D301
    names = _names(emails, actor_ids)
    entry = Lake(lake).erase(*names, reason=_worded(reason))
    _tell_removal(entry, "that named them", as_json=as_json, lake=lake)


def _retried(lake: Lake) -> tuple[dict[str, Any], str]:
    """Try again what could not be placed, and say what became of it; without any, no entry is left."""
    if "unplaced" not in set(lake.quarantine()["kind"]):
        return {"tried": 0, "placed": 0, "entry": None, "head": _head(lake)}, "Nothing was there to be tried again. "
    counts = lake.retry_quarantine()
    entry = lake.ledger()[-1]
    facts = {"tried": counts.received, "placed": counts.new, "entry": entry.number, "head": entry.hash}
    return facts, f"Entry {entry.number}: {_became(counts)} The head is {entry.hash}\n"


def _became(counts: Counts) -> str:
    rest = {
        "in the lake already": counts.known,
        "a mutation now": counts.mutated,
        "erased before": counts.erased,
        "still without a place": counts.quarantined,
    }
    told = "".join(f", {number} {what}" for what, number in rest.items() if number)
    return f"{counts.received} tried again, {counts.new} placed{told}."


def _readable(held: pa.Table) -> pa.Table:
    return held.select([name for name in held.column_names if name not in _LONG])


def _names(emails: Sequence[str], actor_ids: Sequence[str]) -> list[str]:
    """Return whom to erase, refusing what would match more than one person's events."""
    names = [name.strip() for name in (*emails, *actor_ids)]
    if not names or not all(names):
        raise click.UsageError("Whom to erase? Give --email ADDRESS, --actor-id ID, or several of both.")
    if not all("@" in email.strip()[1:-1] for email in emails):
        raise click.UsageError("--email takes a whole address, with an @ in it.")
    return names


def _worded(reason: str) -> str:
    if not reason.strip():
        raise click.UsageError("Why? --reason is empty; give a ticket's number, or what retention asks for.")
    return reason.strip()


def _tell_removal(entry: Entry, which: str, *, as_json: bool, lake: str) -> None:
    """Say what an expiry or erasure took, without saying whose it was."""
    removal: Removal | None = entry.removal
    assert removal is not None  # noqa: S101 - for the type checker
    counted = {"events": removal.events, "items": removal.items, "partitions": len(entry.partitions)}
    done = (
        f"{removal.events} event(s) in {len(entry.partitions)} partition(s) and {removal.items} quarantined item(s) "
        f"{which} are removed."
    )
    _tell(entry, done, as_json=as_json, lake=lake, **counted)


def _tell(entry: Entry, done: str, *, as_json: bool, lake: str, **counted: int) -> None:
    if as_json:
        print_summary({"lake": lake, "entry": entry.number, "head": entry.hash, **counted})
    else:
        say(f"Entry {entry.number}: {done} The head is {entry.hash}")


def _head(lake: Lake) -> str | None:
    entries = lake.ledger()
    return entries[-1].hash if entries else None
