"""Upkeep of a lake: removal with a tombstone, rebuilding, trying the quarantine again, speaking for a killed run."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow.parquet as pq
import pytest

from auditframe.errors import LakeCorruptError, LakeError, LakeNotFoundError, ParameterError, WindowError
from auditframe.fingerprints import Fingerprints
from auditframe.flatten import Flattened, Quarantined, flatten_events, flatten_texts
from auditframe.lake import Lake
from auditframe.lake.journal import Journal, Walk, read_journal, read_walks, write_journal, write_walk
from auditframe.lake.layout import Layout
from auditframe.lake.ledger import current_partitions, latest_arrival, vanished
from auditframe.lake.merge import texts
from auditframe.lake.parquet import encode_partition, read_partition
from auditframe.lake.records import Collected, Counts, Entry, Span
from auditframe.lake.removal import carry_out, plan_erasure, plan_expiry
from auditframe.lake.storage import put, writer_lock
from auditframe.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY_S = 86_400
WHO = "ana@example.org"
T0 = datetime(1970, 1, 1, tzinfo=UTC)


def event(id_: str, at: int = 0, email: str = "bo@example.org", **more: Any) -> dict[str, Any]:
    actor = {"type": "session", "session": {"user": {"id": f"user-{email}", "email": email}}}
    return {"id": id_, "type": "login.succeeded", "effective_at": at, "actor": actor} | more


def arriving(*events: dict[str, Any]) -> Flattened:
    return flatten_events(events, scope="organization", seen_at=T0 + timedelta(days=30))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    lake.append(arriving(event("a", 1, WHO), event("b", 2), event("c", DAY_S, WHO), event("d", 2 * DAY_S)))
    return lake


def ids(lake: Lake) -> list[str]:
    return [str(id_) for id_ in lake.to_arrow()["id"].to_pylist()]


def every_byte(lake: Lake) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(lake.path.rglob("*")) if path.is_file())


def test_expired_events_are_gone_and_are_not_taken_back(lake: Lake) -> None:
    entry = lake.expire("1970-01-02")
    counts = lake.append(arriving(event("a", 1, WHO), event("late", 3), event("d", 2 * DAY_S)))

    assert ids(lake) == ["c", "d"]
    assert (entry.kind, entry.removal and entry.removal.events) == ("expire", 2)
    assert (counts.received, counts.erased, counts.known, counts.new) == (3, 2, 1, 0)
    assert counts.received == counts.accounted
    assert not (lake.path / "events/date=1970-01-01").exists()
    assert lake.verify() == ()


def test_an_expiry_inside_a_day_keeps_the_rest_of_the_day(lake: Lake) -> None:
    lake.expire(datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC))

    assert ids(lake) == ["b", "c", "d"]
    assert lake.verify() == ()


def test_an_erased_person_leaves_no_trace_but_the_tombstone(lake: Lake) -> None:
    before = current_partitions(lake.ledger())
    entry = lake.erase(WHO.upper(), reason="Ticket 7")

    assert ids(lake) == ["b", "d"]
    assert entry.removal is not None
    assert (entry.removal.events, entry.removal.reason) == (2, "Ticket 7")
    assert entry.removal.partitions == [before["1970-01-01"], before["1970-01-02"]]
    assert entry.removal.ids_sha256 == sorted(sha256(id_).hexdigest() for id_ in (b"a", b"c"))
    assert WHO.encode() not in every_byte(lake).lower()
    assert lake.verify() == ()


def test_what_was_erased_does_not_come_back_and_new_events_do_come(lake: Lake) -> None:
    lake.erase(WHO, reason="asked")
    counts = lake.append(arriving(event("a", 1, WHO), event("c", DAY_S, "other@example.org"), event("e", 5)))

    assert ids(lake) == ["b", "e", "d"]
    assert (counts.erased, counts.new, counts.mutated) == (2, 1, 0)
    assert lake.verify() == ()


@pytest.mark.parametrize(
    ("text", "is_named"),
    [
        ('{"id":"x","type":"t","effective_at":1,"t":{"data":{"email":"ana@example.org"}}}', True),
        ('{"id":"x","type":"t","effective_at":1,"t":{"note":"for Ana@Example.org, soon"}}', True),
        ('{"id":"x","type":"t","effective_at":1,"t":{"email":"\\u0061na@example.org"}}', True),
        ('{"id":"x","type":"t","effective_at":1,"t":{"email":"joana@example.org"}}', False),
        ('{"id":"x","type":"t","effective_at":1,"t":{"email":"ana@example.org.uk"}}', False),
        ('{"id":"x","type":"t","effective_at":1,"t":{"email":"x.ana@example.org"}}', False),
    ],
)
def test_an_erasure_finds_the_whole_name_wherever_it_stands(tmp_path: Path, text: str, is_named: bool) -> None:
    lake = Lake(tmp_path / "lake")
    lake.append(flatten_texts([text.encode()], scope="organization"))
    lake.erase(WHO, reason="asked")

    assert ids(lake) == ([] if is_named else ["x"])


def test_an_erasure_reaches_into_the_quarantine_and_what_came_from_there_stays_away(lake: Lake) -> None:
    unplaced = Quarantined(json.dumps({"id": "q", "email": WHO}).encode(), "It has no 'type'.", "q", "type")
    other = Quarantined(b'{"id":"r"}', "It has no 'type'.", "r", "type")
    lake.append(Flattened(arriving().events, (unplaced, other)))
    entry = lake.erase(WHO, reason="asked")
    counts = lake.append(Flattened(arriving().events, (unplaced,)))

    assert entry.removal is not None
    assert entry.removal.items == 1
    assert lake.quarantine()["event_id"].tolist() == ["r"]
    assert (counts.received, counts.erased, counts.quarantined) == (1, 1, 0)
    assert lake.verify() == ()


def test_another_payload_that_was_erased_from_the_quarantine_does_not_come_back(lake: Lake) -> None:
    lake.append(arriving(event("b", 2, WHO)))
    lake.erase(WHO, reason="asked")
    counts = lake.append(arriving(event("b", 2, WHO), event("b", 2)))

    assert (counts.received, counts.erased, counts.known, counts.mutated) == (2, 1, 1, 0)
    assert len(lake.quarantine()) == 0
    assert WHO.encode() not in every_byte(lake)
    assert lake.verify() == ()


def test_what_was_erased_before_it_could_be_placed_gets_no_row_once_it_can(lake: Lake) -> None:
    text = json.dumps(event("q", 3, WHO)).encode()
    lake.append(Flattened(arriving().events, (Quarantined(text, "An older version said no.", "q", "x"),)))
    lake.erase(WHO, reason="asked")
    counts = lake.append(flatten_texts([text], scope="organization"))

    assert (counts.received, counts.erased, counts.new) == (1, 1, 0)
    assert ids(lake) == ["b", "d"]
    assert lake.verify() == ()


@pytest.mark.parametrize(
    "text", [b'{"id":"x","email":"\\u0061na@example.org", broken', b'{"id":' + b"[" * 5000 + b'"\\u0061na@example.org"']
)
def test_an_erasure_finds_a_name_in_escapes_of_what_is_no_json(lake: Lake, text: bytes) -> None:
    lake.append(flatten_texts([text, b'{"id":"y","path":"C:\\u005c", broken']))
    entry = lake.erase(WHO, reason="asked")

    assert entry.removal is not None
    assert (entry.removal.events, entry.removal.items, len(lake.quarantine())) == (2, 1, 1)
    assert lake.verify() == ()


def test_a_reason_that_names_whom_to_erase_is_refused(lake: Lake) -> None:
    with pytest.raises(ParameterError, match="ticket's number"):
        lake.erase(f" {WHO}", reason=f"{WHO.upper()} asked")

    assert len(lake.ledger()) == 1


def test_nobody_expires_the_future(lake: Lake) -> None:
    with pytest.raises(WindowError, match="future"):
        lake.expire(datetime.now(UTC) + timedelta(minutes=1))

    assert len(lake.ledger()) == 1


def test_an_erasure_without_a_name_is_refused(lake: Lake) -> None:
    for names in ((), ("",), (WHO, " ")):
        with pytest.raises(LakeError, match="whom"):
            lake.erase(*names, reason="asked")
    assert len(ids(lake)) == 4


@pytest.mark.parametrize("word", ["user", "api_key", " Session ", "login.failed", "changes_requested"])
def test_a_word_of_the_apis_own_names_nobody(lake: Lake, word: str) -> None:
    with pytest.raises(LakeError, match="names nobody"):
        lake.erase(WHO, word, reason="asked")
    assert len(ids(lake)) == 4


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_killed_erasure_is_completed_by_the_next_writer(lake: Lake, done: int) -> None:
    layout = Layout(lake.path)
    journal = plan_erasure(layout, lake.ledger(), names=[WHO], reason="asked")
    write_journal(layout, journal)
    carry_out(layout, msgspec.structs.replace(journal, touched=journal.touched[:done]))
    with lake.writer():
        pass

    assert ids(lake) == ["b", "d"]
    assert lake.ledger()[-1].removal == journal.removal
    assert not layout.journal.exists()
    assert lake.verify() == ()


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_removal_under_way_may_take_partitions_from_a_question(lake: Lake, *, is_damaged: bool) -> None:
    layout = Layout(lake.path)
    journal = plan_expiry(layout, lake.ledger(), before=datetime(2100, 1, 1, tzinfo=UTC), reason="old")
    write_journal(layout, journal)
    carry_out(layout, journal)
    if is_damaged:
        layout.journal.write_bytes(b"{")

    assert ids(lake) == []
    layout.journal.unlink()
    with pytest.raises(LakeCorruptError, match="missing"):
        ids(lake)


def test_a_killed_run_is_spoken_for_with_what_it_brought_and_the_windows_it_read(lake: Lake) -> None:
    layout = Layout(lake.path)
    walk = Walk(scope="organization", start=T0, end=T0 + timedelta(days=1), asked_at=T0 + timedelta(days=9), number=2)
    with lake.writer() as writer:
        writer.add(arriving(event("a", 1, WHO), event("new", 7)))
        writer.add(Flattened(arriving().events, (Quarantined(b"{}", "It has no 'id'.", None, "id"),)))
        writer.note(msgspec.structs.replace(walk, is_whole=True, pages=3))
    with lake.writer() as writer:
        number = writer.number
    entry = lake.ledger()[-1]

    assert (entry.number, number) == (2, 3)
    assert entry.kind == "recovery"
    assert (entry.counts.new, entry.counts.quarantined, entry.counts.received) == (1, 1, 2)
    assert entry.collected[0].windows == [Span(start=walk.start, end=T0 + timedelta(days=1), asked_at=walk.asked_at)]
    assert lake.coverage("organization") == (Window(T0, T0 + timedelta(days=1)),)
    assert list(read_walks(layout)) == []
    assert lake.verify() == ()


def test_what_a_killed_import_brought_cannot_vanish_from_the_endpoint(lake: Lake) -> None:
    with lake.writer() as writer:
        writer.add(arriving(event("file", 7)))
    with lake.writer() as writer:
        missing = writer.missing("organization", Window(T0, T0 + timedelta(days=1)), Fingerprints())

    assert (lake.ledger()[-1].kind, lake.ledger()[-1].counts.new) == ("recovery", 1)
    assert missing == []


def test_what_a_snapshot_brought_that_was_killed_before_its_first_walk_stood_can_vanish(lake: Lake) -> None:
    with lake.writer() as writer:
        writer.note()
        writer.add(arriving(event("new", 7)))
    with lake.writer() as writer:
        missing = writer.missing("organization", Window(T0, T0 + timedelta(days=1)), Fingerprints())

    assert lake.ledger()[-1].kind == "recovery"
    assert missing == ["new"]
    assert lake.verify() == ()


def test_a_window_that_was_cut_short_keeps_its_cursor_and_is_not_covered(lake: Lake) -> None:
    walk = Walk(scope="tenant", start=T0, end=None, asked_at=T0 + timedelta(days=9), number=2, cursors=["a", "b"])
    with lake.writer() as writer:
        writer.note(walk)
        writer.commit("snapshot")

    assert [(found.cursors, found.window) for found in lake.walks()] == [(["a", "b"], Window(T0, None))]
    assert lake.coverage("tenant") == ()


def test_a_damaged_walk_is_left_out_and_its_window_read_anew(lake: Lake) -> None:
    layout = Layout(lake.path)
    write_walk(layout, Walk(scope="tenant", start=T0, end=None, asked_at=T0, number=2, cursors=["a"]))
    (path,) = layout.resume.iterdir()
    path.write_bytes(path.read_bytes().replace(b'"a"', b'"z"'))

    assert lake.walks() == ()


def test_a_damaged_journal_lets_the_next_entry_speak_of_everything(lake: Lake) -> None:
    layout = Layout(lake.path)
    layout.journal.write_bytes(b"{")
    assert read_journal(layout) is None
    with lake.writer():
        pass

    assert [state.partition for state in lake.ledger()[-1].partitions] == list(layout.partitions())
    assert lake.verify() == ()


def test_a_journal_whose_entry_stands_is_only_removed(lake: Lake) -> None:
    layout = Layout(lake.path)
    write_journal(layout, Journal(number=1, kind="import", started_at=T0, touched=["1970-01-01"], quarantine=[]))
    with lake.writer():
        pass

    assert len(lake.ledger()) == 1
    assert not layout.journal.exists()


def test_an_erasure_killed_after_its_entry_stood_leaves_no_fault(lake: Lake) -> None:
    layout = Layout(lake.path)
    journal = plan_erasure(layout, lake.ledger(), names=[WHO], reason="asked")
    lake.erase(WHO, reason="asked")
    write_journal(layout, journal)

    assert lake.verify() == ()


def test_rebuilding_a_lake_that_is_as_it_should_be_changes_nothing(lake: Lake) -> None:
    before = every_byte(lake)

    assert lake.rebuild() is None
    assert every_byte(lake) == before


def with_older_columns(lake: Lake, *missing: str) -> None:
    """Make a partition what a version without some columns wrote, of which the ledger speaks."""
    layout = Layout(lake.path)
    file = layout.partition_file("1970-01-01")
    pq.write_table(pq.ParquetFile(file).read().drop_columns(list(missing)), file)
    touched = Journal(
        number=len(lake.ledger()) + 1, kind="import", started_at=T0, touched=["1970-01-01"], quarantine=[]
    )
    write_journal(layout, touched)
    with lake.writer():
        pass  # which speaks of what a killed run had changed


def test_rebuilding_derives_columns_anew_and_keeps_texts_times_and_roots(lake: Lake) -> None:
    file = Layout(lake.path).partition_file("1970-01-01")
    there = pq.ParquetFile(file).read()
    with_older_columns(lake, "actor_email", "detail")
    roots = [state.merkle_root for state in current_partitions(lake.ledger()).values()]
    entry = lake.rebuild()

    assert entry is not None
    assert [state.partition for state in entry.partitions] == ["1970-01-01"]
    assert [state.merkle_root for state in current_partitions(lake.ledger()).values()] == roots
    assert pq.ParquetFile(file).read().equals(there)
    assert lake.verify() == ()


def test_events_are_merged_into_a_partition_of_older_columns(lake: Lake) -> None:
    with_older_columns(lake, "actor_email")
    lake.append(arriving(event("z", 9)))

    assert ids(lake)[:3] == ["a", "b", "z"]
    assert lake.to_arrow()["actor_email"].to_pylist()[0] == WHO


def test_a_partition_whose_times_do_not_follow_from_its_texts_is_not_rebuilt(lake: Lake) -> None:
    file = Layout(lake.path).partition_file("1970-01-01")
    there = pq.ParquetFile(file).read()
    raw = texts(there, "raw")
    changed = [raw[0].replace('"effective_at":1', '"effective_at":0'), raw[1]]
    place = there.schema.get_field_index("raw")
    pq.write_table(there.set_column(place, there.schema.field(place), [changed]), file)
    with pytest.raises(LakeCorruptError, match="verify"):
        lake.rebuild()


def test_what_can_be_placed_now_leaves_the_quarantine_and_what_cannot_stays(lake: Lake) -> None:
    ready = Quarantined(json.dumps(event("q", 3)).encode(), "An older version said no.", "q", "x", scope="tenant")
    never = Quarantined(b'{"id":"r"}', "It has no 'type'.", "r", "type")
    lake.append(Flattened(arriving().events, (ready, never)))
    counts = lake.retry_quarantine()

    assert (counts.received, counts.new, counts.quarantined) == (2, 1, 1)
    assert ids(lake) == ["a", "b", "q", "c", "d"]
    assert lake.arrow("SELECT scope FROM events WHERE id = 'q'")["scope"].to_pylist() == ["tenant"]
    assert lake.quarantine()["event_id"].tolist() == ["r"]
    assert lake.ledger()[-1].kind == "retry"
    assert lake.verify() == ()


def test_upkeep_never_makes_a_lake(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "none")
    for upkeep in (lake.rebuild, lake.retry_quarantine, lambda: lake.expire("2026-01-01")):
        with pytest.raises(LakeNotFoundError):
            upkeep()
    assert not lake.path.exists()


def test_verify_names_an_anchor_that_the_ledger_does_not_hold(lake: Lake) -> None:
    early = lake.ledger()[-1].hash
    lake.append(arriving(event("z", 9)))
    late = lake.ledger()[-1].hash
    (lake.path / "ledger/00000002.json").unlink()

    assert not [fault for fault in Lake(lake.path).verify(anchor=early) if "anchor" in fault.what]
    assert [fault for fault in Lake(lake.path).verify(anchor=late) if "anchor" in fault.what]


def test_verify_names_a_quarantine_file_that_changed_a_foreign_one_and_a_missing_one(lake: Lake) -> None:
    for number in (2, 3):
        item = Quarantined(b'{"id":"%d"}' % number, "It has no 'type'.", str(number), "type")
        lake.append(Flattened(arriving().events, (item,)))
    quarantine = lake.path / "quarantine"
    (quarantine / "00000002.jsonl").write_bytes(b"")
    (quarantine / "00000003.jsonl").unlink()
    (quarantine / "notes.txt").write_bytes(b"hello")

    assert [fault.path.name for fault in lake.verify()] == ["00000002.jsonl", "00000003.jsonl", "notes.txt"]


def test_verify_names_a_column_that_does_not_follow_from_the_text(lake: Lake) -> None:
    file = Layout(lake.path).partition_file("1970-01-01")
    there = pq.ParquetFile(file).read()
    place = there.schema.get_field_index("actor_email")
    field = there.schema.field(place)
    pq.write_table(there.set_column(place, field, [["eve@example.org", "eve@example.org"]]), file)

    assert any("actor_email" in fault.what for fault in lake.verify())


@pytest.mark.parametrize(
    ("old", "new"), [(b'"format_version":1', b'"format_version":2'), (b'"partition"', b'"partitioo"'), (b"}", b"} ")]
)
def test_verify_names_a_changed_description(lake: Lake, old: bytes, new: bytes) -> None:
    held = Lake(lake.path)
    path = lake.path / "auditframe.json"
    path.write_bytes(path.read_bytes().replace(old, new))

    assert path in {fault.path for fault in held.verify()}


def test_an_entry_with_a_doubled_key_or_white_space_is_named(lake: Lake) -> None:
    path = lake.path / "ledger/00000001.json"
    text = path.read_bytes()
    for changed in (text + b"\n", text.replace(b'"number":1', b'"number":1,"number":1')):
        path.write_bytes(changed)
        assert path in {fault.path for fault in lake.verify()}


def test_vanished_events_are_named_until_they_come_back() -> None:
    def entry(number: int, *, gone: list[str], back: list[str]) -> Entry:
        collected = Collected(
            scope="organization",
            status="complete",
            windows=[],
            pages=1,
            first_request_id=None,
            last_request_id=None,
            vanished=gone,
            returned=back,
        )
        return msgspec.structs.replace(_empty_entry(), number=number, collected=[collected])

    entries = [entry(1, gone=["a", "b"], back=[]), entry(2, gone=[], back=["a"])]

    assert vanished(entries) == {"b": "organization"}


def test_the_lateness_of_late_events_is_measured(lake: Lake) -> None:
    walk = Walk(scope="organization", start=T0, end=T0 + timedelta(days=1), asked_at=T0 + timedelta(days=9), number=2)
    with lake.writer() as writer:
        writer.note(msgspec.structs.replace(walk, is_whole=True))
    with lake.writer() as writer:
        writer.add(arriving(event("late", 100), event("elsewhere", 3 * DAY_S)))
        entry = writer.commit("snapshot")

    assert (entry.counts.late, entry.lateness_s) == (1, 30 * DAY_S - 100)
    assert latest_arrival(lake.ledger(), since=T0) == timedelta(days=30, seconds=-100)
    assert latest_arrival(lake.ledger(), since=datetime.now(UTC) + timedelta(days=1)) == timedelta(0)


def test_only_events_that_a_snapshot_brought_can_be_missing(lake: Lake) -> None:
    with lake.writer() as writer:
        writer.add(arriving(event("s1", 10), event("s2", 11)))
        writer.commit("snapshot")
    with lake.writer() as writer:
        day = Window(T0, T0 + timedelta(days=1))
        returned = Fingerprints()
        returned.add(["s1"])
        found = writer.missing("organization", day, returned)

        assert found == ["s2"]
        assert writer.missing("tenant", day, Fingerprints()) == []
        assert writer.missing("organization", Window(T0 + timedelta(seconds=11), None), Fingerprints()) == ["s2"]


def test_upkeep_waits_for_no_other_writer(lake: Lake) -> None:
    with writer_lock(Layout(lake.path).lock), pytest.raises(LakeError, match="Another process"):
        lake.expire("1970-01-02")
    assert len(ids(lake)) == 4


def _empty_entry() -> Entry:
    return Entry(
        number=1,
        kind="snapshot",
        started_at=T0,
        finished_at=T0,
        collected=[],
        counts=Counts(),
        partitions=[],
        previous=None,
    )


def tampered(lake: Lake, *, day: str = "1970-01-01", email: str = "eve@example.org") -> None:
    """Change who did everything on a day, as somebody would who knows the format."""
    file = Layout(lake.path).partition_file(day)
    there = read_partition(file, path=file)
    changed = flatten_texts(raw.replace(WHO, email).encode() for raw in texts(there, "raw")).events
    for name in ("scope", "first_seen_at", "snapshot"):
        changed = changed.set_column(changed.schema.get_field_index(name), there.schema.field(name), there[name])
    file.write_bytes(encode_partition(changed))


@pytest.mark.parametrize(
    "change",
    [
        lambda lake: lake.append(arriving(event("z", 9))),
        lambda lake: lake.append(arriving(event("b", 2))),
        lambda lake: lake.erase(WHO.replace("ana", "eve"), reason="asked"),
        lambda lake: lake.expire("1970-01-02"),
        lambda lake: lake.rebuild(),
    ],
    ids=["append", "append what is known", "erase", "expire", "rebuild"],
)
def test_nothing_is_built_on_a_partition_that_somebody_changed(lake: Lake, change: Callable[[Lake], object]) -> None:
    anchor = lake.ledger()[-1].hash
    tampered(lake)
    with pytest.raises(LakeCorruptError, match="not as the ledger says"):
        change(lake)

    assert [fault.path for fault in lake.verify(anchor=anchor)]


def with_column(lake: Lake, name: str, values: list[Any]) -> None:
    """Change a column of a partition behind the ledger's back."""
    file = Layout(lake.path).partition_file("1970-01-01")
    there = read_partition(file, path=file)
    place = there.schema.get_field_index(name)
    file.write_bytes(encode_partition(there.set_column(place, there.schema.field(place), [values])))


