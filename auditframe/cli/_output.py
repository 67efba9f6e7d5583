"""Where output goes: data to stdout or into a file, everything else to stderr."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auditframe.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from _typeshed import ReadableBuffer

    from auditframe.render import Format
    from auditframe.reports import Report

QUIET, DEBUG = f"{__name__}.quiet", f"{__name__}.debug"

ENDINGS: dict[str, Format] = {".txt": "table", ".csv": "csv", ".json": "json", ".parquet": "parquet", ".md": "md"}
"""The format that the ending of a file's name asks for."""

FORMS: tuple[Format, ...] = (*ENDINGS.values(), "records")
"""Every format."""

PICTURES = (".png", ".svg", ".pdf")

PICTURE_DPI = 120

_STDOUT = Path("/dev/stdout")


@dataclass(frozen=True, slots=True)
class Output:
    """Where an answer goes, and how it is written.

    Attributes:
        form: The format; None for the one that reads best.
        file: The file; None is stdout.
    """

    form: Format | None
    file: Path | None

    def write(self, answer: pa.Table) -> None:
        """Write an answer."""
        from auditframe.render import FORMATS, to_records, to_table  # pyarrow, which --help must not load

        form = self.form or _best_form(answer)
        to_read = {"table": to_table, "records": to_records}
        if form in to_read and self.file is None:
            data: str | bytes = to_read[form](answer, width=terminal_width())
        else:
            data = FORMATS[form](answer)
        if self.file is None:
            print_data(data, nl=False)
        else:
            write_file(self.file, data)

    def write_text(self, text: str) -> None:
        """Write a text that is no answer, such as SQL."""
        if self.form is not None:
            raise click.UsageError(f"That is SQL and cannot be written as {self.form}; leave --format away.")
        if self.file is None:
            print_data(text)
        else:
            write_file(self.file, f"{text}\n")


class _Unfailing(io.FileIO):
    """A file that lets go of what it cannot take."""

    def write(self, data: ReadableBuffer, /) -> int:
        with contextlib.suppress(OSError):
            return super().write(data) or memoryview(data).nbytes  # nothing: it would have to be waited for
        return memoryview(data).nbytes


def is_quiet() -> bool:
    """Whether only data and failures are wanted."""
    return _flag(QUIET)


def is_debugging() -> bool:
    """Whether a failure shows where it was raised."""
    return _flag(DEBUG)


def say(text: str) -> None:
    """Tell the person something that is no data."""
    if not is_quiet():
        click.echo(text, err=True)


def complain(text: str) -> None:
    """Tell the person what an exit code stands for, also to somebody who wants quiet."""
    click.echo(text, err=True)


def unfail_stderr() -> None:
    """Let no run fail because stderr is full or closed: what is told there is worth less than what is done."""
    fd = os.open(os.devnull, os.O_WRONLY) if sys.stderr is None else sys.stderr.fileno()
    encoding = getattr(sys.stderr, "encoding", "utf-8")
    file = io.BufferedWriter(_Unfailing(fd, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(file, encoding, errors="backslashreplace", line_buffering=True)


def give_up_stdout() -> None:
    """Let what is left in stdout's buffer go, or Python tries again when it ends and has the last word."""
    with contextlib.suppress(OSError), open(os.devnull, "wb") as null:  # noqa: PTH123 - it is no path of anybody's
        if sys.stdout is not None:
            os.dup2(null.fileno(), sys.stdout.fileno())


def print_data(data: str | bytes, *, nl: bool = True) -> None:
    """Write data to stdout, and a line's end unless nl says that it has one.

    Raises:
        FileError: It is full or closed.
    """
    if sys.stdout is None:
        raise FileError("stdout is closed. Send it into a file, or to /dev/null.", path=_STDOUT)
    try:
        click.echo(data, nl=nl)
    except BrokenPipeError:
        raise  # whoever read has read enough
    except OSError as error:
        give_up_stdout()
        raise FileError(f"stdout cannot be written: {error.strerror}.", path=_STDOUT) from error


def print_summary(facts: dict[str, Any]) -> None:
    """Write what a run did as one JSON object on a line of stdout."""
    print_data(json.dumps(facts, default=_iso))


def terminal_width() -> int | None:
    """Return how wide a line of stdout may be [characters]; None when it is no terminal."""
    return shutil.get_terminal_size().columns if is_terminal() else None


def is_terminal() -> bool:
    """Whether stdout is shown to a person; a closed one is not."""
    return sys.stdout is not None and sys.stdout.isatty()


def write_file(path: Path, data: str | bytes) -> None:
    """Write a file whole, readable by its owner alone; nobody ever sees a part of it.

    Raises:
        FileError: It cannot be written; what stood there before still does.
    """
    content = data.encode() if isinstance(data, str) else data
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)  # a device or a pipe cannot be renamed over
        else:
            _replace(path.resolve(), content)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror}.", path=path) from error


def write_plot(
    path: Path,
    report: Report[Any],
    answer: pa.Table,
    *,
    beside: pa.Table | None = None,
    params: Mapping[str, Any] | None = None,
) -> None:
    """Draw an answer as `figure_of` does, and write it in the format that the file's name asks for."""
    from auditframe.plots import figure_of  # matplotlib

    picture = io.BytesIO()
    figure = figure_of(report, answer, beside=beside, params=params)
    figure.savefig(picture, format=path.suffix.lower()[1:], dpi=PICTURE_DPI)
    write_file(path, picture.getvalue())


def _best_form(answer: pa.Table) -> Format:
    """Say how to show an answer: the sentences of findings find no room in a line of a terminal."""
    is_narrow = terminal_width() is not None and "why" in answer.column_names
    return "records" if is_narrow and answer.num_rows else "table"


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} is nothing that JSON has")


def _flag(name: str) -> bool:
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get(name))
