"""Files that appear whole or not at all, on a local disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
from typing import TYPE_CHECKING

from auditframe.errors import LakeError, LakeLockedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_FILE_MODE = 0o600  # events are personal data
_FOLDER_MODE = 0o700


def make_folder(path: Path) -> None:
    """Create a folder and what leads to it, readable by its owner alone, and wait until they are on the disk."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        for folder in reversed(missing):
            folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            _sync_folder(folder.parent)
    except OSError as error:
        raise LakeError(f"The folder {path} cannot be made: {error.strerror}.", path=path) from error


def write_whole(*parts: bytes | memoryview, path: Path) -> None:
    """Write a file, one part after the other, and wait until it is on the disk."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _FILE_MODE), "wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())


def put(data: bytes, target: Path, *, staging: Path) -> None:
    """Write a file whole, or replace it whole; readers see the old or the new one, never a part."""
    put_parts((data,), target, staging=staging)


def put_parts(parts: Iterable[bytes | memoryview], target: Path, *, staging: Path) -> None:
    """As `put`; the file is all the parts, which are large and not to be copied."""
    staged = staging / f"{target.parent.name}.{target.name}"
    try:
        make_folder(target.parent)
        write_whole(*parts, path=staged)
        staged.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise LakeError(f"{target} cannot be written: {error.strerror}.", path=target) from error


def put_new(data: bytes, target: Path, *, staging: Path) -> None:
    """Write a file whole that must not exist yet; of two writers exactly one succeeds.

    Raises:
        FileExistsError: Somebody else wrote it first; it stays as it is.
    """
    staged = staging / f"{os.getpid()}.{target.name}"
    try:
        make_folder(target.parent)
        write_whole(data, path=staged)
        try:
            os.link(staged, target)
        finally:
            staged.unlink()
        _sync_folder(target.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise LakeError(f"{target} cannot be written: {error.strerror}.", path=target) from error


def remove(path: Path) -> None:
    """Remove a file for good; one that is gone already is no error."""
    try:
        path.unlink(missing_ok=True)
        if path.parent.exists():
            _sync_folder(path.parent)
    except OSError as error:
        raise LakeError(f"{path} cannot be removed: {error.strerror}.", path=path) from error


def remove_folder(path: Path) -> None:
    """Remove a folder when nothing is left in it."""
    try:
        if path.exists() and not any(path.iterdir()):
            path.rmdir()
            _sync_folder(path.parent)
    except OSError as error:
        raise LakeError(f"{path} cannot be removed: {error.strerror}.", path=path) from error


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until a change and its account are both made; only the main thread receives it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
    if held and callable(before):
        before(signal.SIGINT, None)


@contextlib.contextmanager
def writer_lock(path: Path) -> Iterator[None]:
    """Hold the lake's only writer's place; the system frees it when the process ends, however it ends.

    Raises:
        LakeLockedError: Another process holds it.
        LakeError: Nothing can be written there.
    """
    make_folder(path.parent)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, _FILE_MODE)
    except OSError as error:
        raise LakeError(
            f"{path} cannot be written: {error.strerror}. Check the owner and mode of the lake's folders, and that the "
            "disk is not mounted read-only.",
            path=path,
        ) from error
    try:
        _take(handle, path)
        yield
    finally:
        os.close(handle)


def _take(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LakeLockedError(
            f"Another process is writing to the lake at {path.parent.parent}. Wait until it ends.", path=path
        ) from None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
