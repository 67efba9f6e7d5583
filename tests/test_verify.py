"""Verify names every fault: bytes, places, proofs, gaps; and never ends in anything but faults or the lake's errors."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import shutil
import socket
import sys
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditframe.errors import LakeCorruptError, LakeLockedError, LakeNotFoundError, ParameterError
from auditframe.flatten import flatten_events, flatten_texts
from auditframe.lake import Lake
from auditframe.lake.journal import Journal, Walk, write_journal, write_walk
from auditframe.lake.layout import Layout
from auditframe.lake.merge import texts
from auditframe.lake.merkle import merkle_root
from auditframe.lake.parquet import encode_partition, read_partition
from auditframe.lake.records import Entry, canonical
from auditframe.lake.storage import writer_lock
from auditframe.lake.strangers import partitions_there
from auditframe.lake.verify import verify
from auditframe.schema import arrow_schema
from tests.soak import IS_SOAK
from tests.tampering import (
    DAY_S,
    T0,
    Tampering,
    arriving,
    collected,
    event,
    files_of,
    is_detected,
    main,
    make_lake,
    undetected_flips,
)

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST = "events/date=1970-01-01/events.parquet"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "lake"
    make_lake(path)
    return path


@pytest.fixture
def lake(tmp_path: Path, template: Path) -> Lake:
    """The lake of every kind of file."""
    shutil.copytree(template, tmp_path / "lake")
    return Lake(tmp_path / "lake")


@pytest.fixture
def plain(tmp_path: Path) -> Lake:
    """Two entries, two partitions, nothing else."""
    lake = Lake(tmp_path / "plain")
    lake.append(arriving(event("a", 1), event("b", 2)))
    lake.append(arriving(event("c", DAY_S)))
    return lake


def faults(lake: Lake) -> list[tuple[str, str]]:
    return [(fault.path.relative_to(lake.path).as_posix(), fault.what) for fault in lake.verify()]


def only_fault(lake: Lake) -> tuple[str, str]:
    (found,) = faults(lake)
    return found


def rewrite_ledger(lake: Lake, change: Callable[[Entry], Entry]) -> None:
    """Forge a ledger: every entry changed, sealed and chained anew."""
    layout, previous = Layout(lake.path), None
    for entry in lake.ledger():
        sealed = msgspec.structs.replace(change(entry), previous=previous).sealed()
        layout.entry_file(entry.number).write_bytes(canonical(sealed))
        previous = sealed.hash


def forge_entry(lake: Lake, number: int, **changes: Any) -> None:
    def change(entry: Entry) -> Entry:
        return msgspec.structs.replace(entry, **changes) if entry.number == number else entry

    rewrite_ledger(lake, change)


def forge_partition(lake: Lake, data: bytes, *, day: str = "1970-01-01") -> None:
    """Put other bytes in a partition's place, and their hash and, if they can be read, their root in the ledger."""
    path = Layout(lake.path).partition_file(day)
    path.write_bytes(data)
    facts: dict[str, Any] = {"sha256": sha256(data).hexdigest()}
    with contextlib.suppress(LakeCorruptError, UnicodeDecodeError, KeyError, AttributeError):
        raws = texts(read_partition(data, path=path), "raw")
        facts |= {"rows": len(raws), "merkle_root": merkle_root(raws)}

    last = max(entry.number for entry in lake.ledger() if day in {state.partition for state in entry.partitions})
    changed = [
        msgspec.structs.replace(state, **facts) if state.partition == day else state
        for state in lake.ledger()[last - 1].partitions
    ]
    forge_entry(lake, last, partitions=changed)


def with_column(lake: Lake, name: str, values: list[Any], *, day: str = "1970-01-01") -> bytes:
    rows = pq.ParquetFile(Layout(lake.path).partition_file(day)).read()
    place = rows.schema.get_field_index(name)
    field = rows.schema.field(place)
    return encode_partition(rows.set_column(place, field, pa.array(values, field.type)))


# --- every byte


def test_a_sound_lake_of_every_kind_of_file_has_no_fault(lake: Lake) -> None:
    names = {path.relative_to(lake.path).parts[0] for path in files_of(lake.path)}

    assert lake.verify(anchor=lake.ledger()[-1].hash) == ()
    assert names == {"auditframe.json", "events", "index", "ledger", "quarantine", "resume", "staging"}


