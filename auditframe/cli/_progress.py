"""How far a snapshot is: a bar on a terminal, a line now and then elsewhere, nothing when quiet."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Never

import click
from stamina.instrumentation import RetryDetails, set_on_retry_hooks
from tqdm import tqdm

from auditframe.cli._output import is_quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditframe.snapshot import Progress

LINES = 10
"""About how many lines a run writes that shows no bar."""


@contextlib.contextmanager
def shown_progress() -> Iterator[Callable[[Progress], None]]:
    """Yield what a snapshot calls each time that events were merged."""
    if is_quiet():
        yield lambda _: None
    elif sys.stderr.isatty():
        bar: tqdm[Never] = tqdm(unit=" windows", leave=False, dynamic_ncols=True, file=sys.stderr)
        with bar, _told_waits():
            yield lambda progress: _move(bar, progress)
    else:
        yield _lines()


def _move(bar: tqdm[Never], progress: Progress) -> None:
    bar.total = progress.windows_total
    bar.set_description_str(f"{progress.new:,} new events", refresh=False)
    bar.update(progress.windows_done - bar.n)


@contextlib.contextmanager
def _told_waits() -> Iterator[None]:
    """Say why nothing moves while the client waits to try a page again."""

    def tell(details: RetryDetails) -> None:
        what = type(details.caused_by).__name__
        tqdm.write(f"{what}; trying again in {details.wait_for:.0f} s", file=sys.stderr)

    set_on_retry_hooks([tell])
    try:
        yield
    finally:
        set_on_retry_hooks(None)


def _lines() -> Callable[[Progress], None]:
    said = 0

    def tell(progress: Progress) -> None:
        nonlocal said
        tenth = progress.windows_done * LINES // progress.windows_total
        if tenth > said:
            said = tenth
            click.echo(
                f"{progress.windows_done} of {progress.windows_total} windows read, {progress.new} new events", err=True
            )

    return tell
