"""A disk of a few hundred kilobytes, in memory, that can be filled and made read-only; Linux, and root, are needed."""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SIZE_PAGES = 512


@cache
def missing() -> str | None:
    """Say why no small disk can be made here; None when one can."""
    try:
        with tempfile.TemporaryDirectory() as folder, small_disk(Path(folder)):
            return None
    except (OSError, subprocess.CalledProcessError):
        return "a small tmpfs cannot be mounted here"


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a small disk at a folder."""
    _mount(f"size={SIZE_PAGES * PAGE_BYTES},mode=700", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True, capture_output=True)  # noqa: S603, S607


@contextmanager
def filled(disk: Path, *, but_pages: int) -> Iterator[None]:
    """Leave so many free pages on a disk, so long as the context is open."""
    ballast = disk / "ballast"
    free = os.statvfs(disk)
    ballast.write_bytes(bytes(max(free.f_bavail * free.f_frsize - but_pages * PAGE_BYTES, 0)))
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Let nothing be written to a disk, so long as the context is open."""
    _mount("remount,ro", disk)
    try:
        yield
    finally:
        _mount("remount,rw", disk)


def _mount(options: str, folder: Path) -> None:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603
