"""The index of ids: it never misses one, whatever happens to its files, and no writer reads the lake for it."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditframe.fingerprints import fingerprints
from auditframe.flatten import flatten_events
from auditframe.lake import Lake
from auditframe.lake.index import Index
from auditframe.lake.layout import Layout
from auditframe.lake.runs import IDS_PER_BLOCK, StoredRun, encoded_run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DAY_S = 86_400


def append(lake: Lake, ids: Sequence[str], *, at: int = 0) -> int:
    """Append events and return how many of them were new."""
    events = [{"id": id_, "type": "login.succeeded", "effective_at": at} for id_ in ids]
    return lake.append(flatten_events(events, scope="organization")).new


def runs_of(lake: Lake) -> list[Path]:
    return sorted(lake.path.glob("index/*"))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake of two days, whose index has two runs."""
    lake = Lake(tmp_path / "lake")
    append(lake, [f"old-{number}" for number in range(50)])
    append(lake, ["a", "b"], at=DAY_S)
    assert len(runs_of(lake)) == 2
    return lake


@given(st.lists(st.lists(st.text(max_size=3), max_size=9), max_size=20), st.lists(st.text(max_size=3), max_size=5))
@settings(deadline=None)
def test_no_id_that_was_added_is_missed_by_this_writer_or_the_next(runs: list[list[str]], others: list[str]) -> None:
    with TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        layout.staging.mkdir()
        index = Index(layout, [])
        for run in runs:
            index.add(run, number=0)
        held = sorted({id_ for run in runs for id_ in run})

        for each in (index, Index(layout, [])):
            assert set(each.may_hold([*others, *held])) >= set(held)
            assert set(each.may_hold(others)) <= set(held)


