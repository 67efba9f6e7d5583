"""The power is cut after every step of a snapshot, an erasure and an expiry; what was synced is enough to go on."""

from __future__ import annotations

import shutil
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

import auditframe as af
from auditframe.emulator import Emulator
from auditframe.errors import AuditFrameError
from auditframe.sample import sample
from tests.conftest import connected
from tests.power import Disk, recorded

if TYPE_CHECKING:
    from tests.power import Step

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the paths of open files are not told here")

START, END = "2026-10-31", "2026-11-01"
EVENTS = sample(seed=5, events=24, days=1, end=END).events


def act(name: str, path: Path) -> None:
    """Do the work that is cut short; done again, it completes it."""
    lake = af.Lake(path)
    if name == "snapshot":
        af.snapshot(lake, connected(Emulator(EVENTS)), start=START, end=END, workers=1)
    elif name == "expire":
        lake.expire("2026-10-31T12:00:00Z")
    else:
        lake.erase(str(EVENTS[0]["id"]), reason="a ticket")


@pytest.fixture
def before(tmp_path: Path) -> Path:
    lake = af.Lake(tmp_path / "before")
    af.snapshot(lake, connected(Emulator(EVENTS[::2])), start=START, end=END, workers=1)
    return lake.path


def disproof(name: str, before: Path, folder: Path, *, without: str | None = None) -> str | None:
    """Cut the power after each step, in two ways, and say what did not hold."""
    shutil.copytree(before, root := folder / "lake")
    disk = Disk.of(root)
    with recorded(root, without=without) as steps:
        act(name, root)
    expected = ids(root)
    for number, step in enumerate(steps):
        disk.take(step)
        is_over = number == len(steps) - 1
        for way, dice in enumerate((None, Random(number))):  # noqa: S311 - reproducible, not secret
            left = folder / f"{number}-{way}"
            deepcopy(disk).write(root, left, dice)
            if wrong := _wrong(name, left, expected, is_over=is_over):
                return f"after {number + 1} of {len(steps)} steps, {_told(step)}, way {way}: {wrong}"
            shutil.rmtree(left)
    return None


def _wrong(name: str, left: Path, expected: set[str], *, is_over: bool) -> str | None:
    try:
        if is_over and (ids(left) != expected or af.Lake(left).verify()):
            return "what was done is not there any more"
        act(name, left)
        found, faults = ids(left), af.Lake(left).verify()
    except AuditFrameError as error:
        return str(error)
    return f"{len(found)} rows" if found != expected else next((fault.what for fault in faults), None)


def ids(path: Path) -> set[str]:
    return set(map(str, af.Lake(path).to_arrow()["id"].to_pylist()))


def _told(step: Step) -> str:
    return f"{step[0]} {Path(step[1][-1]).name}"


@pytest.mark.parametrize("name", ["snapshot", "erase", "expire"])
def test_a_power_cut_after_any_step_loses_nothing_that_was_done(tmp_path: Path, before: Path, name: str) -> None:
    assert disproof(name, before, tmp_path) is None


@pytest.mark.parametrize("without", ["/staging/date=", "/date=2026-10-31/", "/lake/ledger/", ".00000002.json"])
def test_a_sync_that_is_left_out_is_found(tmp_path: Path, before: Path, without: str) -> None:
    assert disproof("snapshot", before, tmp_path, without=without) is not None
