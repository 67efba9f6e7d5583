"""Which ids a lake may hold: eight bytes an id, sorted, in files beside the events that any run can make anew."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from auditframe.fingerprints import Fingerprints, fingerprints
from auditframe.lake.faults import UNREADABLE, Fault, cause, names_in
from auditframe.lake.held import check_present
from auditframe.lake.ledger import current_partitions
from auditframe.lake.merge import texts
from auditframe.lake.parquet import read_partition
from auditframe.lake.runs import StoredRun, encoded_run
from auditframe.lake.storage import put_parts, remove

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
        self._states = current_partitions(entries)
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
            run, taken = self._mended(lambda: self._held.joined(self._fingerprints_of(ids)))
            self._of_entry = len(ids) + (self._of_entry if number == self._number else 0)
            self._number = number
            self._put_down(run, taken)

    def may_hold(self, ids: Sequence[str]) -> list[str]:
        """Return, in their order, the ids that may have been added."""
        return self._mended(lambda: self._held.may_hold(ids, self._fingerprints_of(ids)))

    def _fingerprints_of(self, ids: Sequence[str]) -> NDArray[np.uint64]:
        """Return the fingerprints of ids; most that are asked for are added next."""
        if ids != self._asked[0]:
            self._asked = (ids, fingerprints(ids))
        return self._asked[1]

    def _put_down(self, run: NDArray[np.uint64], taken: int) -> None:
        """Put down a run that stands for the last ones, of which it has so many taken in."""
        left = len(self._hashes) - taken
        stay, gone = dict(list(self._hashes.items())[:left]), list(self._hashes)[left:]
        self._last += 1
        name = f"{self._last:08d}.ids"
        header, parts = encoded_run(run, number=self._number, of_entry=self._of_entry, stands_on=stay)
        put_parts(parts, self._layout.index / name, staging=self._layout.staging)
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
        """Put down the ids of all events that there are, in the place of all runs.

        Raises:
            LakeCorruptError: A partition is missing or cannot be read, so that its ids are not known.
        """
        check_present(self._layout, self._states)
        read = (read_partition(path, path=path, columns=["id"]) for path in self._layout.partitions().values())
        ids = np.concatenate([fingerprints(()), *(fingerprints(texts(rows, "id")) for rows in read)])
        if len(ids):
            ids.sort()
            self._put_down(ids, len(self._hashes))

    def _drop(self, names: Iterable[str]) -> None:
        """Remove files that nothing needs; of a run that is killed before, the next writer does."""
        for name in names:
            remove(self._layout.index / name)


def is_run(name: str) -> bool:
    """Whether a file of the index may be called so."""
    return bool(_NAME.fullmatch(name))


def index_faults(layout: Layout, entries: Sequence[Entry], ids: Fingerprints) -> Iterator[Fault]:
    """Name what is wrong with the files of the index; that one is missing altogether is nothing wrong.

    Args:
        layout: The lake.
        entries: Its ledger.
        ids: The ids that its partitions hold.
    """
    runs: dict[str, StoredRun] = {}
    faults: list[Fault] = []
    names = _files(layout)
    for name in names:
        try:
            runs[name] = _whole(layout.index / name)
        except UNREADABLE as error:
            faults.append(Fault(layout.index / name, f"It cannot be read: {cause(error)}. {_ANEW}"))
    newest = runs.get(names[-1]) if names else None
    if newest is not None:
        faults += _faults_among(runs, newest, layout.index, names)
        if not faults and _is_current(newest.header, entries):
            faults += _lacking(runs.values(), ids, layout.index)
    yield from faults


def _faults_among(
    runs: Mapping[str, StoredRun], newest: StoredRun, folder: Path, names: Collection[str]
) -> Iterator[Fault]:
    needed = newest.header.stands_on
    for name, hash_ in needed.items():
        if name not in names or (name in runs and runs[name].header.hash != hash_):
            yield Fault(folder / name, f"The run that {newest.name} stands on is missing. {_ANEW}")
    for name in runs.keys() - needed.keys() - {newest.name}:
        yield Fault(folder / name, "Nothing needs it: a run was killed. The next writer removes it.")


def _lacking(runs: Iterable[StoredRun], ids: Fingerprints, folder: Path) -> Iterator[Fault]:
    if lacking := ids.lacking(Fingerprints(runs)):
        yield Fault(folder, f"It lacks {lacking} ids of events that are there. Remove the folder. {_ANEW}")


def _current_runs(layout: Layout, entries: Sequence[Entry]) -> list[StoredRun]:
    """Return the runs that hold every id of the lake; none when they are not whole, or older than the events."""
    try:
        runs = _read_runs(layout)
    except UNREADABLE:
        return []
    return runs if runs and _is_current(runs[-1].header, entries) else []


def _is_current(newest: Header, entries: Sequence[Entry]) -> bool:
    """Whether an index with this newest run was put down for all that the entries speak of."""
    number = newest.number
    is_older = number > len(entries) or any(entry.counts.new for entry in entries[number:])
    is_cut_short = 0 < number <= len(entries) and newest.of_entry < entries[number - 1].counts.new
    return not is_older and not is_cut_short


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
