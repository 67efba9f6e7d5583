"""What a disk holds after a power cut: only what was synced is sure to be there, and the rest comes in any order."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Step = tuple[str, tuple[str, ...], bytes]

LEFT_OUT = "left out"
"""The step that stands for a sync that was not made."""


@dataclass(eq=False)
class Inode:
    """A file's content.

    Attributes:
        seen: What a program would read.
        sure: What was there when it was last synced.
    """

    seen: bytes = b""
    sure: bytes = b""


@dataclass(frozen=True, slots=True)
class Luck:
    """What comes through a power cut though nobody synced it.

    Attributes:
        names: Whether a change of a name does; asked for each name by itself, so that order means nothing.
        content: What of a file's content does.
    """

    names: Callable[[], bool]
    content: Callable[[Inode], bytes]


NOTHING = Luck(names=lambda: False, content=lambda inode: inode.sure)
NAMES_ALONE = Luck(names=lambda: True, content=lambda inode: inode.sure)


def drawn(seed: int) -> Luck:
    """Draw what comes through: any of the names, and of a file the old content, none, a part, zeros, or all."""
    dice = Random(seed)  # noqa: S311 - reproducible, not secret

    def content(inode: Inode) -> bytes:
        if inode.seen == inode.sure:
            return inode.sure
        part = dice.randrange(len(inode.seen) + 1)
        return dice.choice((inode.sure, b"", inode.seen[:part], bytes(len(inode.seen)), inode.seen))

    return Luck(names=lambda: dice.random() < 0.5, content=content)


@dataclass
class Disk:
    """A folder as it seems to be, and as it surely is.

    Attributes:
        seen: Each path and its file; None for a folder.
        sure: For each folder, the names in it when it was last synced.
    """

    seen: dict[str, Inode | None] = field(default_factory=dict)
    sure: dict[str, dict[str, Inode | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path) -> Disk:
        """Take what stands in a folder for sure."""
        disk = cls()
        for path in sorted(root.rglob("*")):
            disk.seen[str(path)] = None if path.is_dir() else Inode(path.read_bytes(), path.read_bytes())
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            disk._sync_folder(str(folder))
        return disk

    def take(self, step: Step) -> None:
        """Do what a program did."""
        name, paths, content = step
        match name:
            case "create":
                self._file(paths[0])
            case "write":
                self._file(paths[0]).seen = content
            case "fsync":
                self._file(paths[0]).sure = self._file(paths[0]).seen
            case "sync_folder":
                self._sync_folder(paths[0])
            case "replace":
                self.seen[paths[1]] = self._file(paths[0])
                del self.seen[paths[0]]
            case "link":
                self.seen[paths[1]] = self._file(paths[0])
            case "unlink" | "rmdir":
                del self.seen[paths[0]]
            case "mkdir":
                self.seen[paths[0]] = None

    def write(self, root: Path, target: Path, luck: Luck) -> None:
        """Write what a power cut leaves into another folder.

        Args:
            root: The folder that this disk holds.
            target: Where to write it.
            luck: What comes through that nobody synced.
        """
        target.mkdir()
        contents: dict[Inode, bytes] = {}
        folders = [str(root)]
        while folders:
            for path, inode in self._left(folders.pop(), luck).items():
                place = target / Path(path).relative_to(root)
                if inode is None:
                    place.mkdir()
                    folders.append(path)
                else:
                    place.write_bytes(contents.setdefault(inode, luck.content(inode)))

    def _file(self, path: str) -> Inode:
        inode = self.seen.setdefault(path, Inode())
        assert inode is not None
        return inode

    def _sync_folder(self, folder: str) -> None:
        self.sure[folder] = self._names(folder)

    def _names(self, folder: str) -> dict[str, Inode | None]:
        return {path: inode for path, inode in self.seen.items() if os.path.dirname(path) == folder}  # noqa: PTH120

    def _left(self, folder: str, luck: Luck) -> dict[str, Inode | None]:
        seen, sure = self._names(folder), self.sure.get(folder, {})
        left = {path: (seen if luck.names() else sure) for path in sorted(seen.keys() | sure.keys())}
        return {path: names[path] for path, names in left.items() if path in names}


@contextlib.contextmanager
def recorded(root: Path, *, without: str | None = None) -> Iterator[list[Step]]:
    """Record what is done to a folder, so long as the context is open.

    Args:
        root: The folder.
        without: Leave out the syncs of which this pattern matches the whole of ``PATH after STEP``: the path relative
            to the root, and the name of the step before. None leaves out none.
    """
    steps: list[Step] = []
    call_open = os.open

    def note(name: str, *paths: object, content: bytes = b"") -> None:
        told = tuple(map(os.fsdecode, paths))  # type: ignore[arg-type]
        if Path(told[0]).is_relative_to(root):
            steps.append((name, told, content))

    def watched(name: str) -> Callable[..., Any]:
        call = getattr(os, name)

        def act(*args: Any, **options: Any) -> Any:
            done = call(*args, **options)
            note(name, *args[: 2 if name in ("replace", "link") else 1])
            return done

        return act

    def create(path: Any, flags: int, *args: Any, **options: Any) -> int:
        handle = call_open(path, flags, *args, **options)
        if flags & os.O_CREAT:
            note("create", path)
        return handle

    def fsync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if not path.is_dir():
            note("write", path, content=path.read_bytes())
        is_left_out = re.fullmatch(without or "", f"{path.relative_to(root)} after {steps[-1][0]}")
        note(LEFT_OUT if is_left_out else "sync_folder" if path.is_dir() else "fsync", path)

    named: dict[str, Any] = {name: watched(name) for name in ("replace", "link", "unlink", "rmdir", "mkdir")}
    with mock.patch.multiple(os, **named, fsync=fsync, open=create):
        yield steps
