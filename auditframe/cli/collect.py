"""Bringing events in: snapshot, import, load."""

from __future__ import annotations

import functools
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

from auditframe.catalogue import SCOPES
from auditframe.cli._options import Body, json_option, lake_option, output_options, run_options, window_options
from auditframe.cli._output import Output, print_summary, say
from auditframe.cli._progress import shown_progress
from auditframe.client import Client, Filters
from auditframe.errors import SnapshotInterrupted
from auditframe.lake import Lake
from auditframe.lake.layout import GRAINS
from auditframe.load import check_files, gather, read_batches
from auditframe.snapshot import WORKERS, SnapshotResult, result_of
from auditframe.snapshot import snapshot as take_snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from auditframe.lake.records import Counts
    from auditframe.window import Window


def _new_lake_options(body: Body) -> Body:
    """Add --lake and --partition, for a command that makes a lake where there is none; it gets a `Lake`."""

    @lake_option
    @click.option(
        "--partition",
        type=click.Choice(list(GRAINS)),
        help="How long a time one file of a new lake holds: a day unless said. A lake keeps what it has.",
    )
    @functools.wraps(body)
    def wrapped(*args: Any, lake: str, partition: Literal["day", "month"] | None, **rest: Any) -> None:
        body(*args, lake=Lake(lake, partition=partition), **rest)

    return wrapped


@click.command()
@_new_lake_options
@window_options
@click.option("--resweep", metavar="TIME", help="Read so far back again at least, for events that came late: 30d, 12h.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=WORKERS, show_default=True, help="Windows read side by side."
)
@click.option("--max-pages", type=click.IntRange(1), help="Stop after so many pages; exit code 3 if windows remain.")
@click.option("--max-seconds", type=click.IntRange(1), help="Stop after so long [s]; requests then have 3 s more.")
@json_option
@run_options
def snapshot(*, lake: Lake, window: Window, as_json: bool, **how: Any) -> None:
    """Bring a lake up to date with the audit log.

    The key comes from OPENAI_ADMIN_KEY, the endpoint's address from OPENAI_BASE_URL if that is set. Without --start
    it goes on where the last snapshot ended, 24 hours before, or further if events were seen to come later; run
    twice, it adds nothing twice. What arrived before an interruption stays, and the next run goes on from there; exit
    code 3 says that windows remain.

    \b
    auditframe snapshot --lake lake
    auditframe snapshot --lake lake --start 2026-07-01 --json
    """  # noqa: D301 - click reads \b as "keep these lines"
    try:
        with Client() as client, shown_progress() as progress:
            result = take_snapshot(lake, client, start=window.start, end=window.end, progress=progress, **how)
    except SnapshotInterrupted as error:
        done = _done(lake, error)
        if as_json:
            print_summary({"complete": False, "windows_remaining": error.remaining, **done})
        elif "head" in done:
            say(f"Snapshot {done['number']} is in the ledger. Its head is {done['head']}")
        raise
    if as_json:
        print_summary({"complete": True, **asdict(result)})
    else:
        tell(result, lake.path)


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@_new_lake_options
@json_option
@run_options
def import_(*, files: tuple[str, ...], lake: Lake, as_json: bool) -> None:
    """Add the events of files to a lake.

    A file holds a page, an array, or JSON lines of events or pages, plain or compressed with gzip or zstd; a quoted
    glob names several. Every file is read whole before the first byte is written. Events that are far from the order of
    time are sorted by day first, in the folder for temporary files (TMPDIR); of two payloads of an event, that of the
    earlier day then stays.

    \b
    auditframe import 'exports/*.jsonl.gz' --lake lake
    """  # noqa: D301
    is_scattered = check_files(files)
    with lake.writer() as writer:
        for batch in read_batches(files, by_day=is_scattered):
            writer.add(batch)
            del batch  # not held while the next one is made
        entry = writer.commit("import")
    if as_json:
        print_summary({**msgspec.structs.asdict(entry.counts), "head": entry.hash})
    else:
        say(f"{_counted(entry.counts)}\nThe lake is {lake.path}. Its head is {entry.hash}")


@click.command()
@click.argument("sources", nargs=-1, metavar="[SOURCE...]")
@window_options
@click.option("--scope", type=click.Choice(SCOPES), help="Only one of the endpoint's two passes.")
@click.option("--project-id", "project_ids", multiple=True, help="Only events of this project; repeatable, as below.")
@click.option("--event-type", "event_types", multiple=True, help="Only events of this type.")
@click.option("--actor-id", "actor_ids", multiple=True, help="Only events by this user, service account or API key.")
@click.option("--actor-email", "actor_emails", multiple=True, help="Only events by users with this address.")
@click.option("--resource-id", "resource_ids", multiple=True, help="Only events done to this.")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True, help="Events a page.")
@click.option("--after", help="Begin after the event with this id; needs --scope.")
@click.option("--before", help="Walk back from the event with this id; needs --scope.")
@click.option("--strict", is_flag=True, help="Fail on the first event that cannot be placed.")
@output_options
@json_option
@run_options
def load(*, sources: tuple[str, ...], window: Window, output: Output, as_json: bool, **asked: Any) -> None:
    """Read events into one table, without a lake.

    From files or quoted globs if any SOURCE is given, else from the live endpoint with the key from OPENAI_ADMIN_KEY.
    One row an event, oldest first.

    \b
    auditframe load 'exports/*.jsonl.gz' --out events.parquet
    auditframe load --start -7d --event-type login.failed --format csv
    """  # noqa: D301
    if as_json and output.file is None:
        raise click.UsageError("With --json the summary goes to stdout, so the events need a file: add --out.")
    lists = {name: asked.pop(name) for name in [*asked] if isinstance(asked[name], tuple)}
    loaded = gather(sources, Filters(window=window, **lists), **asked)
    events = len(loaded.events)
    output.write(loaded.events)
    if as_json:
        left_out = {"repeated": loaded.repeated, "quarantined": len(loaded.quarantine)}
        print_summary({"events": events, **left_out, "out": str(output.file), "format": output.form})
    else:
        say(f"{events} events" + (f" are in {output.file}." if output.file else "."))


def tell(result: SnapshotResult, lake: Path) -> None:
    """Say in words what a snapshot did."""
    say(f"Snapshot {result.number}: {_counted(result)} {result.windows} windows, {result.seconds:.1f} s.")
    for scope in result.not_permitted:
        say(f"The key may not read the scope {scope}; its events are not in the lake.")
    for number, what in ((result.vanished, "known event(s) did not come again"), (result.outside, "came unasked")):
        if number:
            say(f"{number} {what}; the ledger entry {result.number} counts them, and they are in the lake.")
    say(f"The lake is {lake}. Its head is {result.head}")


def _done(lake: Lake, error: SnapshotInterrupted) -> dict[str, Any]:
    """Return what an interrupted snapshot did."""
    if error.number is None:
        return {"new": 0}
    entry = lake.ledger()[error.number - 1]
    return asdict(result_of(entry, seconds=(entry.finished_at - entry.started_at).total_seconds()))


def _counted(counts: Counts | SnapshotResult) -> str:
    rest = {"known already": counts.known, "late": counts.late}
    aside = {"came with another payload": counts.mutated, "could not be placed": counts.quarantined}
    erased = f" {counts.erased} had been erased." if counts.erased else ""
    told = [f"{number} {what}" for what, number in {"new": counts.new, **rest}.items() if number or what == "new"]
    kept = [f" {number} {what} (in quarantine)." for what, number in aside.items() if number]
    return f"{counts.received} events, {', '.join(told)}.{''.join(kept)}{erased}"
