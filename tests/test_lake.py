"""The lake: one file a day, one row an id, and a ledger that notices every change."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from auditframe.errors import (
    LakeCorruptError,
    LakeError,
    LakeLockedError,
    LakeNotFoundError,
    LakeVersionError,
    ReportError,
    WindowError,
)
from auditframe.flatten import Flattened, flatten_events, flatten_texts
from auditframe.lake import Lake
from auditframe.lake.layout import Layout
from auditframe.lake.merge import inside, instants, texts
from auditframe.lake.merkle import merkle_root
from auditframe.lake.quarantine import read_quarantine
from auditframe.schema import arrow_schema
from auditframe.window import EPOCH, Window
from tests.soak import IS_SOAK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY_S = 86_400


def event(id_: str, at: int = 0, type_: str = "login.succeeded", **more: Any) -> dict[str, Any]:
    return {"id": id_, "type": type_, "effective_at": at} | more


def arriving(*events: dict[str, Any]) -> Flattened:
    return flatten_events(events, scope="organization")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def ids(lake: Lake) -> list[str]:
    return [str(id_) for id_ in lake.to_arrow()["id"].to_pylist()]


def test_any_engine_that_globs_sees_each_event_once_sorted_in_its_day(lake: Lake) -> None:
    lake.append(arriving(event("c", DAY_S), event("b", 5), event("a", 5), event("d", DAY_S - 1)))
    lake.append(arriving(event("b", 5), event("e", DAY_S + 1)))

    with duckdb.connect() as connection:
        query = "SELECT date::VARCHAR, id FROM read_parquet($glob, hive_partitioning=true)"
        found = connection.execute(query, {"glob": f"{lake.path}/events/**/*.parquet"}).fetchall()
    assert found == [
        ("1970-01-01", "a"),
        ("1970-01-01", "b"),
        ("1970-01-01", "d"),
        ("1970-01-02", "c"),
        ("1970-01-02", "e"),
    ]
    assert len(list(lake.path.glob("events/**/*.parquet"))) == 2


def test_files_carry_the_declared_columns_their_version_and_page_checksums(lake: Lake) -> None:
    lake.append(arriving(event("a")))
    (path,) = lake.path.glob("events/**/*.parquet")

    schema = pq.read_schema(path)
    assert schema.equals(arrow_schema())
    assert schema.metadata == arrow_schema().metadata
    assert lake.verify() == ()


def test_a_footer_holds_the_bounds_of_what_follows_time_and_no_second_schema(lake: Lake) -> None:
    lake.append(arriving(event("a")))
    (path,) = lake.path.glob("events/**/*.parquet")

    footer = pq.read_metadata(path)
    told = [footer.row_group(0).column(place) for place in range(footer.num_columns)]
    assert [of.path_in_schema for of in told if of.is_stats_set] == ["id", "effective_at", "first_seen_at", "snapshot"]
    assert footer.metadata == arrow_schema().metadata  # else Arrow's schema would stand there


def test_rows_tell_which_entry_brought_them_and_when(lake: Lake) -> None:
    before = datetime.now(UTC)
    lake.append(arriving(event("a")))
    lake.append(arriving(event("a"), event("b")))

    rows = lake.arrow("SELECT id, snapshot, first_seen_at FROM events ORDER BY id").to_pylist()
    assert [(row["id"], row["snapshot"]) for row in rows] == [("a", 1), ("b", 2)]
    assert before < rows[0]["first_seen_at"] < rows[1]["first_seen_at"] < datetime.now(UTC)


def test_received_is_new_and_known_and_mutated_and_quarantined(lake: Lake) -> None:
    texts = [
        b'{"id":"a","type":"t","effective_at":1}',
        b'{"id":"a","type":"t","effective_at":1}',
        b'{"id":"a","type":"u","effective_at":1}',
        b"[]",
    ]
    counts = lake.append(flatten_texts(texts))

    assert (counts.received, counts.new, counts.known, counts.mutated, counts.quarantined) == (4, 1, 1, 1, 1)


def test_white_space_and_key_order_are_no_mutation_and_the_first_text_stays(lake: Lake) -> None:
    first, second = b'{"id":"a","type":"t","effective_at":1}', b'{"effective_at": 1, "type": "t", "id": "a"}'
    lake.append(flatten_texts([first]))

    assert lake.append(flatten_texts([second])).known == 1
    assert lake.to_arrow()["raw"].to_pylist() == [first.decode()]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "true"),
        ("1", "1.0"),
        ("0", "false"),
        ("1e400", "1e500"),
        ('{"k":1,"k":2}', '{"k":2}'),
        ("9" * 5000, "8" * 5000),
        ('["1"]', "[1]"),
    ],
)
def test_a_change_that_python_would_call_equal_is_a_mutation(lake: Lake, one: str, other: str) -> None:
    texts = [f'{{"id":"a","type":"t","effective_at":1,"t":{value}}}'.encode() for value in (one, other)]

    assert lake.append(flatten_texts(texts)).mutated == 1


@pytest.mark.parametrize("other", [event("a", 1), event("a", 5 * DAY_S)], ids=["same day", "another day"])
def test_another_payload_of_an_id_is_kept_beside_and_never_a_second_row(lake: Lake, other: dict[str, Any]) -> None:
    lake.append(arriving(event("a", 0)))
    counts = [lake.append(arriving(other)) for _ in range(2)]

    assert [one.mutated for one in counts] == [1, 1]
    assert lake.to_arrow()["effective_at"].to_pylist() == [datetime(1970, 1, 1, tzinfo=UTC)]
    quarantine = lake.quarantine()
    assert quarantine["kind"].tolist() == ["mutation"]
    assert json.loads(quarantine["text"][0]) == other
    assert lake.verify() == ()


def test_quarantine_holds_each_text_once_with_its_reason_even_when_it_is_not_utf8(lake: Lake) -> None:
    for _ in range(2):
        lake.append(flatten_texts([b'{"id":"a"}', b"\xff"]))

    quarantine = lake.quarantine()
    assert quarantine[["event_id", "field", "snapshot"]].fillna("").values.tolist() == [["a", "type", 1], ["", "", 1]]
    assert quarantine["text"].fillna("").tolist() == ['{"id":"a"}', ""]
    assert quarantine["base64"].fillna("").tolist() == ["", "/w=="]
    assert len(ids(lake)) == 0


def test_what_is_kept_in_quarantine_shows_no_event_in_its_repr(lake: Lake) -> None:
    lake.append(flatten_texts([b'{"id":"a","s":"t0p"}']))
    ((_, item),) = read_quarantine(Layout(lake.path))

    assert b"t0p" in item.content
    assert "'a'" in repr(item)
    assert "t0p" not in repr(item)


small_events = st.lists(
    st.builds(lambda id_, day: event(f"e{id_}", day * DAY_S + id_), st.integers(0, 12), st.integers(0, 2)),
    max_size=10,
    unique_by=lambda one: one["id"],
)


@settings(max_examples=50 if IS_SOAK else 4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(small_events, small_events, st.randoms(use_true_random=False))
def test_merging_is_idempotent_commutative_and_associative(
    tmp_path_factory: pytest.TempPathFactory, one: list[dict[str, Any]], other: list[dict[str, Any]], random: Any
) -> None:
    first = {item["id"]: item for item in one}
    other = [first.get(item["id"], item) for item in other]  # an id has one payload
    shuffled = [*one, *other]
    random.shuffle(shuffled)
    lakes = [Lake(tmp_path_factory.mktemp("lake") / "lake") for _ in range(3)]
    for lake, orders in zip(lakes, [(one, other), (other, one, other), (shuffled,)], strict=True):
        for part in orders:
            lake.append(arriving(*part))

    wanted = sorted({(item["effective_at"], item["id"]) for item in shuffled})
    for lake in lakes:
        assert ids(lake) == [id_ for _, id_ in wanted]
        assert lake.verify() == ()


def test_an_append_that_brings_nothing_new_rewrites_no_file(lake: Lake) -> None:
    lake.append(arriving(event("a")))
    (path,) = lake.path.glob("events/**/*.parquet")
    before = path.stat()
    lake.append(arriving(event("a")))

    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_window_sees_half_open_and_opens_only_its_files(lake: Lake) -> None:
    lake.append(arriving(*(event(f"e{day}", day * DAY_S) for day in range(5))))
    window = lake.window("1970-01-02", "1970-01-04")

    assert window.to_arrow()["id"].to_pylist() == ["e1", "e2"]
    assert {file.parent.name for file in window.files} == {f"date=1970-01-0{day}" for day in (2, 3)}
    assert lake.window().to_arrow().num_rows == 5


def test_sql_takes_parameters_and_the_catalogue(lake: Lake) -> None:
    lake.append(arriving(event("a", type_="login.failed"), event("b")))

    frame = lake.sql(
        "SELECT id, effect FROM events JOIN catalogue USING (type) WHERE effect = $effect", {"effect": "login_failed"}
    )
    assert frame.values.tolist() == [["a", "login_failed"]]


@pytest.mark.parametrize(
    "query",
    [
        "SELEC 1",
        "SELECT 1; SELECT 2",
        "COPY events TO 'stolen.parquet'",
        "CREATE TABLE x (a INT)",
        "SET enable_external_access = true",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT nonsense FROM events",
        "INSTALL httpfs",
    ],
)
def test_sql_that_is_no_select_over_the_events_is_refused(lake: Lake, query: str) -> None:
    lake.append(arriving(event("a")))

    with pytest.raises(ReportError):
        lake.sql(query)


def test_an_empty_lake_answers_with_the_declared_columns(lake: Lake) -> None:
    lake.append(arriving())

    assert lake.to_arrow().schema.equals(arrow_schema())
    assert lake.sql("SELECT count(*) AS events FROM events").values.tolist() == [[0]]


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def test_a_path_without_a_lake_says_how_to_make_one(tmp_path: Path) -> None:
    for ask in (
        Lake(tmp_path).to_arrow,
        Lake(tmp_path / "absent").ledger,
        Lake(tmp_path).verify,
        Lake(tmp_path).quarantine,
    ):
        with pytest.raises(LakeNotFoundError, match="auditframe snapshot --lake"):
            ask()
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_lake_should_be_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(LakeNotFoundError, match="is a file, and a lake is a folder"):
        Lake(tmp_path / "file").to_arrow()


def test_a_lake_that_lost_its_description_is_still_called_a_lake(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    event = {"id": "e1", "type": "login.failed", "effective_at": 1}
    lake.append(flatten_events([event]))
    (lake.path / "auditframe.json").unlink()

    with pytest.raises(LakeCorruptError, match=r"auditframe\.json is missing, though there is a ledger"):
        Lake(lake.path).to_arrow()
    Lake(lake.path).append(flatten_events([event]))
    assert len(Lake(lake.path).to_arrow()) == 1


def test_a_description_that_may_not_be_read_is_not_to_be_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Lake(tmp_path).append(flatten_events([]))
    refusal = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr("auditframe.lake.layout.read_regular", raising(refusal))

    with pytest.raises(LakeCorruptError, match=r"Permission denied\. Check its owner and mode\.$"):
        Lake(tmp_path)


def test_a_lake_that_may_not_be_written_to_says_what_to_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Lake(tmp_path).append(flatten_events([]))
    monkeypatch.setattr("auditframe.lake.storage.os.open", raising(OSError(errno.EROFS, "Read-only file system")))

    with pytest.raises(LakeError, match=r"lock cannot be written: Read-only file system\. Check the owner and mode"):
        Lake(tmp_path).append(flatten_events([]))


def test_an_object_store_is_refused_until_it_is_supported() -> None:
    with pytest.raises(LakeError, match="not supported yet"):
        Lake("s3://bucket/prefix")


def test_a_lake_of_a_newer_format_is_refused_and_left_alone(lake: Lake) -> None:
    lake.append(arriving(event("a")))
    (lake.path / "auditframe.json").write_text('{"format_version":2,"partition":"day"}')

    with pytest.raises(LakeVersionError, match="Upgrade auditframe"):
        Lake(lake.path)
    with pytest.raises(LakeVersionError):
        lake.append(arriving(event("b")))


def test_personal_data_is_readable_by_its_owner_alone(lake: Lake) -> None:
    lake.append(flatten_texts([b'{"id":"a","type":"t","effective_at":1}', b"[]"]))

    for path in [lake.path, *lake.path.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_one_writer_at_a_time_and_readers_never_wait(lake: Lake) -> None:
    lake.append(arriving(event("a")))
    with lake.writer():
        with pytest.raises(LakeLockedError, match="Another process"):
            lake.append(arriving(event("b")))
        assert ids(lake) == ["a"]
    assert lake.append(arriving(event("b"))).new == 1


def test_an_error_inside_a_writer_is_not_taken_for_a_lock(lake: Lake) -> None:
    with pytest.raises(BlockingIOError), lake.writer():
        raise BlockingIOError


def test_a_run_that_ended_without_an_entry_is_accounted_for_by_the_next(lake: Lake) -> None:
    lake.append(arriving(event("a", 0), event("b", DAY_S)))
    with lake.writer() as writer:
        writer.add(arriving(event("c", 1)))  # and no commit

    assert [fault.path.parent.name for fault in lake.verify()] == ["date=1970-01-01"] * 2
    lake.append(arriving(event("d", 5 * DAY_S)))
    assert lake.verify() == ()
    assert ids(lake) == ["a", "c", "b", "d"]


def test_the_ledger_is_a_chain_of_hashes(lake: Lake) -> None:
    for number in range(3):
        lake.append(arriving(event(f"e{number}", number)))
    entries = lake.ledger()

    assert [entry.number for entry in entries] == [1, 2, 3]
    assert [entry.previous for entry in entries] == [None, entries[0].hash, entries[1].hash]
    assert entries[2].partitions[0].rows == 3
    assert entries[2].partitions[0].merkle_root == merkle_root(texts(lake.to_arrow(), "raw"))


def _flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("offset", [0, 4, 100, 2000, -200, -1])
def test_verify_names_the_partition_in_which_one_bit_flipped(lake: Lake, offset: int) -> None:
    lake.append(arriving(event("a"), event("b", DAY_S)))
    path = lake.path / "events/date=1970-01-01/events.parquet"
    _flip(path, offset)

    assert {fault.path for fault in lake.verify()} == {path}


def test_verify_names_what_is_missing_foreign_or_changed(lake: Lake) -> None:
    for number in range(3):
        lake.append(arriving(event(f"e{number}", number * DAY_S)))
    (lake.path / "events/date=1970-01-01/events.parquet").unlink()
    (lake.path / "events/date=1970-01-02/extra.parquet").write_bytes(b"")
    entry = lake.path / "ledger/00000002.json"
    entry.write_bytes(entry.read_bytes().replace(b'"new":1', b'"new":0'))

    found = {fault.path.relative_to(lake.path).as_posix() for fault in lake.verify()}
    assert found == {
        "events/date=1970-01-01/events.parquet",
        "events/date=1970-01-02/extra.parquet",
        "ledger/00000002.json",
    }
    with pytest.raises(LakeCorruptError, match="changed after it was written"):
        lake.append(arriving(event("x")))


def test_verify_names_a_lost_entry_and_one_with_an_unknown_key(lake: Lake) -> None:
    for number in range(3):
        lake.append(arriving(event(f"e{number}", number)))
    third = lake.path / "ledger/00000003.json"
    third.write_bytes(msgspec.json.encode(msgspec.json.decode(third.read_bytes()) | {"more": 1}))
    (lake.path / "ledger/00000001.json").unlink()

    assert {fault.path.name for fault in lake.verify()} >= {"00000002.json", "00000003.json"}


def test_a_corrupt_partition_is_an_error_for_a_reader_never_an_empty_answer(lake: Lake) -> None:
    lake.append(arriving(event("a")))
    (lake.path / "events/date=1970-01-01/events.parquet").write_bytes(b"PAR1 no more PAR1")

    with pytest.raises(LakeCorruptError):
        lake.to_arrow()
    with pytest.raises(LakeCorruptError):
        lake.append(arriving(event("b")))


def test_a_partition_that_somebody_deleted_is_an_error_and_no_smaller_answer(lake: Lake) -> None:
    lake.append(arriving(event("a"), event("b", DAY_S)))
    lake.events.files[0].unlink()
    after = lake.window("1970-01-02")

    assert after.to_arrow()["id"].to_pylist() == ["b"]
    for ask in (
        lambda: lake.sql("SELECT 1"),
        lambda: lake.window("1970-01-01"),
        lambda: lake.window(None, "1970-01-02"),
    ):
        with pytest.raises(LakeCorruptError, match=r"date=1970-01-01/events\.parquet is missing, and its events"):
            ask()


def test_an_entry_that_cannot_be_read_ends_a_question(lake: Lake) -> None:
    lake.append(arriving(event("a")))
    (lake.path / "ledger/00000001.json").write_bytes(b"{")

    with pytest.raises(LakeCorruptError, match=r"00000001\.json: The entry cannot be read"):
        lake.sql("SELECT 1")


def test_a_partition_that_goes_while_events_are_held_is_an_error(lake: Lake) -> None:
    lake.append(arriving(event("a")))
    events = lake.events
    events.files[0].unlink()

    with pytest.raises(LakeCorruptError, match="is missing"):
        events.to_arrow()


@pytest.mark.parametrize(
    ("raws", "root"),
    [
        ([], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ([""], "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
    ],
)
def test_merkle_roots_are_those_of_rfc_6962(raws: list[str], root: str) -> None:
    assert merkle_root(raws) == root


def test_merkle_nodes_split_at_the_largest_power_of_two() -> None:
    from hashlib import sha256

    def leaf(text: str) -> bytes:
        return sha256(b"\0" + text.encode()).digest()

    def node(left: bytes, right: bytes) -> bytes:
        return sha256(b"\1" + left + right).digest()

    left = node(node(leaf("a"), leaf("b")), node(leaf("c"), leaf("d")))
    assert merkle_root("abcdef") == node(left, node(leaf("e"), leaf("f"))).hex()
    assert merkle_root("abcde") == node(left, leaf("e")).hex()


def test_files_and_appends_cover_nothing(lake: Lake) -> None:
    lake.append(arriving(event("a")))

    assert lake.coverage("organization") == ()
    assert lake.coverage("tenant") == ()


def test_a_window_of_a_window_never_widens_it(lake: Lake) -> None:
    lake.append(arriving(*(event(f"e{day}", day * DAY_S) for day in range(5))))
    window = lake.window("1970-01-02", "1970-01-04")

    assert window.window("1970-01-01").to_arrow()["id"].to_pylist() == ["e1", "e2"]
    assert window.window("1970-01-03", "1970-01-09").to_arrow()["id"].to_pylist() == ["e2"]
    with pytest.raises(WindowError):
        window.window("1970-01-04")


def test_a_damaged_quarantine_is_named_and_not_passed_over(lake: Lake) -> None:
    lake.append(flatten_texts([b"[]"]))
    path = lake.path / "quarantine/00000001.jsonl"
    path.write_bytes(path.read_bytes()[:-9])

    for ask in (lake.quarantine, lambda: lake.append(arriving(event("a")))):
        with pytest.raises(LakeCorruptError, match="00000001"):
            ask()


@pytest.mark.parametrize("number", [1, 2])
def test_a_pipe_in_quarantine_is_named_and_not_waited_for(lake: Lake, number: int) -> None:
    lake.append(arriving(event("a")))
    (lake.path / "quarantine").mkdir(exist_ok=True)
    os.mkfifo(lake.path / f"quarantine/{number:08}.jsonl")

    for ask in (lake.quarantine, lambda: lake.append(flatten_texts([b"[]"]))):
        with pytest.raises(LakeCorruptError, match=f"{number:08}.jsonl is not what the lake wrote: no file"):
            ask()


@pytest.mark.parametrize("name", ["staging/journal.json", "resume/organization-open-open.json"])
def test_a_pipe_where_a_run_keeps_its_place_is_passed_over_and_not_waited_for(lake: Lake, name: str) -> None:
    lake.append(arriving(event("a")))
    (lake.path / name).parent.mkdir(exist_ok=True)
    os.mkfifo(lake.path / name)
    lake.append(arriving(event("b")))

    assert ids(lake) == ["a", "b"]
    assert lake.walks() == ()


@pytest.mark.parametrize(
    ("folder", "ask"),
    [
        ("events", Lake.to_arrow),
        ("events/date=1970-01-02", Lake.to_arrow),
        ("events", Lake.rebuild),
        ("ledger", Lake.ledger),
        ("quarantine", Lake.quarantine),
    ],
)
@pytest.mark.parametrize("trouble", ["no folder", "no permission"])
def test_a_folder_that_cannot_be_read_is_not_taken_for_an_empty_one(
    tmp_path: Path, folder: str, ask: Callable[[Lake], object], trouble: str
) -> None:
    lake = Lake(tmp_path / "lake")
    lake.append(arriving(event("a"), event("b", DAY_S)))
    path = lake.path / folder
    if trouble == "no folder":
        shutil.rmtree(path)
        path.write_bytes(b"")
    elif os.geteuid() == 0:
        pytest.skip("root may read every folder")
    else:
        path.chmod(0)
    try:
        with pytest.raises(LakeCorruptError, match=re.escape(str(path))):
            ask(lake)
    finally:
        path.chmod(0o700)


def test_the_coverage_of_a_scope_that_there_is_not_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match=r"There is no scope 'org'\."):
        Lake(tmp_path / "lake").coverage("org")


moments = st.datetimes(datetime(1969, 12, 1), datetime(1970, 2, 1), timezones=st.just(UTC))  # noqa: DTZ001


def times(*microseconds: int) -> pa.Table:
    column = pa.array(microseconds, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    return pa.table({"effective_at": column})


def of(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)


@given(st.lists(moments))
def test_instants_come_as_they_stand(those: list[datetime]) -> None:
    assert instants(times(*map(of, those)), "effective_at") == those


@pytest.mark.parametrize("microseconds", [-(10**17), 10**18])
def test_an_instant_that_no_calendar_holds_is_no_gap_in_a_list(microseconds: int) -> None:
    with pytest.raises(OverflowError):
        instants(times(0, microseconds), "effective_at")


@given(st.lists(moments), st.none() | moments, st.none() | moments)
def test_the_rows_of_a_window_are_those_whose_time_it_holds(
    those: list[datetime], start: datetime | None, end: datetime | None
) -> None:
    assume(start is None or end is None or start < end)
    window = Window(start, end)

    assert instants(inside(times(*map(of, those)), window), "effective_at") == [at for at in those if at in window]
