"""Every time is UTC: whatever zone the machine is set to, an instant lands in its UTC day."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import auditframe as af
from auditframe.emulator import Emulator
from auditframe.flatten import flatten_events
from auditframe.snapshot import _plan
from auditframe.window import Window, midnight, parse_instant, split_days
from tests.conftest import connected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ZONES = ("UTC", "Pacific/Kiritimati", "America/St_Johns", "Australia/Lord_Howe", "America/New_York")

INSTANTS = {
    1_709_251_199: "2024-02-29T23:59:59Z",  # the last second of a leap day
    1_709_251_200: "2024-03-01T00:00:00Z",
    1_772_953_199: "2026-03-08T06:59:59Z",  # New York goes from 1:59:59 to 3:00:00
    1_772_953_200: "2026-03-08T07:00:00Z",
    1_775_314_799: "2026-04-04T14:59:59Z",  # Lord Howe goes back by half an hour
    1_775_314_800: "2026-04-04T15:00:00Z",
    1_792_889_999: "2026-10-25T00:59:59Z",  # Berlin goes back
    1_792_890_000: "2026-10-25T01:00:00Z",
    1_793_507_399: "2026-11-01T04:29:59Z",  # St. John's goes back
    1_793_507_400: "2026-11-01T04:30:00Z",
    1_798_761_599: "2026-12-31T23:59:59Z",
    1_798_761_600: "2027-01-01T00:00:00Z",
    2_147_483_647: "2038-01-19T03:14:07Z",  # the last that 32 bits with a sign can hold
    2_147_483_648: "2038-01-19T03:14:08Z",
    4_294_967_295: "2106-02-07T06:28:15Z",  # and without a sign
    4_294_967_296: "2106-02-07T06:28:16Z",
}
PER_DAY = {
    "2024-02-29": 1,
    "2024-03-01": 1,
    "2026-03-08": 2,
    "2026-04-04": 2,
    "2026-10-25": 2,
    "2026-11-01": 2,
    "2026-12-31": 1,
    "2027-01-01": 1,
    "2038-01-19": 2,
    "2106-02-07": 2,
}
CHANGES = ("2026-03-08", "2026-04-04", "2026-10-25", "2026-11-01")
"""Those of these days on which clocks somewhere go forward or back."""

EVENTS: list[dict[str, Any]] = [
    {"id": f"e{at}", "type": "login.succeeded", "effective_at": at} for at in sorted(INSTANTS)
]


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Set the zone of this process."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield str(request.param)
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def lake(zone: str, tmp_path: Path) -> af.Lake:
    """A lake that was written in the zone."""
    lake = af.Lake(tmp_path / "lake")
    lake.append(flatten_events(EVENTS, scope="organization"))
    return lake


def in_zone(zone: str, *command: str) -> str:
    """Run the command in a process that began in a zone, and return what it writes."""
    done = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-m", "auditframe", *command],
        env=os.environ | {"TZ": zone},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


def days_of(lake: af.Lake) -> list[str]:
    return sorted(folder.name.removeprefix("date=") for folder in (lake.path / "events").iterdir())


@pytest.mark.parametrize("name", ZONES)
def test_the_zones_of_these_tests_are_known_to_this_machine(name: str) -> None:
    """An unknown zone is silently UTC, and would prove nothing."""
    code = "import time; print(time.strftime('%z', time.localtime(1_767_225_600)))"
    told = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", code], env=os.environ | {"TZ": name}, capture_output=True, text=True, check=True
    )
    offsets = dict(zip(ZONES, ("+0000", "+1400", "-0330", "+1100", "-0500"), strict=True))

    assert told.stdout.strip() == offsets[name]


@pytest.mark.usefixtures("zone")
def test_flattening_keeps_the_instant() -> None:
    found = flatten_events(EVENTS).events["effective_at"]

    assert [f"{at:%FT%T}Z" for at in found.to_pylist() if at] == list(INSTANTS.values())
    assert str(found.type) == "timestamp[us, tz=UTC]"


@pytest.mark.usefixtures("zone")
def test_windows_are_cut_at_utc_midnights() -> None:
    """Eight days around a change in New York, and the days on which 32 bits end."""
    for start, days in (("2026-03-04", 8), ("2038-01-18", 3), ("2106-02-06", 3), ("2024-02-28", 3), ("2026-12-31", 2)):
        first = datetime.fromisoformat(start).replace(tzinfo=UTC)
        window = Window(parse_instant(start), first + days * timedelta(days=1))

        assert window.start == first
        assert [cut.start for cut in split_days(window)] == [first + n * timedelta(days=1) for n in range(days)]
        assert midnight(first + timedelta(hours=23, minutes=59)) == first


def test_an_instant_lands_in_the_partition_of_its_utc_day(lake: af.Lake) -> None:
    rows = lake.arrow("SELECT id, effective_at FROM events ORDER BY id").to_pylist()

    assert days_of(lake) == list(PER_DAY)
    assert {int(row["id"][1:]): f"{row['effective_at']:%FT%T}Z" for row in rows} == INSTANTS
    assert lake.verify() == ()


def test_a_window_of_a_lake_is_half_open_in_utc(lake: af.Lake) -> None:
    """Each begins with the second of a pair of instants."""
    for second in (1_709_251_200, 1_772_953_200, 1_798_761_600, 2_147_483_648, 4_294_967_296):
        found = lake.window(datetime.fromtimestamp(second, UTC)).to_arrow()["id"].to_pylist()

        assert found[0] == f"e{second}"
        assert len(found) == sum(at >= second for at in INSTANTS)


def test_a_report_counts_utc_days(lake: af.Lake) -> None:
    answer = af.reports.events_per_day(lake)
    counted = {f"{day:%F}": count for day, count in zip(answer["day"], answer["events"], strict=True) if count}

    assert counted == PER_DAY


@pytest.mark.usefixtures("zone")
def test_a_snapshot_collects_instants_that_are_yet_to_come_into_their_utc_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of clocks is read in a window of its day; of the days on which nothing happens only the last are."""
    monkeypatch.setattr(_plan, "MOST_DAYS", 3)
    lake, client = af.Lake(tmp_path / "lake"), connected(Emulator(EVENTS))
    for day in CHANGES:
        found = af.snapshot(lake, client, start=day, end=parse_instant(day) + timedelta(days=1))
        assert found.new == PER_DAY[day]
    af.snapshot(lake, client, start="2024-02-01")

    assert days_of(lake) == list(PER_DAY)
    assert lake.verify() == ()


