"""What a disk holds after a power cut: only what was synced is sure to be there."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    Step = tuple[str, tuple[str, ...], bytes]


@dataclass
class Inode:
    """A file's content as far as it was synced."""

    content: bytes = b""


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
            disk.seen[str(path)] = None if path.is_dir() else Inode(path.read_bytes())
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            disk.sync_folder(str(folder))
        return disk

    def take(self, step: Step) -> None:
        """Do what a program did."""
        name, paths, content = step
        match name:
            case "fsync":
                self.seen.setdefault(paths[0], Inode())
                inode = self.seen[paths[0]]
                assert inode is not None
                inode.content = content
            case "sync_folder":
                self.sync_folder(paths[0])
            case "replace":
                self.seen[paths[1]] = self.seen.pop(paths[0], None) or Inode()
            case "link":
                self.seen[paths[1]] = self.seen.get(paths[0]) or Inode()
            case "unlink" | "rmdir":
                self.seen.pop(paths[0], None)
            case "mkdir":
                self.seen[paths[0]] = None

    def sync_folder(self, folder: str) -> None:
        """Make the names in a folder sure."""
        self.sure[folder] = {path: inode for path, inode in self.seen.items() if os.path.dirname(path) == folder}  # noqa: PTH120

    def write(self, root: Path, target: Path, dice: Random | None) -> None:
        """Write what a power cut leaves into another folder.

        Args:
            root: The folder that this disk holds.
            target: Where to write it.
            dice: Which of the changes that nobody synced came through all the same; None for none.
        """
        target.mkdir()
        folders = [str(root)]
        while folders:
            folder = folders.pop()
            for path, inode in self._left(folder, dice).items():
                place = target / Path(path).relative_to(root)
                if inode is None:
                    place.mkdir()
                    folders.append(path)
                else:
                    place.write_bytes(inode.content)

    def _left(self, folder: str, dice: Random | None) -> dict[str, Inode | None]:
        sure = self.sure.get(folder, {})
        if dice is None:
            return sure
        seen = {path: inode for path, inode in self.seen.items() if os.path.dirname(path) == folder}  # noqa: PTH120
        left = {path: (seen if dice.random() < 0.5 else sure) for path in sorted(seen.keys() | sure.keys())}
        return {path: names[path] for path, names in left.items() if path in names}


@contextlib.contextmanager
def recorded(root: Path, *, without: str | None = None) -> Iterator[list[Step]]:
    """Record what is done to a folder, so long as the context is open.

    Args:
        root: The folder.
        without: Leave out the syncs of paths that hold this; None leaves out none.
    """
    steps: list[Step] = []

    def note(name: str, *paths: object, content: bytes = b"") -> None:
        told = tuple(map(os.fsdecode, paths))  # type: ignore[arg-type]
        if told[0].startswith(str(root)):
            steps.append((name, told, content))

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any, **options: Any) -> Any:
            done = call(*args, **options)
            note(name, *args[: 2 if name in ("replace", "link") else 1])
            return done

        return act

    def fsync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if without is not None and without in f"{path}/":
            return
        if path.is_dir():
            note("sync_folder", path)
        else:
            note("fsync", path, content=path.read_bytes())

    names = ("replace", "link", "unlink", "rmdir", "mkdir")
    with contextlib.ExitStack() as patched:
        for name in names:
            patched.enter_context(mock.patch.object(os, name, watched(name, getattr(os, name))))
        patched.enter_context(mock.patch.object(os, "fsync", fsync))
        yield steps
