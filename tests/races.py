"""Races: several processes snapshot one lake at once, and one of them may be killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from random import Random
from typing import TYPE_CHECKING

import auditframe as af
from auditframe.emulator import Emulator, serve
from auditframe.errors import LakeLockedError
from auditframe.sample import sample
from tests.conftest import HASTY, KEY

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from pathlib import Path

WRITERS = 4
PATIENCE_S = 300.0
START, END = "2026-10-28", "2026-11-01"


def disproof(seed: int, folder: Path) -> str | None:
    """Let writers race for one lake, and say how it differs from the truth afterwards.

    Args:
        seed: Which race: who is killed, and when.
        folder: Where the lake goes.

    Returns:
        What is wrong, in a sentence; None when the lake equals the truth and nobody waited for ever.
    """
    dice = Random(seed)  # noqa: S311 - reproducible, not secret
    organization = sample(seed=seed, events=120, days=4, end=END)
    path = folder / str(seed)
    with serve(Emulator(organization.events)) as base_url:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["auditframe.snapshot", "auditframe.lake.writer", "tests.races"])
        racers = [context.Process(target=_race, args=(str(path), base_url), daemon=True) for _ in range(WRITERS)]
        for racer in racers:
            racer.start()
        victim = None
        if dice.random() < 0.5:
            time.sleep(dice.uniform(0.0, 0.4))
            _kill(victim := dice.choice(racers))
        deadline = time.monotonic() + PATIENCE_S
        for racer in racers:
            racer.join(max(deadline - time.monotonic(), 0.0))
        waiting = [racer for racer in racers if racer.is_alive()]
        for racer in waiting:
            _kill(racer)
        if waiting:
            return f"{len(waiting)} writers wait for ever"
        if failed := [racer for racer in racers if racer is not victim and racer.exitcode]:
            return f"{len(failed)} writers ended with an error"
        _race(str(path), base_url)  # the next one is not held up by whoever was killed
    lake = af.Lake(path)
    truth = sorted(event["id"] for event in organization.events)
    found = sorted(map(str, lake.to_arrow()["id"].to_pylist()))
    if found != truth:
        return f"{len(found)} rows, {len(truth)} expected"
    return next((f"verify: {fault.what}" for fault in lake.verify()), None)


def _race(path: str, base_url: str) -> None:
    """Snapshot until it is done; another writer's lock is waited for."""
    with af.Client(KEY, base_url=base_url, retry=HASTY) as client:
        while True:
            try:
                af.snapshot(af.Lake(path), client, start=START, end=END, workers=2)
            except LakeLockedError:
                time.sleep(0.01)
                continue
            return


def _kill(process: BaseProcess) -> None:
    if process.pid is not None and process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
