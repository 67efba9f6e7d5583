"""Jobs are killed at system calls, or the system refuses them: the next run completes them, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

import auditframe as af
from auditframe.emulator import Emulator, serve
from auditframe.sample import sample
from tests.conftest import KEY, connected
from tests.strace import Job, calls_of, killed_at, missing, refused_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.strace import Call

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")

START, END = "2026-10-30", "2026-11-01"
IS_SOAK = os.environ.get("AUDITFRAME_SOAK") == "1"
"""Whether every call is struck, as ``make soak`` does, and not a few of them, spread evenly."""

EVENTS = sample(seed=3, events=60, days=2, end=END).events


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    with serve(Emulator(EVENTS)) as base_url:
        yield {"OPENAI_BASE_URL": base_url, "OPENAI_ADMIN_KEY": KEY}


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """A lake of every other event; one partition has the columns of an older version."""
    lake = af.Lake(tmp_path / "before")
    af.snapshot(lake, connected(Emulator(EVENTS[::2])), start=START, end=END)
    return lake.path


def job(name: str, lake: Path, environment: dict[str, str]) -> Job:
    arguments = {
        "snapshot": ["--start", START, "--end", END, "--workers", "1"],
        "erase": ["--email", somebody(), "--reason", "a ticket"],
        "expire": ["--before", "2026-10-31"],
        "rebuild": [],
    }[name]
    return Job([name, "--lake", str(lake), "--quiet", *arguments], environment)


def somebody() -> str:
    """The address that most of the events name."""
    emails = [email for event in EVENTS if (email := _email(event))]
    return max(set(emails), key=emails.count)


def _email(event: object) -> str:
    found = event
    for key in ("actor", "session", "user", "email"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""


def prepared(name: str, before: Path, lake: Path) -> Path:
    """Copy the lake; for a rebuild, leave out a column of its partitions, as an older version would have."""
    shutil.copytree(before, lake)
    for file in (lake / "events").rglob("*.parquet") if name == "rebuild" else ():
        pq.write_table(pq.ParquetFile(file).read().drop_columns(["actor_email"]), file)
    return lake


def ids(lake: Path) -> set[str]:
    """Read the ids of a lake without auditframe; no id twice."""
    found: list[str] = []
    for file in (lake / "events").rglob("*.parquet"):
        found += map(str, pq.ParquetFile(file).read(columns=["id"])["id"].to_pylist())
    assert len(found) == len(set(found))
    return set(found)


def struck(calls: list[Call], *, most: int) -> list[Call]:
    """Return the calls at which to strike."""
    return calls if IS_SOAK else calls[len(calls) // (2 * most) :: -(-len(calls) // most)]


@pytest.mark.parametrize("name", ["snapshot", "erase", "expire", "rebuild"])
def test_a_job_killed_at_a_system_call_is_completed_by_the_next_run(
    tmp_path: Path, before: Path, environment: dict[str, str], name: str
) -> None:
    calm = prepared(name, before, tmp_path / "calm")
    calls = calls_of(job(name, calm, environment), tmp_path / "log")
    assert af.Lake(calm).verify() == ()
    for call in struck(calls, most=3):
        lake = prepared(name, before, tmp_path / f"{call[0]}-{call[1]}")
        code = killed_at(job(name, lake, environment), call)
        assert (call, code) == (call, -signal.SIGKILL)
        assert ids(lake) <= ids(before) | ids(calm)
        assert ids(before) & ids(calm) <= ids(lake)
        calls_of(job(name, lake, environment), tmp_path / "log")

        assert (call, ids(lake)) == (call, ids(calm))
        assert (call, af.Lake(lake).verify()) == (call, ())


@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EROFS", "EACCES"])
def test_a_disk_that_refuses_leaves_the_lake_readable_and_is_told_in_one_line(
    tmp_path: Path, before: Path, environment: dict[str, str], error: str
) -> None:
    calls = calls_of(job("snapshot", prepared("snapshot", before, tmp_path / "calm"), environment), tmp_path / "log")
    for call in struck(calls, most=1):
        lake = prepared("snapshot", before, tmp_path / f"{call[0]}-{call[1]}")
        done = refused_at(job("snapshot", lake, environment), call, error)
        assert (call, done.returncode) in ((call, 1), (call, 3))
        assert (call, len(done.stderr.splitlines())) == (call, 1)
        assert "bug" not in done.stderr
        assert str(lake) in done.stderr
        assert ids(before) <= ids(lake)
        calls_of(job("snapshot", lake, environment), tmp_path / "log")

        assert ids(lake) == {event["id"] for event in EVENTS}
        assert af.Lake(lake).verify() == ()
