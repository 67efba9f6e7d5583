"""A made-up organization: sample writes its events, emulate serves them."""

from __future__ import annotations

import contextlib
import gzip
import shlex
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from auditframe.cli._options import TIME_HELP, run_options, writable
from auditframe.cli._output import print_data, say, write_file
from auditframe.emulator import Behaviour, Emulator, serve
from auditframe.sample import sample as make_sample
from auditframe.sample import to_jsonl

if TYPE_CHECKING:
    from auditframe.cli._options import Body

KEY = "sk-admin-emulator"


def _size_options(body: Body) -> Body:
    body = click.option("--events", type=click.IntRange(1), default=20_000, show_default=True, help="How many events.")(
        body
    )
    return click.option("--seed", type=int, default=7, show_default=True, help="Which organization.")(body)


@click.command()
@_size_options
@click.option("--days", type=click.IntRange(1), default=90, show_default=True, help="How long a time they span [days].")
@click.option("--end", default="2026-11-01", show_default=True, help=f"When it ends: {TIME_HELP}.")
@click.option("--out", type=click.Path(path_type=Path), callback=writable, help="Write here; *.gz is compressed.")
@run_options
def sample(*, out: Path | None, seed: int, events: int, days: int, end: str) -> None:
    """Write the events of a made-up organization.

    JSON lines, oldest first. The same seed gives the same bytes; nobody in them exists.

    \b
    auditframe sample --events 2000 --out sample.jsonl
    """  # noqa: D301 - click reads \b as "keep these lines"
    lines = to_jsonl(make_sample(seed=seed, events=events, days=days, end=end))
    if out is None:
        print_data(lines, nl=False)
        return
    write_file(out, gzip.compress(lines, mtime=0) if out.suffix == ".gz" else lines)
    say(f"{events} events are in {out}.")


@click.command()
@_size_options
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The TCP port on 127.0.0.1; a free one if 0.")
@click.option("--key", default=KEY, show_default=True, help="The key that is let in.")
@click.option(
    "--order",
    type=click.Choice(["newest_first", "oldest_first"]),
    default="newest_first",
    show_default=True,
    help="In which order events are listed.",
)
@run_options
def emulate(*, seed: int, events: int, port: int, key: str, order: Literal["newest_first", "oldest_first"]) -> None:
    """Serve a made-up organization like the endpoint.

    It listens on 127.0.0.1 until Ctrl-C. What it prints sets the environment for another shell.

    \b
    auditframe emulate --port 8080
    """  # noqa: D301
    app = Emulator(make_sample(seed=seed, events=events).events, key=key, behaviour=Behaviour(order=order))
    with serve(app, port=port) as base_url:
        print_data(f"export OPENAI_BASE_URL={base_url}\nexport OPENAI_ADMIN_KEY={shlex.quote(key)}")
        say(f"Serving {events} events until Ctrl-C.")
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
