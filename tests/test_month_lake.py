"""A lake with a partition a month: what differs from one with a partition a day, and that neither becomes the other."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import assume, example, given
from hypothesis import strategies as st

import auditframe as af
from auditframe.cli import cli
from auditframe.emulator import Emulator
from auditframe.errors import LakeError, LakeVersionError
from auditframe.flatten import Flattened, flatten_events
from auditframe.lake.layout import GRAINS, MONTH, Grain
from auditframe.lake.merge import texts
from auditframe.reports import REGISTRY
from auditframe.window import ALWAYS, Window, parse_window
from tests.conftest import connected

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from auditframe.sample import Sample

moments = st.datetimes(timezones=st.just(UTC))

EDGES = (
    "2026-01-31T23:59:59",
    "2026-02-01T00:00:00",
    "2026-02-28T23:59:59",
    "2026-03-01T00:00:00",
    "2026-03-17T12:00:00",
)
"""The seconds on both sides of two turns of the month, and one between."""

NOWHERE = {"OPENAI_ADMIN_KEY": "sk-admin-nobody", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
BY_MONTH = {"2026-01": ["e0"], "2026-02": ["e1", "e2"], "2026-03": ["e3", "e4"]}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def event(id_: str, when: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "type": "login.succeeded", "effective_at": int(at(when).timestamp())} | more


def arriving(*events: dict[str, Any]) -> Flattened:
    return flatten_events(events, scope="organization")


@pytest.fixture
def lake(tmp_path: Path) -> af.Lake:
    lake = af.Lake(tmp_path / "lake", partition="month")
    lake.append(arriving(*(event(f"e{number}", when) for number, when in enumerate(EDGES))))
    return lake


def by_partition(files: Mapping[str, Path]) -> dict[str, list[str]]:
    return {name: texts(pq.ParquetFile(path).read(["id"]), "id") for name, path in files.items()}


@given(moments, st.sampled_from(list(GRAINS.values())))
def test_a_partition_is_named_for_its_time_and_names_sort_as_times_do(when: datetime, grain: Grain) -> None:
    name = grain.partition_of(when)

    assert grain.is_partition(name)
    assert grain.named_by(grain.folder(name)) == name
    assert when.isoformat().startswith(name)
    assert not next(other for other in GRAINS.values() if other is not grain).is_partition(name)


@example(at("0001-01-01"), at("0001-01-01"), at("0001-01-02"), MONTH)
@given(moments, moments, moments, st.sampled_from(list(GRAINS.values())))
def test_what_a_window_holds_stands_between_its_bounds(
    when: datetime, one: datetime, other: datetime, grain: Grain
) -> None:
    assume(one != other)
    for window in (Window(min(one, other), max(one, other)), Window(one, None), Window(None, one), ALWAYS):
        first, last = grain.bounds(window)

        assert when not in window or first <= grain.partition_of(when) <= last
        assert window.start is None or first == grain.partition_of(window.start)
        assert window.end is None or last <= grain.partition_of(window.end)


def test_a_window_that_ends_at_midnight_reaches_into_no_further_day() -> None:
    assert GRAINS["day"].bounds(parse_window("2026-01-30", "2026-02-01")) == ("2026-01-30", "2026-01-31")


@pytest.mark.parametrize("name", ["2026-1", "2026-13", "2026", "202601", "2026-01-01", "", "2026-01\n", "foo"])
def test_what_is_written_otherwise_names_no_month(name: str) -> None:
    assert not MONTH.is_partition(name)


def test_events_stand_in_the_file_of_their_utc_month(lake: af.Lake) -> None:
    assert by_partition(lake.partitions()) == BY_MONTH
    assert json.loads((lake.path / "auditframe.json").read_text("utf-8")) == {"format_version": 1, "partition": "month"}
    assert lake.verify() == ()


def test_any_engine_that_globs_sees_the_month_as_a_column(lake: af.Lake) -> None:
    with duckdb.connect() as connection:
        query = "SELECT month, count(*) FROM read_parquet($glob, hive_partitioning=true) GROUP BY month ORDER BY month"
        found = connection.execute(query, {"glob": f"{lake.path}/events/**/*.parquet"}).fetchall()

    assert found == [(month, len(ids)) for month, ids in BY_MONTH.items()]


def test_a_window_reads_the_months_that_it_touches(lake: af.Lake) -> None:
    window = lake.window("2026-02-03", "2026-03-01")

    assert [file.parent.name for file in window.files] == ["month=2026-02"]
    assert window.to_arrow()["id"].to_pylist() == ["e2"]


def test_an_increment_rewrites_its_month_alone(lake: af.Lake) -> None:
    before = {name: path.stat().st_ino for name, path in lake.partitions().items()}
    lake.append(arriving(event("late", "2026-02-14T12:00:00"), event("e1", EDGES[1])))

    after = lake.partitions()
    assert {name for name, path in after.items() if path.stat().st_ino != before[name]} == {"2026-02"}
    assert by_partition(after)["2026-02"] == ["e1", "late", "e2"]
    assert [state.partition for state in lake.ledger()[-1].partitions] == ["2026-02"]
    assert lake.verify() == ()


def test_an_id_that_comes_back_in_another_month_has_one_row(lake: af.Lake) -> None:
    assert lake.append(arriving(event("e0", EDGES[4]))).mutated == 1
    assert by_partition(lake.partitions()) == BY_MONTH


def test_expiry_cuts_the_month_that_it_falls_into(lake: af.Lake) -> None:
    lake.expire("2026-02-15")

    assert by_partition(lake.partitions()) == {"2026-02": ["e2"], "2026-03": ["e3", "e4"]}
    assert lake.verify() == ()


def test_an_event_is_proved_in_its_month(lake: af.Lake) -> None:
    proof = lake.prove("e2")

    assert (proof.partition, proof.index) == ("2026-02", 1)


def test_rebuilding_derives_every_month_anew(lake: af.Lake) -> None:
    path = lake.partitions()["2026-03"]
    pq.write_table(pq.ParquetFile(path).read().drop_columns(["actor_email"]), path)

    entry = lake.rebuild()
    assert entry is not None
    assert [state.partition for state in entry.partitions] == ["2026-03"]
    assert lake.verify() == ()


def test_a_row_in_another_month_is_named(lake: af.Lake) -> None:
    shutil.copy(lake.partitions()["2026-01"], lake.partitions()["2026-03"])

    assert "1 of its rows belong to another month." in {fault.what for fault in lake.verify()}


@pytest.mark.parametrize("folder", ["date=2026-01-31", "month=2026-1", "month=2026-13"])
def test_a_folder_that_is_for_no_month_is_named(lake: af.Lake, folder: str) -> None:
    shutil.copytree(lake.path / "events/month=2026-01", lake.path / "events" / folder)

    faults = {fault.path.name: fault.what for fault in lake.verify()}
    assert faults[folder] == "It is no partition; engines that glob this folder count it."


def test_a_lake_keeps_its_grain_whoever_opens_it(lake: af.Lake) -> None:
    af.Lake(lake.path).append(arriving(event("later", "2026-04-02T00:00:00")))

    assert list(lake.partitions()) == [*BY_MONTH, "2026-04"]


@pytest.mark.parametrize(("has", "asked"), [("month", "day"), ("day", "month")])
def test_another_grain_than_a_lake_has_is_refused(tmp_path: Path, has: Any, asked: Any) -> None:
    af.Lake(tmp_path / "lake", partition=has).append(arriving(event("e0", EDGES[0])))

    with pytest.raises(LakeError, match=f"has a partition a {has}, and keeps that") as caught:
        af.Lake(tmp_path / "lake", partition=asked)
    assert caught.value.path == tmp_path / "lake"


@pytest.mark.parametrize("asked", ["week", "", "Month"])
def test_a_partition_is_a_day_or_a_month(tmp_path: Path, lake: af.Lake, asked: Any) -> None:
    for path in (lake.path, tmp_path / "new"):
        with pytest.raises(LakeError, match="A partition is a day or a month, not a "):
            af.Lake(path, partition=asked)


def test_who_opened_the_folder_before_the_lake_was_made_finds_its_grain(tmp_path: Path) -> None:
    early, asking = af.Lake(tmp_path / "lake"), af.Lake(tmp_path / "lake", partition="day")
    af.Lake(tmp_path / "lake", partition="month").append(arriving(event("e0", EDGES[0])))

    assert early.append(arriving(event("e1", EDGES[1]))).new == 1
    assert by_partition(early.partitions()) == {"2026-01": ["e0"], "2026-02": ["e1"]}
    assert early.verify() == ()
    with pytest.raises(LakeError, match="has a partition a month"):
        asking.append(arriving(event("e2", EDGES[2])))


def test_a_lake_that_lost_its_description_keeps_its_grain(lake: af.Lake) -> None:
    (lake.path / "auditframe.json").unlink()
    reopened = af.Lake(lake.path)

    assert [fault.path.name for fault in reopened.verify()] == ["auditframe.json"]
    assert reopened.append(arriving(event("e1", EDGES[1]), event("new", EDGES[1]))).new == 1
    assert by_partition(reopened.partitions()) == BY_MONTH | {"2026-02": ["e1", "new", "e2"]}
    assert reopened.verify() == ()


def test_a_grain_that_this_version_does_not_know_is_refused(lake: af.Lake) -> None:
    (lake.path / "auditframe.json").write_text('{"format_version":1,"partition":"week"}')

    with pytest.raises(LakeVersionError, match="week partitions; this version reads format 1 with day or month"):
        af.Lake(lake.path)


def test_a_snapshot_gives_the_events_and_the_answers_of_a_lake_of_days(tmp_path: Path, organization: Sample) -> None:
    lakes = [af.Lake(tmp_path / grain, partition=grain) for grain in ("day", "month")]
    for lake in lakes:
        with connected(Emulator(organization.events)) as client:
            for end in ("2026-10-21", "2026-11-01"):
                af.snapshot(lake, client, start="2026-10-12", end=end)
        assert lake.verify() == ()

    days, months = lakes
    columns = "SELECT * EXCLUDE (first_seen_at, snapshot) FROM events ORDER BY effective_at, id"
    assert list(months.partitions()) == ["2026-10"]
    assert list(days.partitions()) == [f"2026-10-{day}" for day in range(12, 32)]
    assert months.arrow(columns).equals(days.arrow(columns))
    for name in ("events_per_actor", "privileged_grants", "coverage"):
        assert REGISTRY[name].arrow(months).equals(REGISTRY[name].arrow(days)), name
    assert months.coverage("organization") == days.coverage("organization")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "events.jsonl"
    file.write_text(json.dumps(event("e0", EDGES[0])) + "\n")
    return file


def test_an_import_makes_a_lake_of_months(tmp_path: Path, file: Path) -> None:
    done = CliRunner().invoke(cli, ["import", str(file), "--lake", str(tmp_path / "new"), "--partition", "month"])

    assert done.exit_code == 0, done.output
    assert by_partition(af.Lake(tmp_path / "new").partitions()) == {"2026-01": ["e0"]}


@pytest.mark.parametrize("command", ["import", "snapshot"])
def test_a_command_refuses_another_grain_before_it_reads_anything(lake: af.Lake, file: Path, command: str) -> None:
    source = [str(file)] if command == "import" else []
    done = CliRunner().invoke(cli, [command, *source, "--lake", str(lake.path), "--partition", "day"], env=NOWHERE)

    assert done.exit_code == 1
    assert "has a partition a month, and keeps that" in done.stderr
    assert len(lake.ledger()) == 1