def test_columns_that_somebody_changed_are_found_before_anything_is_built_on_them(lake: Lake) -> None:
    with_column(lake, "actor_email", ["x", "x"])
    with pytest.raises(LakeCorruptError, match="not as the ledger says"):
        lake.append(arriving(event("z", 9)))


def test_columns_that_somebody_changed_are_derived_anew_to_the_byte(lake: Lake) -> None:
    file = Layout(lake.path).partition_file("1970-01-01")
    before = file.read_bytes()
    with_column(lake, "actor_email", ["x", "x"])
    lake.rebuild()

    assert file.read_bytes() == before
    assert lake.verify() == ()


@pytest.mark.parametrize(
    ("name", "values"), [("scope", ["tenant", "tenant"]), ("snapshot", [9, 9]), ("first_seen_at", [T0, T0])]
)
def test_how_events_came_is_not_rewritten_by_a_rebuild(lake: Lake, name: str, values: list[Any]) -> None:
    with_column(lake, name, values)
    with pytest.raises(LakeCorruptError, match="not as the ledger says"):
        lake.rebuild()


@pytest.mark.parametrize(
    "change",
    [
        lambda lake: lake.append(arriving(event("z", 9))),
        lambda lake: lake.erase("bo@example.org", reason="asked"),
        lambda lake: lake.expire("1970-01-03"),
    ],
    ids=["append", "erase", "expire"],
)
def test_a_partition_that_was_lost_is_not_begun_anew(lake: Lake, change: Callable[[Lake], object]) -> None:
    Layout(lake.path).partition_file("1970-01-01").unlink()
    with pytest.raises(LakeCorruptError, match="is missing, and its 2 events with it"):
        change(lake)


