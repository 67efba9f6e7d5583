"""The demo: from an emulated endpoint to a lake, three answers and three plots, without a key and without a network."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditframe.cli._options import json_option, run_options
from auditframe.cli._output import print_data, print_summary, say, write_file, write_plot
from auditframe.cli._progress import shown_progress
from auditframe.client import Client
from auditframe.emulator import Emulator, serve
from auditframe.errors import LakeError
from auditframe.lake import Lake
from auditframe.render import to_table
from auditframe.reports import get
from auditframe.sample import sample
from auditframe.snapshot import SnapshotResult, snapshot
from auditframe.window import DAY, parse_instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from auditframe.reports import Report

SEED, EVENTS, DAYS, END = 7, 20_000, 90, "2026-11-01"
ROWS_SHOWN = 10
LINE_CHARS = 120  # where there is no terminal to ask

FIRST_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "events_per_actor": ("actor", "actor_kind", "events", "types", "addresses", "first_at", "last_at"),
    "login_failures": ("actor", "ip_address", "failures", "error_codes", "succeeded", "first_at", "last_at"),
    "api_keys": ("key_id", "creator", "created_at", "deleted_at", "last_used_at", "scopes"),
}
"""The reports that are asked, each with the columns that a line must have room for before others."""

_NEWEST_LAST = frozenset({"api_keys"})

_KEY = "sk-admin-emulator"
_NOTE = "This folder was made by: auditframe demo\nThe next demo replaces the lake and the plots in it.\n"


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True, help="The folder.")
@json_option
@run_options
def demo(*, out: Path, as_json: bool) -> None:
    """See it work: a made-up organization, three answers, three plots.

    It starts an emulator of the endpoint on 127.0.0.1 with a made-up organization, takes a snapshot into OUT/lake and
    asks three reports. It needs no key, sends nothing to the network, and can be run again.

    \b
    auditframe demo --out demo
    """  # noqa: D301 - click reads \b as "keep these lines"
    lake = _fresh_lake(out)
    result = _collect(lake)
    answers = {name: get(name).arrow(lake) for name in FIRST_COLUMNS}
    for name, answer in answers.items():
        write_plot(out / f"{name}.png", get(name), answer)
        if not as_json:
            print_data(_told(get(name), answer))
    if as_json:
        rows = {name: len(answer) for name, answer in answers.items()}
        print_summary({**asdict(result), "lake": str(lake.path), "rows": rows, "plots": _plots(out)})
    else:
        say(_whereabouts(lake.path, out))


def _fresh_lake(out: Path) -> Lake:
    """Make room for a new lake; only what an earlier demo left is removed.

    Raises:
        LakeError: Something else stands there.
    """
    note, folder = out / "README.txt", out / "lake"
    is_ours = note.is_file() and note.read_text(encoding="utf-8", errors="replace") == _NOTE
    if folder.exists() or folder.is_symlink():
        if not is_ours or folder.is_symlink() or not Lake(folder).exists():
            raise LakeError(f"{folder} was not made by the demo. Name another folder: --out FOLDER", path=folder)
        shutil.rmtree(folder)
    out.mkdir(parents=True, exist_ok=True)
    write_file(note, _NOTE)
    return Lake(folder)


def _collect(lake: Lake) -> SnapshotResult:
    say(f"A made-up organization: {EVENTS:,} events in the {DAYS} days before {END}, served on 127.0.0.1.")
    end = parse_instant(END)
    app = Emulator(sample(seed=SEED, events=EVENTS, days=DAYS, end=end).events, key=_KEY)
    with (
        serve(app) as base_url,
        _no_proxy(),
        Client(_KEY, base_url=base_url) as client,
        shown_progress() as progress,
    ):
        result = snapshot(lake, client, start=end - DAYS * DAY, end=end, progress=progress)
    say(f"A snapshot: {result.new:,} events on {result.pages} pages in {result.seconds:.1f} s, now in {lake.path}.\n")
    return result


@contextlib.contextmanager
def _no_proxy() -> Iterator[None]:
    """Keep the emulator's requests on this machine, whatever proxy the environment names."""
    before = os.environ.get("no_proxy")
    os.environ["no_proxy"] = "*"
    try:
        yield
    finally:
        os.environ.pop("no_proxy")
        os.environ.update({} if before is None else {"no_proxy": before})


def _told(report: Report[Any], answer: pa.Table) -> str:
    """Show a few rows of an answer, and as many columns as a line has room for."""
    from_end = report.name in _NEWEST_LAST
    shown = answer.slice(max(len(answer) - ROWS_SHOWN, 0)) if from_end else answer.slice(0, ROWS_SHOWN)
    rows = f"the {'last' if from_end else 'first'} {len(shown)} of {len(answer)} rows"
    first = FIRST_COLUMNS[report.name]
    others = [name for name in answer.column_names if name not in first]
    table = to_table(shown.select([*first, *others]), width=shutil.get_terminal_size((LINE_CHARS, 0)).columns)
    return f"{report.question}  [{report.name}, {rows}]\n\n{table}"


def _plots(out: Path) -> list[str]:
    return [str(out / f"{name}.png") for name in FIRST_COLUMNS]


def _whereabouts(lake: Path, out: Path) -> str:
    command, count = _command(), "SELECT type, count(*) AS events FROM events GROUP BY ALL ORDER BY events DESC"
    return f"""The lake   {lake}: one Parquet file a day, events/date=*/events.parquet
The plots  {", ".join(_plots(out))}

Next:
  {command} sql "{count} LIMIT 10" --lake {lake}
  {command} report login_failures --lake {lake} --min-failures 5
  {command} reports"""


def _command() -> str:
    """Return what starts this command in the person's shell."""
    if shutil.which("auditframe"):
        return "auditframe"
    typed = Path(sys.argv[0])
    return str(typed) if typed.name == "auditframe" else "python -m auditframe"
