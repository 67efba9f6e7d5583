"""Which ids a lake may hold: eight bytes an id, sorted, in files beside the events that any run can make anew."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from auditframe.fingerprints import STORED, Fingerprints, fingerprints
from auditframe.lake.faults import UNREADABLE, Fault, cause, names_in, open_regular
from auditframe.lake.merge import texts
from auditframe.lake.parquet import read_partition
from auditframe.lake.records import Sealed, canonical
from auditframe.lake.storage import put, remove

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from auditframe.lake.layout import Layout
    from auditframe.lake.records import Entry

_ANEW = "The next writer makes the index anew."
_NAME = re.compile(r"[0-9]{8}\.ids")


class Header(Sealed, frozen=True, kw_only=True):
    """The first line of a run file; the fingerprints follow, eight bytes each, little-endian, sorted.

    Attributes:
        number: The entry of the last event that the run, or one that it stands on, speaks for.
        of_entry: How many ids were put down for that entry; more than it has new events when a run was killed.
        ids: How many fingerprints follow.
        sha256: The SHA-256 of them.
        stands_on: The hash of each earlier run that is still needed, by the name of its file, oldest first.
        hash: As in the ledger entry.
    """

    number: int
    of_entry: int
    ids: int
    sha256: str
    stands_on: dict[str, str]


@dataclass(frozen=True, slots=True)
class Run:
    """A run file.

    Attributes:
        name: The name of the file.
        header: Its first line.
        ids: The fingerprints, sorted.
    """

    name: str
    header: Header
    ids: NDArray[np.uint64]


class Index:
    """The fingerprints of a lake's ids on the disk, held open by its one writer.

    The fingerprint of an id is put down before its event is, so a killed run may leave more of them than events, and
    never fewer.
    """

    def __init__(self, layout: Layout, entries: Sequence[Entry]) -> None:
        self._layout = layout
        self._of_entry = 0
        self._asked: tuple[Sequence[str], NDArray[np.uint64]] = ((), fingerprints(()))
        runs = _current_runs(layout, entries)
        self._held = Fingerprints(run.ids for run in runs)
        self._hashes = {run.name: run.header.hash for run in runs}
        files = _files(layout)
        self._last = int(files[-1].partition(".")[0]) if files else 0
        self._drop(set(files) - self._hashes.keys())
        if not runs and (there := layout.partitions()):
            read = (read_partition(path, path=path, columns=["id"]) for path in there.values())
            self._of_entry = entries[-1].counts.new if entries else 0
            self._put_down(np.concatenate([fingerprints(texts(rows, "id")) for rows in read]), number=len(entries))
            self._of_entry = 0

    def add(self, ids: Sequence[str], *, number: int) -> None:
        """Put ids down.

        Args:
            ids: The ids.
            number: The entry that will speak for their events; the same for everything that one writer adds.
        """
        if ids:
            self._of_entry += len(ids)
            self._put_down(self._fingerprints_of(ids), number=number)

    def may_hold(self, ids: Sequence[str]) -> list[str]:
        """Return, in their order, the ids that may have been added."""
        return self._held.may_hold(ids, self._fingerprints_of(ids))

    def _fingerprints_of(self, ids: Sequence[str]) -> NDArray[np.uint64]:
        """Return the fingerprints of ids; most that are asked for are added next."""
        if ids != self._asked[0]:
            self._asked = (ids, fingerprints(ids))
        return self._asked[1]

    def _put_down(self, ids: NDArray[np.uint64], *, number: int) -> None:
        run, taken = self._held.joined(ids)
        left = len(self._hashes) - taken
        stay, gone = dict(list(self._hashes.items())[:left]), list(self._hashes)[left:]
        self._last += 1
        name, header = f"{self._last:08d}.ids", _header(run, number=number, of_entry=self._of_entry, stands_on=stay)
        put(_encoded(header, run), self._layout.index / name, staging=self._layout.staging)
        self._held.put(run, taken)
        self._hashes = stay | {name: header.hash}
        self._drop(gone)

    def _drop(self, names: Iterable[str]) -> None:
        """Remove files that nothing needs; of a run that is killed before, the next writer does."""
        for name in names:
            remove(self._layout.index / name)


def is_run(name: str) -> bool:
    """Whether a file of the index may be called so."""
    return bool(_NAME.fullmatch(name))


def index_faults(layout: Layout) -> Iterator[Fault]:
    """Name what is wrong with the files of the index; that one is missing altogether is nothing wrong."""
    headers: dict[str, Header] = {}
    names = _files(layout)
    for name in names:
        try:
            headers[name] = _decoded(layout.index / name).header
        except UNREADABLE as error:
            yield Fault(layout.index / name, f"It cannot be read: {cause(error)}. {_ANEW}")
    if not names or names[-1] not in headers:
        return
    needed = headers[names[-1]].stands_on
    for name, hash_ in needed.items():
        if name not in names or (name in headers and headers[name].hash != hash_):
            yield Fault(layout.index / name, f"The run that {names[-1]} stands on is missing. {_ANEW}")
    for name in headers.keys() - needed.keys() - {names[-1]}:
        yield Fault(layout.index / name, "Nothing needs it: a run was killed. The next writer removes it.")


def _current_runs(layout: Layout, entries: Sequence[Entry]) -> list[Run]:
    """Return the runs that hold every id of the lake; none when they are not whole, or older than the events."""
    try:
        runs = _read_runs(layout)
    except UNREADABLE:
        return []
    number, of_entry = (runs[-1].header.number, runs[-1].header.of_entry) if runs else (0, 0)
    is_older = number > len(entries) or any(entry.counts.new for entry in entries[number:])
    is_cut_short = 0 < number <= len(entries) and of_entry < entries[number - 1].counts.new
    return [] if is_older or is_cut_short else runs


def _read_runs(layout: Layout) -> list[Run]:
    """Read the newest run and those that it stands on, oldest first.

    Raises:
        ValueError: One of them is not what was put down.
    """
    files = _files(layout)
    if not files:
        return []
    newest = _decoded(layout.index / files[-1])
    runs = [*(_decoded(layout.index / name) for name in newest.header.stands_on), newest]
    if {run.name: run.header.hash for run in runs[:-1]} != newest.header.stands_on:
        raise ValueError("a run is not the one that the newest stands on")
    return runs


def _header(run: NDArray[np.uint64], *, number: int, of_entry: int, stands_on: Mapping[str, str]) -> Header:
    hash_ = sha256(_buffer(run)).hexdigest()
    header = Header(number=number, of_entry=of_entry, ids=len(run), sha256=hash_, stands_on=dict(stands_on))
    return header.sealed()


def _encoded(header: Header, run: NDArray[np.uint64]) -> bytes:
    return b"\n".join([canonical(header), _buffer(run)])


def _buffer(run: NDArray[np.uint64]) -> memoryview:
    return run.astype(STORED, copy=False).data


def _decoded(path: Path) -> Run:
    with open_regular(path) as file:
        line = file.readline().removesuffix(b"\n")
        header = msgspec.json.decode(line, type=Header)
        ids = np.fromfile(file, dtype=STORED)  # straight from the file: they are most of it
        is_read = file.tell() == path.stat().st_size
    is_whole = line == canonical(header) and header.hash == header.computed_hash()
    if not is_read or not is_whole or sha256(ids.data).hexdigest() != header.sha256 or len(ids) != header.ids:
        raise ValueError(f"{path.name} was changed after it was written")
    return Run(path.name, header, ids.astype(np.uint64, copy=False))


def _files(layout: Layout) -> list[str]:
    """Return the names of the runs, oldest first; of a folder that cannot be read none, `strangers` names it."""
    with contextlib.suppress(OSError):
        return [name for name in names_in(layout.index) if is_run(name)]
    return []