@pytest.mark.parametrize("zone_of_process", ZONES[:3])
def test_the_command_line_tells_utc_in_a_process_of_any_zone(tmp_path: Path, zone_of_process: str) -> None:
    """Written in one process, asked in others: nothing in a lake, or in an answer, depends on where it is."""
    exported, lake = tmp_path / "events.jsonl", str(tmp_path / "lake")
    exported.write_text("".join(json.dumps(event) + "\n" for event in EVENTS), encoding="utf-8")
    in_zone(zone_of_process, "import", str(exported), "--lake", lake)
    report = in_zone(zone_of_process, "report", "events_per_day", "--lake", lake, "--format", "csv")
    query = "SELECT id, CAST(effective_at AS VARCHAR) AS at FROM events ORDER BY effective_at"
    told = in_zone(zone_of_process, "sql", query, "--lake", lake, "--format", "csv")
    counted = {row["day"]: int(row["events"]) for row in csv.DictReader(io.StringIO(report)) if row["events"] != "0"}
    times = [row["at"] for row in csv.DictReader(io.StringIO(told))]

    assert counted == PER_DAY
    assert times == [at.replace("T", " ").replace("Z", "+00") for at in INSTANTS.values()]
    assert days_of(af.Lake(lake)) == list(PER_DAY)
