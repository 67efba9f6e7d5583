"""The command line's jobs that change a lake, and how each of them bears a kill, a refusal and a full disk."""

from __future__ import annotations

import shutil
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

import pyarrow.parquet as pq

import auditframe as af
from auditframe.emulator import Emulator, serve
from auditframe.lake import writer
from auditframe.lake.parquet import encode_partition
from auditframe.sample import sample
from tests.conftest import KEY, connected
from tests.small_disk import filled, read_only
from tests.strace import nursery

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from tests.strace import Call, Ended, Nursery

NAMES = ("first snapshot", "snapshot", "erase", "expire", "rebuild")
"""The jobs; the first snapshot is that of a lake which is none yet."""

ERRORS = ("ENOSPC", "EIO", "EROFS", "EACCES")
START, END = "2026-10-30", "2026-11-01"
EVENTS = sample(seed=3, events=60, days=2, end=END).events


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where jobs are done.

    Attributes:
        nursery: What runs the commands.
        environment: Where their endpoint is.
        folder: Holds ``current`` and ``old``, lakes of every other event with something in quarantine, one of them in
            the columns of an older version; and for each job what becomes of one when nothing goes wrong.
    """

    nursery: Nursery
    environment: dict[str, str]
    folder: Path

    def before(self, name: str) -> Path:
        """Return the lake as a job finds it; that of a first snapshot does not exist."""
        return self.folder / {"first snapshot": "none", "rebuild": "old"}.get(name, "current")

    def calm(self, name: str) -> Path:
        """Return the lake as a job leaves it when nothing goes wrong."""
        lake = self.folder / name
        if not lake.exists():
            ended = self.run(name, self.prepared(name, lake))
            assert ended.code == 0, ended.stderr
            assert af.Lake(lake).verify() == ()
        return lake

    def prepared(self, name: str, lake: Path) -> Path:
        """Copy the lake that a job finds."""
        if self.before(name).exists():
            shutil.copytree(self.before(name), lake)
        return lake

    def run(self, name: str, lake: Path) -> Ended:
        """Do a job."""
        return self.nursery.run(arguments(name, lake), self.environment)

    def calls(self, name: str) -> tuple[Call, ...]:
        """Return the calls by which a job changes the lake."""
        lake = self.prepared(name, self.folder / f"{name}-watched")
        ended = self.nursery.watch(arguments(name, lake), self.environment, lake=lake)
        assert ended.code == 0, ended.stderr
        shutil.rmtree(lake)
        return ended.calls

    def killed(self, name: str, call: Call) -> str | None:
        """Kill a job at a call, do it again, and say what is wrong then."""
        lake = self.prepared(name, self.folder / "struck")
        ended = self._strike(name, lake, call, "signal=SIGKILL")
        if ended.code != -signal.SIGKILL:
            return f"It was not killed; it ended with {ended.code}. {ended.stderr}"
        return self._done_with(name, lake)

    def refused(self, name: str, call: Call, error: str) -> str | None:
        """Let a call and those like it fail, do the job again without that, and say what was or is wrong."""
        lake = self.prepared(name, self.folder / "struck")
        ended = self._strike(name, lake, call, f"error={error}")
        wrong = told_badly(ended, lake)
        return self._done_with(name, lake, wrong)

    def crowded_out(self, name: str, disk: Path, *, pages: int) -> tuple[bool, str | None]:
        """Do a job on a disk with few free pages, and again with many.

        Returns:
            Whether the pages were too few, and what is wrong.
        """
        lake = self.prepared(name, disk / "lake")
        with filled(disk, but_pages=pages):
            ended = self.run(name, lake)
            wrong = (told_badly(ended, lake) if ended.code else None) or self.wrong_now(name, lake)
        return ended.code != 0, self._done_with(name, lake, wrong)

    def locked_out(self, name: str, disk: Path) -> str | None:
        """Do a job on a disk that is read-only, and again when it is not."""
        lake = self.prepared(name, disk / "lake")
        with read_only(disk):
            ended = self.run(name, lake)
            wrong = told_badly(ended, lake) or self.wrong_now(name, lake)
        return self._done_with(name, lake, wrong)

    def wrong_now(self, name: str, lake: Path) -> str | None:
        """Say what a job that did not end took away from a lake, or added that is none of the truth's."""
        try:
            found, old, new = ids(lake), ids(self.before(name)), ids(self.calm(name))
        except Exception as error:  # whatever it is, the lake cannot be read
            return f"The lake cannot be read: {error!r}"
        return None if old & new <= found <= old | new else "The lake holds something else than before or after."

    def wrong_after(self, name: str, lake: Path) -> str | None:
        """Do a job once more, and say how the lake differs from the truth."""
        ended = self.run(name, lake)
        if ended.code:
            return f"The next run ends with {ended.code}: {ended.stderr}"
        if ids(lake) != ids(self.calm(name)):
            return "The lake does not equal the truth."
        return next((f"verify: {fault.path.name}: {fault.what}" for fault in af.Lake(lake).verify()), None)

    def _strike(self, name: str, lake: Path, call: Call, how: str) -> Ended:
        return self.nursery.strike(arguments(name, lake), self.environment, lake=lake, call=call, how=how)

    def _done_with(self, name: str, lake: Path, wrong: str | None = None) -> str | None:
        wrong = wrong or self.wrong_now(name, lake) or self.wrong_after(name, lake)
        shutil.rmtree(lake, ignore_errors=True)  # a first snapshot may have left none
        return wrong


