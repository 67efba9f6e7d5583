"""A spool: texts put down on the disk by the day that they tell of, to be taken up day by day."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import pyarrow as pa

from auditframe.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Day = int | None
"""A number of days since 1970; None for texts that tell of no day."""

_CODEC: Final = "zstd"


class _Block(msgspec.Struct, array_like=True):
    """Texts of a day that were put down together."""

    size: int
    packed: bytes


class Spool:
    """Texts by day, on the disk for as long as the context is open.

    Args:
        room_bytes: How much of them memory holds before they are put down [B].
    """

    def __init__(self, *, room_bytes: int) -> None:
        self._room_bytes = room_bytes
        self._held: dict[Day, list[bytes]] = {}
        self._held_bytes = 0
        self._files: dict[Day, Path] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="auditframe-")

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def add(self, texts: Iterable[tuple[Day, bytes]]) -> None:
        """Take in texts.

        Raises:
            FileError: The folder for temporary files cannot hold them.
        """
        for day, text in texts:
            self._held.setdefault(day, []).append(text)
            self._held_bytes += len(text)
        if self._held_bytes >= self._room_bytes:
            self._put_down()

    def by_day(self) -> Iterator[Sequence[bytes]]:
        """Yield the texts of each day in the order in which they came, the oldest day first, last those of no day."""
        self._put_down()
        for day in sorted(self._files, key=lambda day: (day is None, day)):
            yield from _blocks(self._files[day])

    def _put_down(self) -> None:
        for day, texts in self._held.items():
            path = self._files.setdefault(day, Path(self._folder.name) / str(len(self._files)))
            _append(path, texts)
        self._held.clear()
        self._held_bytes = 0


def _append(path: Path, texts: list[bytes]) -> None:
    content = msgspec.msgpack.encode(texts)
    block = msgspec.msgpack.encode(_Block(len(content), pa.compress(content, codec=_CODEC, asbytes=True)))
    try:
        with path.open("ab") as file:
            file.write(len(block).to_bytes(8, "little") + block)
    except OSError as error:
        raise FileError(
            f"{path} cannot be written: {error.strerror or error}. Files that are not in the order of time are sorted "
            "in the folder for temporary files first; TMPDIR names another one.",
            path=path,
        ) from error


def _blocks(path: Path) -> Iterator[list[bytes]]:
    with path.open("rb") as file:
        while length := file.read(8):
            block = msgspec.msgpack.decode(file.read(int.from_bytes(length, "little")), type=_Block)
            content = pa.decompress(block.packed, decompressed_size=block.size, codec=_CODEC, asbytes=True)
            yield msgspec.msgpack.decode(content, type=list[bytes])