def test_an_index_is_not_made_anew_while_a_partition_is_missing(lake: Lake, tmp_path: Path) -> None:
    file = Layout(lake.path).partition_file("1970-01-01")
    file.rename(tmp_path / "kept.parquet")
    shutil.rmtree(lake.path / "index")
    with pytest.raises(LakeCorruptError, match="is missing, and its 2 events with it"):
        lake.append(arriving(event("z", 9 * DAY_S)))
    (tmp_path / "kept.parquet").rename(file)
    counts = lake.append(arriving(event("a", 1, WHO), event("z", 9 * DAY_S)))

    assert (counts.known, counts.new) == (1, 1)
    assert lake.verify() == ()


def test_a_writer_that_failed_half_way_leaves_its_account_to_the_next(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived = arriving(event("x", 3), event("y", DAY_S + 3))
    failing = iter([False, True])

    def full(data: bytes, target: Path, *, staging: Path) -> None:
        if next(failing):
            raise LakeError("The disk is full.", path=target)
        put(data, target, staging=staging)

    with lake.writer() as writer:
        monkeypatch.setattr("auditframe.lake.writer.put", full)
        with pytest.raises(LakeError, match="full"):
            writer.add(arrived)
        monkeypatch.undo()
        for again in (lambda: writer.add(arrived), lambda: writer.commit("import")):
            with pytest.raises(LakeError, match="not complete"):
                again()
    counts = lake.append(arrived)

    assert counts.known + counts.new == 2
    assert sorted(ids(lake)) == ["a", "b", "c", "d", "x", "y"]
    assert lake.verify() == ()
