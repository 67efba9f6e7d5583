"""Run files of the index: sorted fingerprints, read and held against their hashes a block at a time."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO

import msgspec
import numpy as np

from auditframe.fingerprints import STORED, are_in
from auditframe.lake.faults import open_regular
from auditframe.lake.records import Sealed, canonical

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

IDS_PER_BLOCK = 512  # 4 KiB: what a disk reads at once anyway
_BLOCK_BYTES = IDS_PER_BLOCK * STORED.itemsize
_DIGEST_BYTES = 32
_FEW = 4  # blocks are read by themselves until one in so many was, and then all at once


class Header(Sealed, frozen=True, kw_only=True):
    """The first line of a run file.

    Attributes:
        number: The entry of the last event that the run, or one that it stands on, speaks for.
        of_entry: How many ids were put down for that entry; more than it has new events when a run was killed.
        ids: How many fingerprints follow.
        sha256: The SHA-256 of the table of blocks.
        stands_on: The hash of each earlier run that is still needed, by the name of its file, oldest first.
        hash: As in the ledger entry.
    """

    number: int
    of_entry: int
    ids: int
    sha256: str
    stands_on: dict[str, str]


class StoredRun:
    """A run file. What few ids are asked of is read in blocks, so that a short look at a long run is a short one.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not what was put down; so do the methods, of the blocks that they read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with open_regular(path) as file:
            self.header = self._read_header(file)
            blocks = -(-self.header.ids // IDS_PER_BLOCK)
            table = file.read(blocks * (STORED.itemsize + _DIGEST_BYTES))
            self._begins_at = file.tell()
            size = os.fstat(file.fileno()).st_size
        self._firsts = np.frombuffer(table, STORED, blocks)
        self._digests = table[blocks * STORED.itemsize :]
        self._looked_at = 0
        self._ids: NDArray[np.uint64] | None = None
        is_whole = size == self._begins_at + self.header.ids * STORED.itemsize
        if not is_whole or sha256(table).hexdigest() != self.header.sha256:
            raise self._changed()

    @property
    def name(self) -> str:
        """The name of the file."""
        return self._path.name

    def __len__(self) -> int:
        """Return how many fingerprints there are."""
        return self.header.ids

    def whole(self) -> NDArray[np.uint64]:
        """Return all of them."""
        if self._ids is None:
            with open_regular(self._path) as file:
                self._ids = self._blocks(file, 0, len(self._firsts))
        return self._ids

    def holds(self, wanted: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Say of each that is wanted whether it is one of them, in the same order."""
        if self._ids is None:
            after = np.unique(np.searchsorted(self._firsts, wanted, side="right"))
            places = [int(place) - 1 for place in after if place]
            self._looked_at += len(places)
            if self._looked_at <= len(self._firsts) // _FEW:
                return are_in(self._some(places), wanted)
        return are_in(self.whole(), wanted)

    def _some(self, places: list[int]) -> NDArray[np.uint64]:
        with open_regular(self._path) as file:
            parts = [self._blocks(file, place, 1) for place in places]
        return np.concatenate([np.empty(0, np.uint64), *parts])

    def _blocks(self, file: BinaryIO, first: int, count: int) -> NDArray[np.uint64]:
        file.seek(self._begins_at + first * _BLOCK_BYTES)
        read = file.read(min(count * _BLOCK_BYTES, (len(self) - first * IDS_PER_BLOCK) * STORED.itemsize))
        if _digests(read) != self._digests[first * _DIGEST_BYTES : (first + count) * _DIGEST_BYTES]:
            raise self._changed()
        return np.frombuffer(read, STORED).astype(np.uint64, copy=False)

    def _read_header(self, file: BinaryIO) -> Header:
        line = file.readline().removesuffix(b"\n")
        header = msgspec.json.decode(line, type=Header)
        if line != canonical(header) or header.hash != header.computed_hash():
            raise self._changed()
        return header

    def _changed(self) -> ValueError:
        return ValueError(f"{self.name} was changed after it was written")


def encoded_run(
    ids: NDArray[np.uint64], *, number: int, of_entry: int, stands_on: Mapping[str, str]
) -> tuple[Header, tuple[bytes | memoryview, ...]]:
    """Return the header of a run file for sorted fingerprints, and the parts of its content."""
    stored = ids.astype(STORED, copy=False)
    data = stored.data.cast("B")
    table = stored[::IDS_PER_BLOCK].tobytes() + _digests(data)
    header = Header(
        number=number,
        of_entry=of_entry,
        ids=len(ids),
        sha256=sha256(table).hexdigest(),
        stands_on=dict(stands_on),
    ).sealed()
    return header, (canonical(header), b"\n", table, data)


def _digests(data: bytes | memoryview) -> bytes:
    """Return the SHA-256 of each block, one after the other."""
    view = memoryview(data)
    return b"".join(sha256(view[at : at + _BLOCK_BYTES]).digest() for at in range(0, len(view), _BLOCK_BYTES))
