"""The power is cut after a step of a writer; what the disk then surely holds must be enough to go on."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

import auditframe as af
from auditframe.emulator import Emulator
from auditframe.errors import AuditFrameError
from auditframe.sample import sample
from tests.conftest import connected
from tests.jobs import ids, old_columns
from tests.power import LEFT_OUT, NAMES_ALONE, NOTHING, Disk, drawn, recorded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.power import Step

START, END = "2026-10-31", "2026-11-01"
EVENTS = sample(seed=5, events=24, days=1, end=END).events


class Cuts(NamedTuple):
    """What came of cutting the power.

    Attributes:
        tried: How many disks were looked at.
        wrong: What did not hold on the first that was wrong, as a sentence; None when all held.
    """

    tried: int
    wrong: str | None


def cut(name: str, folder: Path, *, without: str | None = None, draws: int = 1, every: int = 1) -> Cuts:
    """Do a job, cut the power after each of its steps, and do it again on what the disk then holds.

    Args:
        name: One of `jobs.NAMES`.
        folder: Where to work.
        without: The syncs to leave out, as in `power.recorded`; the power is then cut after the first of them only.
        draws: How often to draw at random what came through; that nothing did, or names alone, is always tried.
        every: After which steps: each so many, counted back from the last.
    """
    world = _world(name, folder)
    disk = Disk.of(world)
    with recorded(world, without=without) as steps:
        act(name, world / "lake")
    disks = list(itertools.accumulate(steps, _with, initial=disk))[1:]
    last = len(steps) - 1
    names = [step[0] for step in steps]
    assert without is None or LEFT_OUT in names, f"A {name} makes no sync {without!r}."
    first = 0 if without is None else names.index(LEFT_OUT)
    numbers = [number for number in range(first, last + 1) if (last - number) % every == 0]
    tried = 0
    for number, luck in itertools.product(_from_both_ends(numbers), (NOTHING, NAMES_ALONE, *map(drawn, range(draws)))):
        tried += 1
        disks[number].write(world, left := folder / "left", luck)
        if wrong := _wrong(name, left / "lake", ids(world / "lake"), is_over=number == last):
            return Cuts(tried, f"{name}, after {number + 1} of {last + 1} steps, {_told(steps[number])}: {wrong}")
        shutil.rmtree(left)
    return Cuts(tried, None)


def act(name: str, path: Path) -> None:
    """Do the work that is cut short; done again, it completes it."""
    lake = af.Lake(path)
    match name:
        case "first snapshot" | "snapshot":
            _snapshot(lake, _changed(1))
        case "erase":
            lake.erase(str(EVENTS[0]["id"]), reason="a ticket")
        case "expire":
            lake.expire(END)
        case "rebuild":
            lake.rebuild()


def _world(name: str, folder: Path) -> Path:
    """Make a folder with a lake of every other event, and an earlier payload of the first one in quarantine."""
    (world := folder / "world").mkdir()
    if name == "first snapshot":
        return world
    lake = af.Lake(world / "lake")
    with old_columns() if name == "rebuild" else contextlib.nullcontext():
        _snapshot(lake, EVENTS[::2])
        _snapshot(lake, _changed(0)[::2])
    return world


def _changed(number: int) -> list[Mapping[str, Any]]:
    """Return the events, one of those that every lake has with another payload."""
    return [{**event, "note": "changed"} if at == number * 2 else event for at, event in enumerate(EVENTS)]


def _snapshot(lake: af.Lake, events: Sequence[Mapping[str, Any]]) -> None:
    af.snapshot(lake, connected(Emulator(events)), start=START, end=END, workers=1)


def _with(disk: Disk, step: Step) -> Disk:
    after = deepcopy(disk)
    after.take(step)
    return after


def _from_both_ends(numbers: list[int]) -> list[int]:
    """Put the first number before the last one, then the second and the last but one; what is wrong is near an end."""
    return [number for pair in zip(numbers, reversed(numbers), strict=True) for number in pair][: len(numbers)]


def _wrong(name: str, left: Path, expected: set[str], *, is_over: bool) -> str | None:
    try:
        if is_over and (af.Lake(left).verify() or ids(left) != expected):
            return "what was done is not there any more"
        with mock.patch.object(os, "fsync"):  # nothing is cut any more, and it takes time
            act(name, left)
        faults, found = af.Lake(left).verify(), ids(left)
    except AuditFrameError as error:
        return str(error)
    return f"{len(found)} rows" if found != expected else next((fault.what for fault in faults), None)


def _told(step: Step) -> str:
    return f"{step[0]} {step[1][-1].rpartition('/')[2]}"
