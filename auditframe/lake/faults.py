"""A fault, and reading in a way that ends in one, never in a traceback and never in waiting for a pipe."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import msgspec
import pyarrow as pa

from auditframe.errors import AuditFrameError

if TYPE_CHECKING:
    from pathlib import Path

UNREADABLE = (
    AuditFrameError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    MemoryError,
    RecursionError,
    msgspec.MsgspecError,
    pa.ArrowException,
)
"""What reading a file that somebody else wrote may end in."""

_LONGEST_CAUSE = 200


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as the ledger says.

    Attributes:
        path: The file or folder.
        what: What is wrong with it, as a sentence.
    """

    path: Path
    what: str


def read_regular(path: Path) -> bytes:
    """Read a file as `open_regular` opens it."""
    with open_regular(path) as file:
        return file.read()


def open_regular(path: Path) -> BinaryIO:
    """Open a file that must be one itself: no folder, no link to elsewhere, no pipe that never answers.

    Raises:
        OSError: It is none, or cannot be read.
    """
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode):
        raise OSError("a link stands here" if stat.S_ISLNK(mode) else "no file stands here")
    return path.open("rb")


def names_in(folder: Path) -> list[str]:
    """Return what stands in a folder, sorted; nothing when the folder is missing.

    Raises:
        OSError: It is no folder, or cannot be read.
    """
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - of a path, names that are not UTF-8 come the same
    except FileNotFoundError:
        return []


def cause(error: BaseException) -> str:
    """Say in a line why something could not be read."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return text.splitlines()[0][:_LONGEST_CAUSE].rstrip(".")