def test_no_flipped_byte_goes_unnoticed(lake: Lake) -> None:
    """AUDITFRAME_SOAK=1 tries every byte of every file, twice; else a seeded sample of them."""
    before = {path: path.read_bytes() for path in files_of(lake.path)}
    found = undetected_flips(lake.path, every=1 if IS_SOAK else 1_009, seed=20261124)

    assert found == Tampering(found.tried, ())
    assert found.tried >= 2 * len(before)
    assert {path: path.read_bytes() for path in files_of(lake.path)} == before


def test_a_flip_that_verify_cannot_know_of_is_told_by_the_trial(plain: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["auditframe.lake.verify"], "strangers", lambda *_, **__: ())
    (plain.path / "notes.txt").write_bytes(b"ab")
    found = undetected_flips(plain.path, every=10_000_000, seed=1)

    assert {flip.file for flip in found.undetected} == {"notes.txt"}


def test_the_trial_runs_as_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(10_000_000) == 0
    assert ", 0 undetected" in capsys.readouterr().out


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\n", lambda _: b""])
def test_a_file_that_lost_or_gained_a_byte_is_named(lake: Lake, change: Callable[[bytes], bytes]) -> None:
    for path in files_of(lake.path):
        data = path.read_bytes()
        path.write_bytes(change(data))
        found = {fault.path for fault in lake.verify()}
        path.write_bytes(data)

        assert path in found


def test_a_missing_file_is_noticed_unless_it_proves_nothing(lake: Lake) -> None:
    """What a run leaves for the next proves nothing: without it, a window is read anew, or the ids are."""
    anchor, missed = lake.ledger()[-1].hash, []
    for path in files_of(lake.path):
        data = path.read_bytes()
        path.unlink()
        if not is_detected(lake.path, anchor=anchor):
            missed.append(path.relative_to(lake.path).parts[0])
        path.write_bytes(data)

    assert missed == ["index", "resume", "staging"]


def test_two_files_that_changed_places_are_noticed(lake: Lake) -> None:
    kinds: dict[str, list[Path]] = {}
    for path in files_of(lake.path):
        kinds.setdefault(path.suffix + path.parts[-2][:4], []).append(path)
    pairs = [pair for paths in kinds.values() for pair in itertools.pairwise(paths)]
    for one, other in [*pairs, (files_of(lake.path)[0], pairs[0][0])]:
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second)
        other.write_bytes(first)
        found = {fault.path for fault in lake.verify()}
        one.write_bytes(first)
        other.write_bytes(second)

        assert found & {one, other}
    assert len(pairs) >= 7


# --- what should not be there


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        ".hidden",
        "ledger/notes.txt",
        "ledger/1.json.bak",
        "events/part-0.parquet",
        "events/_SUCCESS",
        "events/date=1970-01-01/part-0.parquet",
        "quarantine/00000099.jsonl",
        "resume/notes.txt",
        "staging/date=1970-01-01.events.parquet",
    ],
)
def test_a_foreign_file_is_named_once(lake: Lake, name: str) -> None:
    (lake.path / name).write_bytes(b"")

    assert only_fault(lake)[0] == name


@pytest.mark.parametrize(
    "name",
    [
        "more",
        "ledger/old",
        "ledger/00000007.json",
        "events/more",
        "events/date=foo",
        "events/date=2026-13-99",
        "events/date=20260101",
        "events/date=2026-01-01",
        "events/date=1970-01-01/more",
        "quarantine/more",
        "quarantine/00000009.jsonl",
        "resume/more",
        "resume/tenant.json",
        "staging/more",
    ],
)
def test_a_foreign_or_empty_folder_is_named_once(lake: Lake, name: str) -> None:
    (lake.path / name).mkdir()

    assert only_fault(lake)[0] == name


def test_a_foreign_folder_stops_no_writer(lake: Lake) -> None:
    (lake.path / "staging/more").mkdir()
    lake.append(flatten_events([{"id": "new", "type": "login.failed", "effective_at": 1}]))

    assert only_fault(lake)[0] == "staging/more"