def test_a_run_is_joined_with_those_that_are_not_much_longer(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.staging.mkdir()
    index = Index(layout, [])
    sizes = []
    for number in range(300):
        index.add([str(number)], number=0)
        sizes.append(len(list(layout.index.iterdir())))

    assert max(sizes) <= 7
    assert index.may_hold([str(number) for number in range(0, 600, 100)]) == ["0", "100", "200"]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_a_damaged_or_lost_run_is_named_and_made_anew(which: int, damage: Callable[[Path], None], lake: Lake) -> None:
    damage(runs_of(lake)[which])
    faults = lake.verify()
    new = [append(lake, ["old-7"], at=9 * DAY_S), append(lake, ["a", "c"], at=9 * DAY_S)]

    is_cut_short = (which, damage) == (1, Path.unlink)  # as if the newest had never been put down
    assert [fault.path.name for fault in faults] == ([] if is_cut_short else [f"0000000{which + 1}.ids"])
    assert new == [0, 1]
    assert lake.verify() == ()


def test_a_run_in_the_place_of_another_is_named_and_made_anew(lake: Lake) -> None:
    first, second = runs_of(lake)
    shutil.copy(second, first)

    assert [fault.path for fault in lake.verify()] == [first]
    assert append(lake, ["old-7", "a"], at=9 * DAY_S) == 0


def test_an_index_that_lost_the_last_of_an_entrys_runs_is_made_anew(lake: Lake) -> None:
    with lake.writer() as writer:
        for ids in (["c", "d", "e", "f", "g", "h", "i"], ["x"]):
            events = [{"id": id_, "type": "login.succeeded", "effective_at": DAY_S} for id_ in ids]
            writer.add(flatten_events(events, scope="organization"))
        writer.commit("import")
    header = msgspec.json.decode(runs_of(lake)[-1].read_bytes().partition(b"\n")[0])
    runs_of(lake)[-1].unlink()

    assert (header["number"], header["of_entry"], header["ids"]) == (3, 8, 1)
    assert append(lake, ["x", "c", "a"], at=9 * DAY_S) == 0
    assert append(lake, ["y"], at=9 * DAY_S) == 1


def test_an_index_older_than_the_events_is_made_anew(lake: Lake) -> None:
    kept = lake.path.parent / "kept"
    shutil.copytree(lake.path / "index", kept)
    append(lake, ["c"], at=DAY_S)
    shutil.rmtree(lake.path / "index")
    shutil.copytree(kept, lake.path / "index")

    assert append(lake, ["c"], at=9 * DAY_S) == 0


def test_an_index_newer_than_the_ledger_is_made_anew(lake: Lake) -> None:
    earlier = lake.path.parent / "earlier"
    shutil.copytree(lake.path, earlier)
    append(lake, [f"new-{number}" for number in range(5)], at=DAY_S)
    shutil.rmtree(earlier / "index")
    shutil.copytree(lake.path / "index", earlier / "index")

    assert append(Lake(earlier), ["new-1", "a"], at=9 * DAY_S) == 1


def test_a_lake_without_an_index_gets_one(lake: Lake) -> None:
    shutil.rmtree(lake.path / "index")
    assert lake.verify() == ()

    assert append(lake, ["old-7"], at=9 * DAY_S) == 0
    assert len(runs_of(lake)) == 1


def test_what_is_no_run_is_named_and_left_alone(lake: Lake) -> None:
    (lake.path / "index" / "notes.txt").write_text("x", encoding="utf-8")
    append(lake, ["c"], at=DAY_S)

    assert [(fault.path.name, fault.what) for fault in lake.verify()] == [("notes.txt", "It is no part of the index.")]


def test_what_a_killed_run_left_is_removed_by_the_next_writer(lake: Lake) -> None:
    first = runs_of(lake)[0]
    shutil.copy(first, lake.path / "index" / "00000000.ids")
    faults = lake.verify()
    append(lake, ["c"], at=DAY_S)

    assert [fault.path.name for fault in faults] == ["00000000.ids"]
    assert lake.verify() == ()


def test_opening_a_writer_reads_no_partition(lake: Lake) -> None:
    oldest = lake.path / "events" / "date=1970-01-01" / "events.parquet"
    oldest.write_bytes(b"no Parquet")

    assert append(lake, ["c"], at=DAY_S) == 1


def test_an_index_tells_the_entry_of_its_last_event(lake: Lake) -> None:
    header = msgspec.json.decode(runs_of(lake)[-1].read_bytes().partition(b"\n")[0])

    assert (header["number"], header["ids"], list(header["stands_on"])) == (2, 2, ["00000001.ids"])


def blocks_of(path: Path) -> tuple[int, int]:
    """Return where the fingerprints of a run begin, and how many bytes a block has."""
    head, _, _ = path.read_bytes().partition(b"\n")
    count = msgspec.json.decode(head)["ids"]
    return path.stat().st_size - 8 * count, 8 * IDS_PER_BLOCK


@given(st.integers(1, 2_500), st.lists(st.integers(0, 4_000), max_size=30))
@settings(deadline=None, max_examples=50)
def test_a_run_holds_the_same_by_blocks_and_whole(size: int, asked: list[int]) -> None:
    ids = np.arange(0, 2 * size, 2, dtype=np.uint64) << np.uint64(40)
    wanted = np.array(asked, np.uint64) << np.uint64(40)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "00000001.ids"
        path.write_bytes(b"".join(encoded_run(ids, number=1, of_entry=size, stands_on={})[1]))
        few, all_ = StoredRun(path), StoredRun(path)

        assert np.array_equal(all_.whole(), ids)
        assert few.holds(wanted).tolist() == all_.holds(wanted).tolist() == np.isin(wanted, ids).tolist()


def test_an_id_is_looked_for_in_its_block_alone(tmp_path: Path) -> None:
    path = tmp_path / "00000001.ids"
    ids = np.arange(20 * IDS_PER_BLOCK, dtype=np.uint64)
    path.write_bytes(b"".join(encoded_run(ids, number=1, of_entry=len(ids), stands_on={})[1]))
    begins_at, block_bytes = blocks_of(path)
    data = bytearray(path.read_bytes())
    data[begins_at + 7 * block_bytes] ^= 1
    path.write_bytes(data)
    run = StoredRun(path)

    assert run.holds(np.array([6 * IDS_PER_BLOCK + 3, 8 * IDS_PER_BLOCK], np.uint64)).all()
    with pytest.raises(ValueError, match="changed after it was written"):
        run.holds(np.array([7 * IDS_PER_BLOCK + 3], np.uint64))


def test_a_block_found_damaged_by_the_writer_that_needs_it_is_made_anew(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    append(lake, [f"old-{number}" for number in range(20 * IDS_PER_BLOCK)])
    (run,) = runs_of(lake)
    begins_at, _ = blocks_of(run)
    data = bytearray(run.read_bytes())
    data[begins_at:] = b"\0" * len(data[begins_at:])
    run.write_bytes(data)

    assert append(lake, ["new", "old-77"], at=9 * DAY_S) == 1
    assert lake.verify() == ()


def test_an_index_made_anew_while_ids_are_put_down_speaks_for_what_is_there_alone(tmp_path: Path) -> None:
    by_fingerprint = sorted((f"e{number}" for number in range(100)), key=lambda id_: int(fingerprints([id_])[0]))
    lowest, highest = by_fingerprint[0], by_fingerprint[-1]
    lake = Lake(tmp_path / "lake")
    append(lake, [f"old-{number}" for number in range(100)])
    append(lake, [highest], at=DAY_S)
    data = bytearray(runs_of(lake)[-1].read_bytes())
    data[-1] ^= 1
    runs_of(lake)[-1].write_bytes(data)  # looking for a lower fingerprint does not read this block; joining does
    added = append(lake, [lowest], at=2 * DAY_S)
    runs_of(lake)[-1].unlink()

    assert (added, append(lake, [lowest], at=2 * DAY_S)) == (1, 0)
    assert lake.verify() == ()


def test_an_index_that_lacks_ids_is_named(lake: Lake) -> None:
    ids = np.sort(fingerprints([f"old-{number}" for number in range(50)]))
    for run in runs_of(lake):
        run.unlink()
    _, parts = encoded_run(ids, number=2, of_entry=2, stands_on={})
    (lake.path / "index" / "00000001.ids").write_bytes(b"".join(parts))

    assert [(fault.path.name, fault.what.partition(".")[0]) for fault in lake.verify()] == [
        ("index", "It lacks 2 ids of events that are there")
    ]
