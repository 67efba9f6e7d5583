"""The options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditframe.cli._output import DEBUG, ENDINGS, FORMS, PICTURES, QUIET, Output, is_terminal
from auditframe.window import parse_window

if TYPE_CHECKING:
    from auditframe.render import Format

Body = Callable[..., None]

TIME_HELP = "a date (2026-07-01), a time with its zone, or a time ago (-30d, -6h)"


def run_options(body: Body) -> Body:
    """Add --quiet and --debug, which every command has."""
    for name, key, help_ in (
        ("--debug", DEBUG, "Show where a failure was raised."),
        ("--quiet", QUIET, "Say nothing but data and failures."),
    ):
        body = click.option(name, is_flag=True, expose_value=False, callback=_remember(key), help=help_)(body)
    return body


def json_option(body: Body) -> Body:
    """Add --json: a run's summary as one JSON object on stdout."""
    return click.option("--json", "as_json", is_flag=True, help="Summarize the run as one JSON object on stdout.")(body)


def lake_option(body: Body) -> Body:
    """Add --lake, which must be given."""
    return _lake(_require_lake)(body)


def optional_lake_option(body: Body) -> Body:
    """Add --lake for a command that can also be asked of files."""
    return _lake(None)(body)


def window_options(body: Body) -> Body:
    """Add --start and --end; the command gets a `Window`."""

    @click.option("--start", metavar="TIME", help=f"The first instant wanted: {TIME_HELP}.")
    @click.option("--end", metavar="TIME", help="The first instant not wanted any more.")
    @functools.wraps(body)
    def wrapped(*args: Any, start: str | None, end: str | None, **rest: Any) -> None:
        body(*args, window=parse_window(start, end), **rest)

    return wrapped


def output_options(body: Body) -> Body:
    """Add --format and --out; the command gets an `Output`."""

    @click.option(
        "--format",
        "form",
        type=click.Choice(FORMS),
        help="How to write it; after the ending of --out if that says, else table (findings on a terminal: records). "
        "A table cuts long texts and lists, and records on a terminal long lists; every other format is whole.",
    )
    @click.option(
        "--out", type=click.Path(path_type=Path), callback=writable, help="Write to this file, not to stdout."
    )
    @functools.wraps(body)
    def wrapped(*args: Any, form: Format | None, out: Path | None, **rest: Any) -> None:
        is_sql = rest.get("explain", False)  # whatever the file's name ends with
        output = Output(form if is_sql else form or _form_of(out), out)
        if output.form == "parquet" and out is None and is_terminal():
            raise click.UsageError("A terminal cannot show Parquet; give it a file with --out.")
        body(*args, output=output, **rest)

    return wrapped


def writable(_: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Refuse a file that cannot be written before anything is asked or fetched for it."""
    if path is not None and path.is_dir():
        raise click.BadParameter(f"{path} is a folder; name a file in it.", param=parameter)
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"There is no folder {path.parent}; make it first.", param=parameter)
    return path


def picture(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Refuse the name of a plot that no format goes with."""
    if path is not None and path.suffix.lower() not in PICTURES:
        raise click.BadParameter(f"{path} must end with {', '.join(PICTURES)}.", param=parameter)
    return writable(context, parameter, path)


def _form_of(out: Path | None) -> Format | None:
    if out is None:
        return None
    if out.suffix.lower() not in ENDINGS:
        raise click.UsageError(f"{out} has none of the endings {', '.join(ENDINGS)}; say how with --format.")
    return ENDINGS[out.suffix.lower()]


def _lake(callback: Callable[[click.Context, click.Parameter, str | None], str] | None) -> Callable[[Body], Body]:
    return click.option(
        "--lake",
        envvar="AUDITFRAME_LAKE",
        metavar="FOLDER",
        callback=callback,
        help="The lake; AUDITFRAME_LAKE when not given.",
    )


def _require_lake(context: click.Context, parameter: click.Parameter, lake: str | None) -> str:
    if not lake:
        raise click.UsageError("Which lake? Give --lake FOLDER, or set AUDITFRAME_LAKE.", ctx=context)
    return lake


def _remember(key: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    def remember(context: click.Context, _: click.Parameter, value: bool) -> None:
        context.meta[key] = value or context.meta.get(key, False)

    return remember