@pytest.mark.parametrize("day", ["foo", "2026-13-99", "20260101"])
def test_a_partition_of_no_day_is_named(lake: Lake, day: str) -> None:
    shutil.copytree((lake.path / FIRST).parent, lake.path / f"events/date={day}")

    assert only_fault(lake)[0] == f"events/date={day}"


def test_a_partition_that_no_entry_speaks_of_is_named(lake: Lake) -> None:
    shutil.copytree((lake.path / FIRST).parent, lake.path / "events/date=1999-01-01")

    assert ("events/date=1999-01-01/events.parquet", "No ledger entry speaks of this partition.") in faults(lake)


def test_links_are_named_wherever_they_lead(lake: Lake, tmp_path: Path) -> None:
    names = ["gone", "ledger/x.json", "events/date=2000-01-01", "quarantine/x", "resume/x.json", "staging/x"]
    for name in names:
        (lake.path / name).symlink_to(tmp_path / "nowhere")
    for name in (FIRST, "ledger/00000006.json", "auditframe.json"):
        target = tmp_path / Path(name).name
        (lake.path / name).rename(target)
        (lake.path / name).symlink_to(target)
        names.append(name)

    assert {name for name, _ in faults(lake)} >= set(names)


def test_a_linked_folder_is_named_though_its_files_are_right(lake: Lake, tmp_path: Path) -> None:
    (lake.path / "events").rename(tmp_path / "elsewhere")
    (lake.path / "events").symlink_to(tmp_path / "elsewhere")

    assert only_fault(lake) == ("events", "It is a link; the lake makes none.")


@pytest.mark.parametrize("make", ["folder", "pipe", "socket", "link to itself"])
def test_what_is_no_file_where_a_file_belongs_is_named_and_not_waited_for(lake: Lake, make: str) -> None:
    for path in files_of(lake.path):
        data = path.read_bytes()
        path.unlink()
        _make(path, make)
        found = {fault.path for fault in lake.verify()}
        path.rmdir() if make == "folder" else path.unlink()
        path.write_bytes(data)

        assert path in found


def _make(path: Path, kind: str) -> None:
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as bound, contextlib.chdir(path.parent):
                bound.bind(path.name)
        case _:
            path.symlink_to(path)


@pytest.mark.parametrize("name", ["events", "ledger", "quarantine", "resume", "staging"])
def test_a_file_where_a_folder_belongs_is_named(lake: Lake, name: str) -> None:
    shutil.rmtree(lake.path / name)
    (lake.path / name).write_bytes(b"")

    assert name in {found for found, _ in faults(lake)}


