"""Worlds drawn at random: an organization, an endpoint with quirks and faults, and runs that meet them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import auditframe as af
from auditframe.coverage import shortcomings
from auditframe.emulator import Emulator, random_behaviour
from auditframe.errors import ApiError, SnapshotInterrupted
from tests.conftest import connected

if TYPE_CHECKING:
    from pathlib import Path

RUNS = 5
T0 = datetime(2026, 9, 7, tzinfo=UTC)
_DAY_S = 86_400
_TYPES = ("login.succeeded", "login.failed", "api_key.created", "role.assignment.created", "tenant.created", "new.type")


def disproof(seed: int, folder: Path) -> str | None:
    """Run snapshots in a world until one is complete, and say how the lake differs from the truth.

    Args:
        seed: Which world.
        folder: Where its lake goes.

    Returns:
        What is wrong, in a sentence; None when the lake equals the truth, or when no run was complete and the lake
        holds nothing but the truth, claims no window that it does not hold whole, and shows the gap.
    """
    dice = Random(seed)  # noqa: S311 - reproducible, not secret
    days = dice.randint(1, 4)
    window = af.Window(T0, T0 + timedelta(days=days))
    late = _events(dice, days, count=dice.choice((0, 0, 3)), prefix="late")
    emulator = Emulator(
        events := _events(dice, days, count=dice.choice((0, 7, 150, 400)), prefix="e"),
        behaviour=random_behaviour(seed, requests=40),
    )
    lake = af.Lake(folder / str(seed))
    is_complete = False
    for _ in range(RUNS):
        # What comes late into the part of a window that was read before it was cut short is the next run's.
        is_from_start = not lake.exists() or not lake.walks()
        is_complete = _run(lake, emulator, window, dice) and is_from_start
        if is_complete:
            break
        emulator.add(late)
        events, late = [*events, *late], []
    return _difference(lake, events, window, is_complete=is_complete)


def _run(lake: af.Lake, emulator: Emulator, window: af.Window, dice: Random) -> bool:
    """Take a snapshot; say whether it was complete in both scopes."""
    bounds: dict[str, Any] = {"max_pages": dice.choice((None, None, 1, 5)), "workers": dice.choice((1, 2, 8))}
    try:
        result = af.snapshot(lake, connected(emulator), start=window.start, end=window.end, **bounds)
    except (SnapshotInterrupted, ApiError):
        return False
    return not result.not_permitted


def _difference(lake: af.Lake, events: list[dict[str, Any]], window: af.Window, *, is_complete: bool) -> str | None:
    truth = {event["id"]: event for event in events}
    if not lake.exists():
        return "a complete run left no lake" if is_complete else None
    rows = lake.arrow("SELECT id, scope, effective_at FROM events").to_pylist()
    found = {row["id"] for row in rows}
    if len(found) != len(rows) or not found <= truth.keys():
        return f"{len(rows)} rows, {len(found)} ids, of which {len(found - truth.keys())} are none of the truth's"
    if is_complete and found != truth.keys():
        return f"{len(truth.keys() - found)} events are missing from a complete lake"
    if faults := [fault for fault in lake.verify() if "a gap in coverage" not in fault.what]:
        return f"verify: {faults[0].path.name}: {faults[0].what}"
    entries = lake.ledger()
    if any(entry.counts.received != entry.counts.accounted for entry in entries):
        return "an entry does not account for what it received"
    return _false_claim(lake, truth, found) or _hidden_gap(lake, window, found=found, truth=set(truth))


def _false_claim(lake: af.Lake, truth: dict[str, dict[str, Any]], found: set[str]) -> str | None:
    """Say whether the ledger claims a window of which an event is missing that was there from the beginning."""
    for id_ in sorted(truth.keys() - found):
        scope = af.catalogue.lookup(truth[id_]["type"]).scope
        at = datetime.fromtimestamp(truth[id_]["effective_at"], UTC)
        if not id_.startswith("late") and any(at in covered for covered in lake.coverage(scope)):
            return f"{id_} is missing from a window that the ledger says was read whole"
    return None


def _hidden_gap(lake: af.Lake, window: af.Window, *, found: set[str], truth: set[str]) -> str | None:
    """Say whether events are missing though coverage looks whole."""
    if not any(not id_.startswith("late") for id_ in truth - found):
        return None
    entries = lake.ledger()
    is_whole = all(lake.coverage(scope) == (window,) for scope in ("organization", "tenant"))
    is_refused = any(each.status != "complete" for each in entries[-1].collected)
    return None if shortcomings(entries, now=T0) or is_refused or not is_whole else "a gap is not shown"


def _events(dice: Random, days: int, *, count: int, prefix: str) -> list[dict[str, Any]]:
    start, crowd = int(T0.timestamp()), dice.choice((1, 1, 60))
    times = (start + dice.randrange(days * _DAY_S // crowd) * crowd for _ in range(count))
    return [
        {"id": f"{prefix}{number}", "type": dice.choice(_TYPES), "effective_at": at} for number, at in enumerate(times)
    ]
