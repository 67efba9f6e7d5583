"""What stands in a lake and does not belong there, and what runs leave for the next one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from typing import TYPE_CHECKING, TypeVar

import msgspec

from auditframe.lake.faults import UNREADABLE, Fault, cause, names_in, read_regular
from auditframe.lake.index import is_run
from auditframe.lake.journal import Journal, Walk, walk_file
from auditframe.lake.layout import EVENTS_FILE
from auditframe.lake.records import Sealed, canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from auditframe.lake.layout import Layout

T = TypeVar("T", bound=Sealed)

_ENTRY = re.compile(r"[0-9]{8,}\.json")


def strangers(layout: Layout, *, known: Collection[str]) -> Iterator[Fault]:
    """Name every file, folder and link that the lake did not put where it stands.

    Args:
        layout: The lake.
        known: The partitions that the ledger ever spoke of; a run that was killed may leave their folders empty.
    """
    own = (layout.events, layout.index, layout.ledger, layout.quarantine, layout.resume, layout.staging)
    folders = {each.name for each in own}
    yield from _others(
        layout.root, "The lake did not put it here.", {layout.description.name}.__contains__, folders.__contains__
    )
    yield from _others(layout.index, "It is no part of the index.", is_run)
    yield from _others(layout.ledger, "It is no entry of the ledger.", lambda name: bool(_ENTRY.fullmatch(name)))
    yield from _others(
        layout.staging,
        "It was never finished: a run was killed while it wrote it. The next writer removes it, if it is a file.",
        {layout.lock.name, layout.journal.name}.__contains__,
    )
    yield from _others(layout.resume, "It is no window that a run was reading.", lambda name: name.endswith(".json"))
    yield from _among_partitions(layout, known)


def leftovers(layout: Layout, *, number: int) -> Iterator[Fault]:
    """Name what is wrong with the files that one run leaves for the next: lock, journal, walks.

    Args:
        layout: The lake.
        number: The next entry's; a journal of an earlier one has nothing left to tell.
    """
    if _size(layout.lock):
        yield Fault(layout.lock, "The lock holds something; it is always empty.")
    yield from _walk_faults(layout)
    journal = read_sealed(layout.journal, Journal) if os.path.lexists(layout.journal) else None
    if isinstance(journal, str):
        yield Fault(layout.journal, f"{journal} The next entry will speak of everything that is there.")
    elif journal is not None and journal.removal is not None and journal.number >= number:
        yield Fault(layout.journal, f"A run of kind {journal.kind} was cut short; the next writer completes it.")


def read_sealed(path: Path, kind: type[T]) -> T | str:
    """Read a record that carries its own hash; of a damaged one, return what is wrong."""
    try:
        data = read_regular(path)
        record = msgspec.json.decode(data, type=kind)
        is_whole = data == canonical(record) and record.hash == record.computed_hash()
    except UNREADABLE as error:
        return f"It cannot be read: {cause(error)}."
    return record if is_whole else "It was changed after it was written."


def is_being_written(layout: Layout) -> bool:
    """Whether a process holds the lake's only writer's place."""
    try:
        handle = os.open(layout.lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def partitions_there(layout: Layout) -> set[str]:
    """Return the name of each partition that has a file; `strangers` names the folders that cannot be read."""
    named = {_partition_of(layout, folder.name): folder for folder in _listed(layout.events)}
    return {name for name, folder in named.items() if name and os.path.lexists(folder / EVENTS_FILE)}


def _no(_: str) -> bool:
    return False


def _others(
    folder: Path, what: str, is_file: Callable[[str], bool], is_folder: Callable[[str], bool] = _no
) -> Iterator[Fault]:
    """Name what stands in a folder and is neither a file nor a folder that belongs there."""
    try:
        for path in (folder / name for name in names_in(folder)):
            if path.is_symlink():
                yield Fault(path, "It is a link; the lake makes none.")
            elif not (is_file(path.name) if path.is_file() else path.is_dir() and is_folder(path.name)):
                yield Fault(path, what)
    except OSError as error:
        yield Fault(folder, f"The folder cannot be read: {cause(error)}.")


def _among_partitions(layout: Layout, known: Collection[str]) -> Iterator[Fault]:
    what = "It is no partition; engines that glob this folder count it."
    yield from _others(layout.events, what, _no, lambda name: _partition_of(layout, name) is not None)
    for folder in _listed(layout.events):
        partition = _partition_of(layout, folder.name)
        if partition is None:
            continue
        yield from _others(folder, what, EVENTS_FILE.__eq__)
        is_known = partition in known
        with contextlib.suppress(OSError):
            if not is_known and folder.is_dir() and not names_in(folder):
                yield Fault(folder, "The folder is empty; a partition has a file.")


def _listed(folder: Path) -> list[Path]:
    """Return what stands in a folder, sorted; of one that cannot be read nothing, `_others` names it."""
    try:
        return [folder / name for name in names_in(folder)]
    except OSError:
        return []


def _partition_of(layout: Layout, folder: str) -> str | None:
    """Return the partition that a folder is for; None when its name is none of this lake's."""
    name = layout.grain.named_by(folder)
    return name if name is not None and layout.grain.is_partition(name) else None


def _walk_faults(layout: Layout) -> Iterator[Fault]:
    for path in _listed(layout.resume):
        walk = read_sealed(path, Walk)
        if isinstance(walk, str):
            yield Fault(path, f"{walk} Delete it; its window is read anew.")
        elif not _is_in_its_place(layout, walk, path):
            yield Fault(path, "It tells of another window than its name, or of none. Delete it.")


def _is_in_its_place(layout: Layout, walk: Walk, path: Path) -> bool:
    try:
        return walk_file(layout, walk) == path and walk.window is not None and walk.asked_at.tzinfo is not None
    except UNREADABLE:
        return False


def _size(path: Path) -> int:
    """Return the size of what stands at a path [B]; 0 when nothing does."""
    try:
        return path.lstat().st_size
    except OSError:
        return 0