@pytest.mark.parametrize("name", ["events", "ledger", "quarantine", "resume", "staging"])
def test_a_folder_that_cannot_be_read_is_named(lake: Lake, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    list_folder = os.listdir

    def refuse(path: Path) -> list[str]:
        if path == lake.path / name:
            raise PermissionError(13, "Permission denied")
        return list_folder(path)

    monkeypatch.setattr(os, "listdir", refuse)

    assert (name, "The folder cannot be read: Permission denied.") in faults(lake)


def test_a_name_that_is_not_utf8_is_named(lake: Lake) -> None:
    for folder in ("", "events", "ledger", "quarantine", "resume", "staging"):
        Path(os.fsdecode(os.fsencode(lake.path / folder) + b"/\xff\xfe.json")).write_bytes(b"{}")

    assert len({fault.path for fault in lake.verify()}) == 6


def test_a_lake_that_is_a_file_is_no_lake(tmp_path: Path) -> None:
    (tmp_path / "lake").write_bytes(b"")
    with pytest.raises(LakeNotFoundError):
        Lake(tmp_path / "lake").verify()


def test_a_description_that_is_a_folder_is_refused_as_damaged(tmp_path: Path) -> None:
    (tmp_path / "auditframe.json").mkdir()
    with pytest.raises(LakeCorruptError, match="backup"):
        Lake(tmp_path)


# --- what runs leave


def test_a_lock_that_holds_something_is_named(lake: Lake) -> None:
    (lake.path / "staging/lock").write_bytes(b"x")

    assert only_fault(lake)[0] == "staging/lock"


@pytest.mark.parametrize(
    "change",
    [
        {"scope": "organization"},
        {"start": T0},
        {"start": T0.replace(tzinfo=None)},
        {"asked_at": T0.replace(tzinfo=None)},
    ],
)
def test_a_walk_that_tells_of_another_window_than_its_name_is_named(lake: Lake, change: dict[str, Any]) -> None:
    (path,) = (lake.path / "resume").iterdir()
    walk = msgspec.json.decode(path.read_bytes(), type=Walk)
    path.write_bytes(canonical(msgspec.structs.replace(walk, **change).sealed()))

    assert only_fault(lake)[0] == f"resume/{path.name}"


@pytest.mark.parametrize("name", ["resume", "staging"])
@pytest.mark.parametrize("change", ["unsealed", "white space", "doubled key"])
def test_a_record_that_was_changed_after_it_was_sealed_is_named(lake: Lake, name: str, change: str) -> None:
    (path,) = (lake.path / name).glob("*.json")
    text = path.read_bytes()
    other = {
        "unsealed": text.replace(b'"number":', b'"number":1'),
        "white space": text + b"\n",
        "doubled key": text.replace(b'"number":', b'"number":0,"number":'),
    }
    path.write_bytes(other[change])

    assert only_fault(lake)[0] == f"{name}/{path.name}"


def test_a_removal_that_was_cut_short_is_named(lake: Lake) -> None:
    layout = Layout(lake.path)
    removal = lake.ledger()[3].removal
    write_journal(layout, Journal(number=7, kind="erase", started_at=T0, touched=[], quarantine=[], removal=removal))

    assert "cut short" in only_fault(lake)[1]


def test_what_a_killed_run_may_have_changed_is_told_as_that(plain: Lake) -> None:
    with plain.writer() as writer:
        writer.add(arriving(event("d", 3)))
    found = faults(plain)

    assert [name for name, _ in found] == [FIRST] * 2
    assert all("a run that was killed" in what.lower() for _, what in found)


def test_an_empty_folder_that_a_killed_run_left_is_no_fault_once_an_entry_spoke_for_it(plain: Lake) -> None:
    layout = Layout(plain.path)
    write_journal(layout, Journal(number=3, kind="import", started_at=T0, touched=["1970-01-09"], quarantine=[]))
    (plain.path / "events/date=1970-01-09").mkdir()
    before = [name for name, _ in faults(plain)]
    with plain.writer():
        pass

    assert before == ["events/date=1970-01-09"]
    assert plain.verify() == ()


def test_while_a_run_writes_its_changes_are_no_faults_and_a_sound_lake_is_sound(plain: Lake) -> None:
    with plain.writer() as writer:
        assert plain.verify() == ()
        writer.add(arriving(event("d", 3)))
        with pytest.raises(LakeLockedError, match="when it has ended") as caught:
            plain.verify()

    assert caught.value.retryable


def test_faults_of_the_ledger_are_named_even_while_a_run_writes(plain: Lake) -> None:
    forge_entry(plain, 1, kind="rebuild")
    (plain.path / FIRST).unlink()
    with writer_lock(Layout(plain.path).lock):
        found = {name for name, _ in faults(plain)}

    assert found == {"ledger/00000001.json"}


def test_verify_does_not_keep_the_writers_place(plain: Lake) -> None:
    (plain.path / "notes.txt").write_bytes(b"")
    assert plain.verify()
    with (plain.path / "staging/lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if anybody holds it


def test_an_entry_that_is_written_during_a_verification_makes_it_say_nothing(
    plain: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules[verify.__module__]

    def write_meanwhile(layout: Layout) -> set[str]:
        monkeypatch.setattr(module, "partitions_there", partitions_there)
        plain.append(arriving(event("d", 3)))
        return partitions_there(layout)

    monkeypatch.setattr(module, "partitions_there", write_meanwhile)
    with pytest.raises(LakeLockedError):
        plain.verify()
    assert plain.verify() == ()


# --- the ledger's proofs


def counts(**changes: int) -> Callable[[Entry], Any]:
    return lambda entry: msgspec.structs.replace(entry.counts, **changes)


def states(**changes: Any) -> Callable[[Entry], Any]:
    return lambda entry: [msgspec.structs.replace(state, **changes) for state in entry.partitions]


def tombstone(**changes: Any) -> Callable[[Entry], Any]:
    return lambda entry: msgspec.structs.replace(entry.removal, **changes) if entry.removal else None


def window(start: datetime | None, end: datetime, **rest: str) -> Callable[[Entry], Any]:
    return lambda _: [collected(start, end, **rest)]


@pytest.mark.parametrize(
    ("number", "name", "change", "what"),
    [
        (1, "counts", counts(received=5), "accounts for"),
        (1, "counts", counts(new=5, known=-1), "less than nothing"),
        (1, "counts", counts(late=5), "late"),
        (1, "counts", counts(new=3, known=1), "its partitions have"),
        (1, "kind", lambda _: "import", "endpoint was read"),
        (2, "kind", lambda _: "rebuild", "events arrived"),
        (4, "kind", lambda _: "snapshot", "tombstone"),
        (4, "kind", lambda _: "expire", "tombstone"),
        (4, "removal", lambda _: None, "tombstone"),
        (4, "removal", tombstone(events=2), "removes 2"),
        (4, "removal", tombstone(ids_sha256=[]), "names 0"),
        (4, "removal", tombstone(items=1), "quarantined items"),
        (4, "removal", tombstone(partitions=[]), "other partitions"),
        (5, "removal", tombstone(before=T0.replace(tzinfo=None)), "no zone"),
        (6, "collected", window(T0, T0), "empty"),
        (6, "collected", window(T0 + timedelta(1), T0), "empty"),
        (6, "collected", window(None, T0 + timedelta(days=99_999)), "after the entry"),
        (6, "collected", window(T0, T0 + timedelta(1), scope="moon"), "'moon'"),
        (6, "collected", window(T0, datetime(1970, 1, 2)), "no zone"),  # noqa: DTZ001 - that is what is tried
        (6, "finished_at", lambda _: datetime(1970, 1, 9), "no zone"),  # noqa: DTZ001 - that is what is tried
        (6, "finished_at", lambda entry: entry.finished_at.replace(year=9999, month=12, day=31), "cannot be"),
        (2, "partitions", states(partition="../../etc"), "not days"),
        (1, "partitions", lambda entry: entry.partitions[::-1], "oldest first"),
        (2, "partitions", states(sha256=None), "no rows"),
        (2, "quarantine", lambda entry: entry.quarantine * 2, "each once"),
        (2, "quarantine", lambda e: [msgspec.structs.replace(e.quarantine[0], number=9)], "entries up to it"),
        (2, "quarantine", lambda e: [msgspec.structs.replace(e.quarantine[0], items=9)], "lines"),
    ],
)
def test_a_forged_entry_that_says_what_cannot_be_is_named(
    lake: Lake, number: int, name: str, change: Callable[[Entry], Any], what: str
) -> None:
    forge_entry(lake, number, **{name: change(lake.ledger()[number - 1])})

    assert any(path == f"ledger/{number:08d}.json" and what in said for path, said in faults(lake))


def test_rows_that_name_no_entry_or_one_that_adds_nothing_are_named(lake: Lake) -> None:
    for number in (0, 4, 99):
        forge_partition(lake, with_column(lake, "snapshot", [number]))

        assert "name an entry that does not exist" in only_fault(lake)[1]


def test_rows_that_name_another_entry_than_brought_them_are_named(lake: Lake) -> None:
    forge_partition(lake, with_column(lake, "snapshot", [2], day="1970-01-02"), day="1970-01-02")

    assert only_fault(lake) == (
        "ledger/00000002.json",
        "It says that it added 1 events, yet 2 rows say that they came with it.",
    )


def test_fewer_rows_than_an_entry_added_are_named_where_nothing_was_removed_since(plain: Lake) -> None:
    forge_partition(plain, with_column(plain, "snapshot", [1], day="1970-01-02"), day="1970-01-02")

    assert [name for name, _ in faults(plain)] == ["ledger/00000001.json", "ledger/00000002.json"]


def test_rows_first_seen_after_their_entry_are_named(lake: Lake) -> None:
    forge_partition(lake, with_column(lake, "first_seen_at", [lake.ledger()[-1].finished_at + timedelta(days=2)]))

    assert "first seen after" in only_fault(lake)[1]


@pytest.mark.parametrize("name", ["snapshot", "first_seen_at"])
def test_rows_that_do_not_say_how_they_came_are_named(lake: Lake, name: str) -> None:
    forge_partition(lake, with_column(lake, name, [None]))

    assert only_fault(lake)[1] == "Some of its rows do not say with which entry they came, or when."


def test_an_erased_event_that_is_there_again_is_named(lake: Lake) -> None:
    removal = lake.ledger()[3].removal
    assert removal is not None
    ids = sorted([*removal.ids_sha256[1:], sha256(b"b").hexdigest()])
    forge_entry(lake, 4, removal=msgspec.structs.replace(removal, ids_sha256=ids))

    assert only_fault(lake) == (FIRST, "1 of its rows were removed, by expiry or erasure, and are here again.")


def test_a_line_in_quarantine_that_is_not_what_it_says_is_named(lake: Lake) -> None:
    path = lake.path / "quarantine/00000002.jsonl"
    honest, entry = path.read_bytes(), lake.ledger()[1]
    for forged in (honest.replace(b'\\"q\\"', b'\\"z\\"'), honest[:-20], b"", honest.split(b"\n")[0] + b"\n"):
        path.write_bytes(forged)
        state = msgspec.structs.replace(entry.quarantine[0], sha256=sha256(forged).hexdigest())
        forge_entry(lake, 2, quarantine=[state])

        assert only_fault(lake)[0] == "quarantine/00000002.jsonl"


# --- gaps


def cover(lake: Lake, *days: tuple[int, int], scope: str = "organization") -> None:
    for start, end in days:
        with lake.writer() as writer:
            span = collected(T0 + timedelta(days=start), T0 + timedelta(days=end), scope=scope)
            writer.commit("snapshot", [span])


def test_a_gap_between_covered_windows_is_named_with_the_command_that_reads_it(plain: Lake) -> None:
    cover(plain, (0, 2), (5, 7))
    cover(plain, (0, 7), scope="tenant")

    assert only_fault(plain) == (
        "ledger",
        "The scope organization was not read from 1970-01-03T00:00:00Z to 1970-01-06T00:00:00Z: a gap in coverage. "
        f"Read it: auditframe snapshot --lake {plain.path} --start 1970-01-03T00:00:00Z --end 1970-01-06T00:00:00Z",
    )


def test_a_gap_that_was_read_is_none_any_more(plain: Lake) -> None:
    cover(plain, (0, 2), (5, 7), (2, 5))

    assert plain.verify() == ()


def test_a_gap_in_what_has_expired_is_none(plain: Lake) -> None:
    cover(plain, (0, 2), (5, 7))
    plain.expire(T0 + timedelta(days=4))
    assert "from 1970-01-05T00:00:00Z to 1970-01-06T00:00:00Z" in only_fault(plain)[1]

    plain.expire(T0 + timedelta(days=5))
    assert plain.verify() == ()


# --- the anchor


@pytest.mark.parametrize("anchor", ["", "abc", "g" * 64, "0" * 63, "0" * 65])
def test_an_anchor_that_is_no_hash_is_refused_and_not_told_as_tampering(plain: Lake, anchor: str) -> None:
    with pytest.raises(ParameterError, match="64 hexadecimal digits"):
        plain.verify(anchor=anchor)


def test_an_anchor_may_be_any_entrys_hash_in_any_letter_case(plain: Lake) -> None:
    for entry in plain.ledger():
        assert plain.verify(anchor=f" {entry.hash.upper()}\n") == ()


def test_a_lake_that_was_rolled_back_agrees_with_itself_and_not_with_the_anchor(plain: Lake, tmp_path: Path) -> None:
    shutil.copytree(plain.path, tmp_path / "older")
    plain.append(arriving(event("d", 3)))
    older = Lake(tmp_path / "older")

    assert older.verify() == ()
    assert [fault.path.name for fault in older.verify(anchor=plain.ledger()[-1].hash)] == ["ledger"]


# --- what cannot be parsed


HOSTILE = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"number":"\xff"}',
    "deep": b"[" * 200_000,
    "deep value": b'{"counts":' + b'{"new":' * 200_000,
    "huge number": b'{"number":' + b"9" * 10_000 + b"}",
    "nul": bytes(4096),
    "surrogate": b'{"kind":"\\ud800"}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_ends_in_a_traceback(lake: Lake, text: bytes) -> None:
    for path in files_of(lake.path):
        data = path.read_bytes()
        path.write_bytes(text)
        found = {fault.path for fault in lake.verify()}
        path.write_bytes(data)

        assert path in found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("number", 10**15),
        ("number", -1),
        ("finished_at", "0001-01-01T00:00:00+14:00"),
        ("finished_at", "9999-12-31T23:59:59-14:00"),
        ("finished_at", "2026-01-01T00:00:00"),
        ("partitions", [{"partition": "date", "rows": 1, "merkle_root": "", "sha256": None}]),
        ("partitions", [{"partition": "1970-01-01", "rows": -(2**62), "merkle_root": "", "sha256": ""}]),
        ("partitions", [{"partition": "\x00", "rows": 1, "merkle_root": "", "sha256": ""}]),
        ("quarantine", [{"number": 10**12, "items": 1, "sha256": ""}]),
    ],
)
def test_no_value_in_an_entry_ends_in_a_traceback(lake: Lake, key: str, value: Any) -> None:
    path = lake.path / "ledger/00000006.json"
    content = msgspec.json.decode(path.read_bytes()) | {key: value}
    sealed = content | {"hash": sha256(canonical({k: v for k, v in content.items() if k != "hash"})).hexdigest()}
    path.write_bytes(canonical(sealed))

    assert path in {fault.path for fault in lake.verify()}


