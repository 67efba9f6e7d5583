"""The command line: what the library does, asked from a shell.

Data goes to stdout, everything else to stderr. The exit code is 0 when done, 1 failed, 2 asked wrongly, 3 interrupted
with progress kept, 4 a check found something, 5 not authorised.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from auditframe import __version__
from auditframe.cli._output import give_up_stdout, is_debugging, unfail_stderr
from auditframe.errors import (
    AuditFrameError,
    AuditFrameWarning,
    AuthError,
    ParameterError,
    RequestError,
    SnapshotInterrupted,
    UnknownReportError,
    WindowError,
    did_you_mean,
)
from auditframe.text import inert

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FAILED, MISUSED, INTERRUPTED, FOUND, NOT_AUTHORISED = 1, 2, 3, 4, 5

_CODES: tuple[tuple[type[AuditFrameError], int], ...] = (
    (AuthError, NOT_AUTHORISED),
    (SnapshotInterrupted, INTERRUPTED),
    (UnknownReportError, MISUSED),
    (ParameterError, MISUSED),
    (WindowError, MISUSED),
    (AuditFrameError, FAILED),
)


class Command(NamedTuple):
    """A command that is imported when it is called.

    Attributes:
        module: Where it stands in this package.
        help: The first line of its help, which ``auditframe --help`` shows.
    """

    module: str
    help: str


COMMANDS: Mapping[str, Command] = {
    "demo": Command("demo", "See it work: a made-up organization, three answers, three plots."),
    "snapshot": Command("collect", "Bring a lake up to date with the audit log."),
    "import": Command("collect", "Add the events of files to a lake."),
    "load": Command("collect", "Read events into one table, without a lake."),
    "report": Command("ask", "Ask a lake, or files, a named question."),
    "reports": Command("ask", "List the reports: question, parameters, controls."),
    "sql": Command("ask", "Ask a lake one SELECT over events."),
    "status": Command("tend", "Say what a lake holds and how fresh it is."),
    "doctor": Command("examine", "Say which of key, scope, logging, network, clock or lake is the trouble."),
    "verify": Command("tend", "Read every byte of a lake again and name each fault."),
    "prove": Command("keep", "Prove that an event stands in a lake."),
    "quarantine": Command("keep", "List what arrived and could not be placed, and what came with another payload."),
    "rebuild": Command("keep", "Derive every column anew from the events' texts, after an upgrade."),
    "expire": Command("keep", "Remove every event before a date for good, and what was quarantined before it."),
    "erase": Command("keep", "Remove every event and quarantined item that names somebody, for good."),
    "sample": Command("pretend", "Write the events of a made-up organization."),
    "emulate": Command("pretend", "Serve a made-up organization like the endpoint."),
}
"""Every command, in the order in which somebody meets them."""


class _Root(click.Group):
    """Imports a command when it is called, and turns what it raises into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{COMMANDS[cmd_name].module}")
        return next(each for each in vars(module).values() if isinstance(each, click.Command) and each.name == cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"There is no command {args[0]!r}.{did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in COMMANDS.items()])

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except BrokenPipeError:
            raise
        except OSError as error:  # of help and version, which are shown before a command runs
            give_up_stdout()
            click.echo(f"auditframe: stdout cannot be written: {error.strerror}.", err=True)
            sys.exit(FAILED)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _shown_warnings():
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if is_debugging():
                raise
            if isinstance(error, OSError):
                give_up_stdout()  # it may be what cannot be written
            click.echo(f"auditframe: {_line(error)}", err=True)
            ctx.exit(_code(error))


@click.group(cls=_Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="auditframe", message="%(prog)s %(version)s")
def cli() -> None:
    """The OpenAI organization audit log as tables, a lake of Parquet, and reports.

    \b
    auditframe demo                              no key, no network
    auditframe snapshot --lake lake              key from OPENAI_ADMIN_KEY
    auditframe report login_failures --lake lake
    """  # noqa: D301 - click reads \b as "keep these lines"


def main() -> None:
    """Run the command line."""
    unfail_stderr()
    cli(prog_name="auditframe")


def _code(error: Exception) -> int:
    if isinstance(error, RequestError) and error.status_code is None:
        return MISUSED
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def _line(error: Exception) -> str:
    """Say on one line what went wrong; of a bug only where, because its text could hold anything."""
    if isinstance(error, AuditFrameError):
        return inert(" ".join(str(error).split()))
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if isinstance(error.filename, str) else ""
        return inert(f"{name}{error.strerror}.")
    return f"This is a bug: {type(error).__name__} at {_place(error)}. Report what it shows with --debug."


def _place(error: Exception) -> str:
    package = Path(__file__).parents[1]
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(package)]
    return f"{Path(own[-1].filename).relative_to(package)}:{own[-1].lineno}" if own else "an unknown place"


@contextlib.contextmanager
def _shown_warnings() -> Iterator[None]:
    """Show a warning about an answer as a line on stderr, and no other warning."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, AuditFrameWarning):
            click.echo(f"auditframe: {inert(str(message))}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always", AuditFrameWarning)
        warnings.showwarning = show
        yield
