"""Which ids a lake may hold: eight bytes an id, sorted, in files beside the events that any run can make anew."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from auditframe.fingerprints import Fingerprints, fingerprints
from auditframe.lake.faults import UNREADABLE, Fault, cause, names_in
from auditframe.lake.merge import texts
from auditframe.lake.parquet import read_partition
from auditframe.lake.runs import StoredRun, encoded_run
from auditframe.lake.storage import put, remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from auditframe.lake.layout import Layout
    from auditframe.lake.records import Entry
    from auditframe.lake.runs import Header

T = TypeVar("T")

_ANEW = "The next writer makes the index anew."
_NAME = re.compile(r"[0-9]{8}\.ids")


class Index:
    """The fingerprints of a lake's ids on the disk, held open by its one writer.

    The fingerprint of an id is put down before its event is, so a killed run may leave more of them than events, and
    never fewer.
    """

    def __init__(self, layout: Layout, entries: Sequence[Entry]) -> None:
        self._layout = layout
        self._number, self._of_entry = len(entries), entries[-1].counts.new if entries else 0
        self._asked: tuple[Sequence[str], NDArray[np.uint64]] = ((), fingerprints(()))
        runs = _current_runs(layout, entries)
        self._held = Fingerprints(runs)
        self._hashes = {run.name: run.header.hash for run in runs}
        files = _files(layout)
        self._last = int(files[-1].partition(".")[0]) if files else 0
        self._drop(set(files) - self._hashes.keys())
        if not runs:
            self._make_anew()

    def add(self, ids: Sequence[str], *, number: int) -> None:
        """Put ids down.

        Args:
            ids: The ids.
            number: The entry that will speak for their events; the same for everything that one writer adds.
        """
        if ids:
            self._of_entry = len(ids) + (self._of_entry if number == self._number else 0)
            self._number = number
            self._put_down(self._fingerprints_of(ids))

    def may_hold(self, ids: Sequence[str]) -> list[str]:
        """Return, in their order, the ids that may have been added."""
        return self._mended(lambda: self._held.may_hold(ids, self._fingerprints_of(ids)))

    def _fingerprints_of(self, ids: Sequence[str]) -> NDArray[np.uint64]:
        """Return the fingerprints of ids; most that are asked for are added next."""
        if ids != self._asked[0]:
            self._asked = (ids, fingerprints(ids))
        return self._asked[1]

    def _put_down(self, ids: NDArray[np.uint64]) -> None:
        run, taken = self._mended(lambda: self._held.joined(ids))
        left = len(self._hashes) - taken
        stay, gone = dict(list(self._hashes.items())[:left]), list(self._hashes)[left:]
        self._last += 1
        name = f"{self._last:08d}.ids"
        header, content = encoded_run(run, number=self._number, of_entry=self._of_entry, stands_on=stay)
        put(content, self._layout.index / name, staging=self._layout.staging)
        self._held.put(run, taken)
        self._hashes = stay | {name: header.hash}
        self._drop(gone)

    def _mended(self, look: Callable[[], T]) -> T:
        """Look into the runs, and where one of them turns out to be damaged, into the index made anew."""
        try:
            return look()
        except (OSError, ValueError):
            self._make_anew()
        return look()

    def _make_anew(self) -> None:
        """Put down the ids of all events that there are."""
        self._held = Fingerprints()
        self._drop(self._hashes)
        self._hashes = {}
        if there := self._layout.partitions():
            read = (read_partition(path, path=path, columns=["id"]) for path in there.values())
            self._put_down(np.concatenate([fingerprints(texts(rows, "id")) for rows in read]))

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
            headers[name] = _whole(layout.index / name).header
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


def _current_runs(layout: Layout, entries: Sequence[Entry]) -> list[StoredRun]:
    """Return the runs that hold every id of the lake; none when they are not whole, or older than the events."""
    try:
        runs = _read_runs(layout)
    except UNREADABLE:
        return []
    number, of_entry = (runs[-1].header.number, runs[-1].header.of_entry) if runs else (0, 0)
    is_older = number > len(entries) or any(entry.counts.new for entry in entries[number:])
    is_cut_short = 0 < number <= len(entries) and of_entry < entries[number - 1].counts.new
    return [] if is_older or is_cut_short else runs


def _read_runs(layout: Layout) -> list[StoredRun]:
    """Open the newest run and those that it stands on, oldest first.

    Raises:
        ValueError: One of them is not what was put down.
    """
    files = _files(layout)
    if not files:
        return []
    newest = StoredRun(layout.index / files[-1])
    runs = [*(StoredRun(layout.index / name) for name in newest.header.stands_on), newest]
    if {run.name: run.header.hash for run in runs[:-1]} != newest.header.stands_on:
        raise ValueError("a run is not the one that the newest stands on")
    return runs


def _whole(path: Path) -> StoredRun:
    """Open a run and read every block of it."""
    run = StoredRun(path)
    run.whole()
    return run


def _files(layout: Layout) -> list[str]:
    """Return the names of the runs, oldest first; of a folder that cannot be read none, `strangers` names it."""
    with contextlib.suppress(OSError):
        return [name for name in names_in(layout.index) if is_run(name)]
    return []