def _table(lake: Lake) -> pa.Table:
    return pq.ParquetFile(lake.path / FIRST).read()


def _bytes_of(table: pa.Table) -> bytes:
    return encode_partition(table)


def _not_utf8(lake: Lake) -> bytes:
    rows = _table(lake)
    place = rows.schema.get_field_index("raw")
    binary = pa.array([b"\xff\xfe" for _ in range(len(rows))], pa.binary())
    return _bytes_of(rows.set_column(place, rows.schema.field(place), binary.view(pa.string())))


def _numbers_for_texts(lake: Lake) -> bytes:
    return _bytes_of(_table(lake).drop_columns(["raw"]).append_column("raw", pa.array([1])))


FORGED: dict[str, Callable[[Lake], bytes]] = {
    "truncated": lambda lake: (lake.path / FIRST).read_bytes()[:-1000],
    "no Parquet": lambda _: b"PAR1 no more PAR1",
    "absurd footer length": lambda lake: (lake.path / FIRST).read_bytes()[:-8] + b"\xff\xff\xff\x7fPAR1",
    "negative footer length": lambda lake: (lake.path / FIRST).read_bytes()[:-8] + b"\xff\xff\xff\xffPAR1",
    "absurd metadata": lambda _: b"PAR1" + b"\x19\xfc\xff\xff\xff\xff\x0f" * 20 + (140).to_bytes(4, "little") + b"PAR1",
    "other columns": lambda lake: _bytes_of(_table(lake).drop_columns(["actor_email"])),
    "other types": lambda lake: _bytes_of(_table(lake).set_column(0, "id", pa.array([1]))),
    "other order of columns": lambda lake: _bytes_of(_table(lake).select(_table(lake).schema.names[::-1])),
    "no column": lambda _: _bytes_of(pa.table({})),
    "no row": lambda _: _bytes_of(arrow_schema().empty_table()),
    "no id": lambda lake: with_column(lake, "id", [None]),
    "no time": lambda lake: with_column(lake, "effective_at", [None]),
    "no text": lambda lake: with_column(lake, "raw", [None]),
    "a time outside the calendar": lambda lake: with_column(lake, "effective_at", [2**62]),
    "a first time outside the calendar": lambda lake: with_column(lake, "first_seen_at", [-(2**62)]),
    "a text that is no JSON": lambda lake: with_column(lake, "raw", ["hello"]),
    "a text that is too deep": lambda lake: with_column(lake, "raw", ["[" * 100_000]),
    "a text that is no UTF-8": _not_utf8,
    "a number for a text": lambda lake: _bytes_of(
        _table(lake).drop_columns(["raw"]).append_column("raw", pa.array([1]))
    ),
    "another id": lambda lake: with_column(lake, "id", ["z"]),
    "another time": lambda lake: with_column(lake, "effective_at", [5]),
    "another day": lambda lake: with_column(lake, "effective_at", [DAY_S * 10**6]),
    "another column": lambda lake: with_column(lake, "actor_email", ["eve@example.org"]),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_a_forged_partition_is_named_though_the_ledger_has_its_hash(lake: Lake, forge: Callable[[Lake], bytes]) -> None:
    forge_partition(lake, forge(lake))
    found = faults(lake)

    assert {name for name, _ in found} >= {FIRST}
    assert not any("SHA-256" in what for _, what in found)


@pytest.mark.parametrize(
    ("name", "value"),
    [("actor_email", "eve@example.org"), ("raw", "hello"), ("raw", None)],
    ids=["another column", "a text that is no JSON", "no text"],
)
def test_a_forged_partition_is_named_alone_among_its_neighbours(tmp_path: Path, name: str, value: str | None) -> None:
    lake = Lake(tmp_path / "lake")
    lake.append(arriving(*(event(f"e{day}", day * DAY_S) for day in range(5))))
    forge_partition(lake, with_column(lake, name, [value], day="1970-01-03"), day="1970-01-03")

    assert {name for name, _ in faults(lake)} == {"events/date=1970-01-03/events.parquet"}


def test_rows_that_are_doubled_or_out_of_order_are_named(plain: Lake) -> None:
    rows = _table(plain)
    forge_partition(plain, _bytes_of(rows.take([1, 0])))
    assert (FIRST, "Its rows are not sorted by effective_at and id.") in faults(plain)

    forge_partition(plain, _bytes_of(rows.take([0, 1, 1])))
    assert (FIRST, "1 of its rows repeat an id.") in faults(plain)


def test_an_id_in_two_partitions_is_named_in_the_later_one(plain: Lake) -> None:
    twin = event("a", DAY_S)
    row = flatten_texts([json.dumps(twin).encode()], scope="organization", seen_at=T0).events
    stamped = row.set_column(row.schema.get_field_index("snapshot"), row.schema.field("snapshot"), [[2]])
    forge_partition(plain, _bytes_of(stamped), day="1970-01-02")

    assert only_fault(plain) == (
        "events/date=1970-01-02/events.parquet",
        "1 of its ids have a row in an older partition too.",
    )


# --- page checksums


def _pages(path: Path) -> list[tuple[int, int]]:
    """Return the columns' stretches of a file, each as first and last offset [B]."""
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    starts = [column.dictionary_page_offset or column.data_page_offset for column in columns]
    return [(at, at + column.total_compressed_size) for at, column in zip(starts, columns, strict=True)]


def test_a_flipped_byte_in_a_page_is_found_by_its_checksum_where_a_plain_read_finds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    rows = flatten_texts([json.dumps(event(f"e{n:04d}", n * 17)).encode() for n in range(300)]).events
    data = encode_partition(rows)
    path.write_bytes(data)
    only_by_checksum = 0
    for start, end in _pages(path):
        changed = bytearray(data)
        changed[end - 3] ^= 0x10
        if start + 60 < end and _plain_read_accepts(bytes(changed)):
            only_by_checksum += 1
            with pytest.raises(LakeCorruptError):
                read_partition(bytes(changed), path=path)

    assert only_by_checksum > 0


def _plain_read_accepts(data: bytes) -> bool:
    try:
        with pq.ParquetFile(pa.BufferReader(data), pre_buffer=False) as file:
            file.read(use_threads=False)
    except (pa.ArrowException, OSError):
        return False
    return True


def test_a_flipped_page_is_named_even_when_the_ledger_has_the_hash_of_the_flipped_file(lake: Lake) -> None:
    path = lake.path / FIRST
    place = arrow_schema().get_field_index("raw")
    _, end = _pages(path)[place]
    data = bytearray(path.read_bytes())
    data[end - 3] ^= 0x10
    forge_partition(lake, bytes(data))

    name, what = only_fault(lake)
    assert name == FIRST
    assert "not what the lake wrote" in what


def test_walks_of_windows_without_start_or_end_are_in_their_place(plain: Lake) -> None:
    for start, end in ((None, T0), (T0, None), (None, None), (T0, T0 + timedelta(days=1))):
        write_walk(Layout(plain.path), Walk(scope="tenant", start=start, end=end, asked_at=T0, number=3))

    assert plain.verify() == ()
