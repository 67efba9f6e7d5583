"""The power is cut after every step of a writer; what was synced is enough to go on, and each sync has its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cuts import cut
from tests.jobs import NAMES
from tests.power import NAMES_ALONE, NOTHING, Disk, drawn
from tests.soak import IS_SOAK

pytestmark = [
    pytest.mark.zoneless,  # what comes through a power cut are bytes and names
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the paths of open files are not told here"),
]

PARTITION = r"lake/staging/date=2026-10-31\.events\.parquet after write"
PARTITION_NAME = r"lake/events/date=2026-10-31 after replace"
JOURNAL = r"lake/staging/staging\.journal\.json after write"
JOURNAL_NAME = r"lake/staging after replace"
JOURNAL_GONE = r"lake/staging after unlink"
ENTRY = r"lake/staging/\d+\.0000000\d\.json after write"
ENTRY_NAME = r"lake/ledger after unlink"
DESCRIPTION = r"lake/staging/\d+\.auditframe\.json after write"
QUARANTINE = r"lake/staging/quarantine\.0000000\d\.jsonl after write"
QUARANTINE_NAME = r"lake/quarantine after replace"
WALK = r"lake/staging/resume\..* after write"
NEW_LAKE = r"\. after mkdir"
NEW_FOLDER = r"lake after (mkdir|unlink)"
NEW_PARTITION = r"lake/events after mkdir"
REMOVED = r"lake/(events|events/date=2026-10-31|quarantine) after (unlink|rmdir)"

NEEDED = (
    *(
        ("first snapshot", sync)
        for sync in (NEW_LAKE, NEW_FOLDER, DESCRIPTION, NEW_PARTITION, JOURNAL_NAME, ENTRY_NAME)
    ),
    *(("snapshot", sync) for sync in (PARTITION, PARTITION_NAME, JOURNAL_NAME, ENTRY, ENTRY_NAME, WALK)),
    *(("snapshot", sync) for sync in (QUARANTINE, QUARANTINE_NAME)),
    *(("erase", sync) for sync in (PARTITION, PARTITION_NAME, JOURNAL, JOURNAL_NAME)),
    *(("erase", sync) for sync in (ENTRY, ENTRY_NAME, REMOVED)),
    *(("expire", sync) for sync in (JOURNAL, JOURNAL_NAME, ENTRY, ENTRY_NAME, REMOVED)),
    *(("rebuild", sync) for sync in (PARTITION, PARTITION_NAME, JOURNAL_NAME, ENTRY, ENTRY_NAME)),
)
"""The syncs of each job without which something is lost."""

SPARED = (
    ("snapshot", JOURNAL, "a damaged journal stands for a run that may have changed anything"),
    *(
        (name, JOURNAL_GONE, "a journal that comes back is one that an entry speaks for")
        for name in ("snapshot", "erase", "expire")
    ),
    ("snapshot", r"lake/staging after create", "no journal was there to remove"),
    ("snapshot", r"lake/resume after replace", "a window whose walk is lost is read again"),
    ("expire", r"lake/events/date=2026-10-31 after unlink", "the folder itself goes next"),
    ("expire", r"lake/events after rmdir", "a folder that comes back is empty"),
    ("first snapshot", r"lake after mkdir", "the description's name is synced in the same folder"),
)
"""Syncs without which nothing is lost, and why; they save work or are made for another's sake."""


@pytest.mark.parametrize("name", NAMES)
def test_a_power_cut_after_any_step_loses_nothing_that_was_done(tmp_path: Path, name: str) -> None:
    """After every step under AUDITFRAME_SOAK=1, else after a few of them, spread evenly."""
    found = cut(name, tmp_path, draws=3 if IS_SOAK else 1, every=1 if IS_SOAK else 6)

    assert found.wrong is None
    assert found.tried > 10


@pytest.mark.parametrize(("name", "sync"), NEEDED)
def test_a_sync_that_is_left_out_is_found(tmp_path: Path, name: str, sync: str) -> None:
    assert cut(name, tmp_path, without=sync, draws=0).wrong is not None


@pytest.mark.parametrize(("name", "sync", "why"), SPARED)
def test_a_sync_that_could_be_spared_costs_nothing_but_work(tmp_path: Path, name: str, sync: str, why: str) -> None:
    assert (why, cut(name, tmp_path, without=sync, every=1 if IS_SOAK else 20).wrong) == (why, None)


def test_what_comes_through_a_power_cut_is_any_of_the_names_and_any_part_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_bytes(b"old")
    disk = Disk.of(tmp_path)
    staged, place = str(tmp_path / "a" / "x"), str(tmp_path / "b" / "x")
    for step in (("create", (staged,), b""), ("write", (staged,), b"new"), ("replace", (staged, place), b"")):
        disk.take(step)
    found = set()
    for number, luck in enumerate((NOTHING, NAMES_ALONE, *map(drawn, range(60)))):
        left = tmp_path.parent / f"left-{number}"
        disk.write(tmp_path, left, luck)
        found |= {(path.parent.name, path.read_bytes()) for path in left.rglob("x")}

    assert found == {("b", content) for content in (b"old", b"", b"n", b"ne", b"\0\0\0", b"new")}