@contextmanager
def workshop(folder: Path) -> Iterator[Workshop]:
    """Open a workshop in a folder."""
    _fill(folder / "current")
    with old_columns():
        _fill(folder / "old")
    with serve(Emulator(EVENTS)) as base_url, nursery() as found:
        yield Workshop(found, {"OPENAI_BASE_URL": base_url, "OPENAI_ADMIN_KEY": KEY}, folder)


@contextmanager
def old_columns() -> Iterator[None]:
    """Let partitions be written without one of the columns, as an older version would."""

    def encode(events: pa.Table) -> bytes:
        return encode_partition(events.drop_columns(["actor_email"]))

    with mock.patch.object(writer, "encode_partition", encode):
        yield


def arguments(name: str, lake: Path) -> list[str]:
    """Return a job's command."""
    command = name.split()[-1]
    special = {
        "snapshot": ["--start", START, "--end", END, "--workers", "1"],
        "erase": ["--email", somebody(), "--reason", "a ticket"],
        "expire": ["--before", "2026-10-31"],
        "rebuild": [],
    }[command]
    return [command, "--lake", str(lake), "--quiet", *special]


def told_badly(ended: Ended, lake: Path) -> str | None:
    """Say what is wrong with the end of a job that the system refused something."""
    if ended.code not in (1, 3):
        return f"The exit code is {ended.code}. {ended.stderr}"
    lines = ended.stderr.splitlines()
    if len(lines) != 1 or str(lake) not in lines[0] or "bug" in lines[0]:
        return f"It does not say on one line what is wrong with the lake: {ended.stderr}"
    return None


def ids(lake: Path) -> set[str]:
    """Read the ids of a lake without auditframe; no id twice."""
    found: list[str] = []
    for file in (lake / "events").rglob("*.parquet"):
        found += map(str, pq.ParquetFile(file).read(columns=["id"])["id"].to_pylist())
    assert len(found) == len(set(found))
    return set(found)


def somebody() -> str:
    """Return the address that most of the events name."""
    emails = [email for event in EVENTS if (email := _email(event))]
    return max(set(emails), key=emails.count)


def _fill(path: Path) -> None:
    """Make a lake of every other event; one of them had another payload at first."""
    lake, events = af.Lake(path), EVENTS[::2]
    changed: dict[str, Any] = {**_telling(events), "note": "as it was first"}
    others = [event for event in events if event["id"] != changed["id"]]
    af.snapshot(lake, connected(Emulator([*others, changed])), start=START, end=END)
    af.snapshot(lake, connected(Emulator(events)), start=START, end=END)


def _telling(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return next(event for event in events if _email(event) == somebody())


def _email(event: object) -> str:
    found = event
    for key in ("actor", "session", "user", "email"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""
