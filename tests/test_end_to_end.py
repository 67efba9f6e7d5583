"""A fake endpoint is snapshotted into a lake, and what other engines read there is held against what it told."""

from __future__ import annotations

import gzip
import json
import random
import stat
import time
from base64 import b64decode
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import auditframe as af
from tests.fake_endpoint import DAY_S, DAYS, KEY, Endpoint, Habits, Told, make_events, make_one, midnight, serving

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

SWIFT = af.Retry(attempts=12, timeout_s=20, wait_initial_s=0.001, wait_max_s=0.01, jitter_s=0.001)
ONE_LINE = ("", " ", "\t")

HABITS = {
    "newest first": Habits(),
    "oldest first": Habits(is_oldest_first=True, is_compressed=True),
    "concatenated documents": Habits(is_concatenated=True),
    "documents by line": Habits(is_by_line=True, is_oldest_first=True),
    "events as JSON strings": Habits(is_quoted=True),
    "no ids in the envelope": Habits(has_null_ids=True, shortest_page=4),
    "foreign ids in the envelope": Habits(has_foreign_ids=True, shortest_page=4),
    "foreign ids as cursors": Habits(has_foreign_ids=True, takes_foreign_ids=True, shortest_page=4),
    "empty pages": Habits(empty_pages=30, shortest_page=5),
    "faults": Habits(faults=0.2, shortest_page=9),
    "all at once": Habits(
        is_oldest_first=True,
        is_concatenated=True,
        is_by_line=True,
        is_quoted=True,
        has_null_ids=True,
        shortest_page=6,
        empty_pages=20,
        faults=0.1,
        is_compressed=True,
    ),
}


# The truth, and what plain engines read.

Row = tuple[str, int, str, str]
"""Id, instant [us], raw and scope."""


def truth(events: Iterable[Told]) -> list[Row]:
    """Return the rows that a lake must hold, ordered by instant and id."""
    rows = [(told.id or "", instant_us(told), told.text.decode(), scope(told)) for told in events if told.is_placeable]
    return sorted(rows, key=lambda row: (row[1], row[0]))


def instant_us(told: Told) -> int:
    said = json.loads(told.text, parse_float=Decimal)["effective_at"]
    return int(said * 1_000_000)


def scope(told: Told) -> str:
    return "tenant" if told.is_tenant else "organization"


def day_of(at_us: int) -> date:
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).date()


def read_by_duckdb(lake: Path) -> list[Row]:
    query = """
        SELECT id, epoch_us(effective_at), raw, scope, date FROM read_parquet($glob) ORDER BY effective_at, id
    """
    with duckdb.connect() as engine:
        rows = engine.execute(query, {"glob": f"{lake}/events/**/*.parquet"}).fetchall()
    assert all(row[4] == day_of(row[1]) for row in rows), "a row stands in another day's folder"
    return [row[:4] for row in rows]


def read_by_pyarrow(lake: Path) -> list[Row]:
    """Read file by file, folders by name and rows as they stand."""
    rows: list[Row] = []
    for path in sorted((lake / "events").glob("*/*")):
        with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
            table = file.read(use_threads=False)
        columns = [table["id"], table["effective_at"].cast(pa.int64()), table["raw"], table["scope"]]
        rows += zip(*(column.to_pylist() for column in columns), strict=True)
    return rows


def files_under(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return the bytes and the time of change of each file, by name."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def quarantined(lake: Path) -> Counter[bytes]:
    """Return what the quarantine's files hold; each of it has a reason."""
    kept = [json.loads(line) for path in (lake / "quarantine").iterdir() for line in path.read_bytes().splitlines()]
    assert all(item["reason"] for item in kept)
    return Counter(
        item["text"].encode() if item["text"] is not None else b64decode(item["base64"], validate=True) for item in kept
    )


def chain(lake: Path) -> list[dict[str, Any]]:
    """Read the ledger with the standard library alone, checking hash and link of each entry."""
    previous, entries = None, []
    for number, path in enumerate(sorted((lake / "ledger").iterdir()), start=1):
        entry = json.loads(path.read_text(encoding="utf-8"))
        said = entry.pop("hash")
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert (path.name, entry["number"]) == (f"{number:08d}.json", number)
        assert said == sha256(text.encode()).hexdigest()
        assert entry["previous"] == previous
        previous = said
        entries.append(entry)
    return entries


def root_of(raws: Sequence[str]) -> str:
    """Return the Merkle tree hash of RFC 6962, as its section 2.1 defines it."""

    def tree(leaves: Sequence[str]) -> bytes:
        if len(leaves) == 1:
            return sha256(b"\0" + leaves[0].encode()).digest()
        split = 1 << (len(leaves) - 1).bit_length() - 1
        return sha256(b"\1" + tree(leaves[:split]) + tree(leaves[split:])).digest()

    return tree(raws).hex()


def assert_equals_truth(lake: Path, events: Iterable[Told]) -> None:
    """Hold a lake against what was told: nothing lost, doubled, misplaced or altered, and nothing beside it."""
    rows = truth(events)
    days = sorted({day_of(row[1]).isoformat() for row in rows})

    assert read_by_duckdb(lake) == rows
    assert read_by_pyarrow(lake) == rows
    assert list(files_under(lake / "events")) == [f"date={day}/events.parquet" for day in days]
    assert quarantined(lake) == Counter(told.text for told in events if not told.is_placeable)


def assert_ledger_holds(lake: Path, events: Iterable[Told]) -> None:
    """Hold the ledger's word on each partition against the partition."""
    last = {state["partition"]: state for entry in chain(lake) for state in entry["partitions"]}
    told: dict[str, list[str]] = {}
    for row in truth(events):
        told.setdefault(day_of(row[1]).isoformat(), []).append(row[2])

    assert {day: (state["rows"], state["merkle_root"]) for day, state in last.items()} == {
        day: (len(raws), root_of(raws)) for day, raws in told.items()
    }
    for day, state in last.items():
        data = (lake / f"events/date={day}/events.parquet").read_bytes()
        assert sha256(data).hexdigest() == state["sha256"]


@pytest.fixture(name="since_ever", scope="module")
def _since_ever() -> list[Told]:
    return make_events(11, today=midnight())


@pytest.fixture(name="events", scope="module")
def _events(since_ever: list[Told]) -> list[Told]:
    return [told for told in since_ever if told.at >= begin().timestamp()]


def begin() -> datetime:
    """Return an instant before all events but those of long ago; a snapshot from there asks for fewer windows."""
    return datetime.fromtimestamp(midnight() - (DAYS + 1) * DAY_S, UTC)


def snapshot(lake: Path, endpoint: Endpoint, **window: Any) -> af.SnapshotResult:
    with af.Client(KEY, base_url=endpoint.base_url, retry=SWIFT) as client:
        return af.snapshot(af.Lake(lake), client, **window)


# Snapshots.


@pytest.mark.parametrize("habits", HABITS.values(), ids=HABITS)
def test_a_lake_equals_what_the_endpoint_told_and_a_second_snapshot_adds_nothing(
    tmp_path: Path, events: list[Told], habits: Habits
) -> None:
    lake = tmp_path / "lake"
    with serving(Endpoint(events, habits)) as endpoint:
        first = snapshot(lake, endpoint, start=begin())
        before = files_under(lake / "events")
        second = snapshot(lake, endpoint)

    assert_equals_truth(lake, events)
    assert_ledger_holds(lake, events)
    assert files_under(lake / "events") == before
    assert (first.new, first.late, first.mutated) == (len(truth(events)), 0, 0)
    assert (second.new, second.late, second.mutated) == (0, 0, 0)
    for result in (first, second):
        assert result.received == result.new + result.known + result.mutated + result.quarantined
    assert af.Lake(lake).verify() == ()


def test_the_faults_of_the_fake_happen(tmp_path: Path, events: list[Told]) -> None:
    with serving(Endpoint(events, replace(HABITS["faults"], empty_pages=5))) as endpoint:
        snapshot(tmp_path, endpoint, start=begin())

    assert set(endpoint.unanswered) == {"429", "500", "503", "dropped", "cut", "cut but whole", "empty"}


def test_a_well_behaved_endpoint_is_read_without_a_page_too_many(tmp_path: Path, since_ever: list[Told]) -> None:
    with serving(Endpoint(since_ever)) as endpoint:
        result = snapshot(tmp_path, endpoint)

    assert_equals_truth(tmp_path, since_ever)
    assert_ledger_holds(tmp_path, since_ever)
    assert result.pages == len(endpoint.asked)
    assert result.quarantined == sum(not told.is_placeable for told in since_ever)
    assert (result.known, result.not_permitted) == (0, ())


def test_both_scopes_are_covered_to_the_present(tmp_path: Path, events: list[Told]) -> None:
    began = datetime.now(UTC) - timedelta(seconds=3)  # the endpoint's Date has whole seconds, rounded down
    with serving(Endpoint(events)) as endpoint:
        result = snapshot(tmp_path, endpoint)
    (entry,) = chain(tmp_path)

    assert [each["scope"] for each in entry["collected"]] == ["organization", "tenant"]
    for each in entry["collected"]:
        windows = each["windows"]
        assert each["status"] == "complete"
        assert windows[0]["start"] is None
        assert [window["end"] for window in windows[:-1]] == [window["start"] for window in windows[1:]]
        assert began <= datetime.fromisoformat(windows[-1]["end"]) <= datetime.now(UTC)
    assert sum(each["pages"] for each in entry["collected"]) == result.pages
    assert sum(len(each["windows"]) for each in entry["collected"]) == result.windows


def test_what_arrives_between_two_snapshots_is_added_late_or_not(tmp_path: Path, events: list[Told]) -> None:
    with serving(Endpoint(list(events), Habits(shortest_page=20))) as endpoint:
        snapshot(tmp_path, endpoint, start=begin())
        now = int(time.time())
        late = [make_one("late-1", now - 3 * 3600), make_one("late-2", now - 60, is_tenant=True)]
        fresh = [make_one("fresh-1", now + 60), make_one("fresh-2", now + 60), make_one("Fresh-2", now + 60)]
        endpoint.events += late + fresh
        second = snapshot(tmp_path, endpoint)
        third = snapshot(tmp_path, endpoint)

    assert_equals_truth(tmp_path, [*events, *late, *fresh])
    assert_ledger_holds(tmp_path, [*events, *late, *fresh])
    assert (second.new, second.late, third.new, third.late) == (5, 2, 0, 0)


def test_an_event_that_came_weeks_late_is_found_when_its_day_is_asked_for(tmp_path: Path) -> None:
    today = midnight()
    events = [make_one(f"e{day}", today - day * DAY_S) for day in range(12)]
    with serving(Endpoint(events)) as endpoint:
        snapshot(tmp_path, endpoint, start=begin())
        endpoint.events = [*events, make_one("weeks-late", today - 9 * DAY_S + 5)]
        result = snapshot(tmp_path, endpoint, start=datetime.fromtimestamp(today - 9 * DAY_S, UTC))

        assert (result.new, result.late) == (1, 1)
        assert_equals_truth(tmp_path, endpoint.events)


def test_an_event_that_changed_is_kept_aside_and_the_first_payload_stays(tmp_path: Path) -> None:
    now = int(time.time())
    events = [
        make_one("one", now - 7200, note=1),
        make_one("two", now - 7200),
        make_one("three", now - 7200, note=True),
    ]
    moved = [make_one("one", now - 7200, note=2), make_one("two", now - 60), make_one("three", now - 7200, note=1)]
    with serving(Endpoint(events)) as endpoint:
        snapshot(tmp_path, endpoint, start="-2d")
        before = files_under(tmp_path / "events")
        endpoint.events = moved
        second = snapshot(tmp_path, endpoint)
        snapshot(tmp_path, endpoint)

    assert (second.new, second.mutated) == (0, 3)
    assert read_by_duckdb(tmp_path) == truth(events)
    assert files_under(tmp_path / "events") == before
    assert quarantined(tmp_path) == Counter(told.text for told in moved)


def test_a_window_takes_its_first_second_and_leaves_its_last(tmp_path: Path, events: list[Told]) -> None:
    seconds = sorted({told.at for told in events if told.at < midnight()})
    start, end = seconds[len(seconds) // 3], seconds[2 * len(seconds) // 3]
    with serving(Endpoint(events, Habits(shortest_page=10))) as endpoint:
        snapshot(tmp_path, endpoint, start=datetime.fromtimestamp(start, UTC), end=datetime.fromtimestamp(end, UTC))

    assert_equals_truth(tmp_path, [told for told in events if start <= told.at < end])
    assert all(len(query["effective_at[gte]"] + query["effective_at[lt]"]) == 2 for query in endpoint.asked)


def test_windows_in_any_order_make_the_lake_that_one_snapshot_makes(tmp_path: Path, events: list[Told]) -> None:
    today = midnight()
    ends = [datetime.fromtimestamp(today - hours * 3600 - 7, UTC) for hours in (0, 50, 51, 200, 300)] + [begin()]
    windows: list[tuple[datetime, datetime | None]] = [*pairwise(ends[::-1]), (ends[3], ends[1]), (ends[0], None)]
    random.Random(3).shuffle(windows)  # noqa: S311 - seeded on purpose
    with serving(Endpoint(events)) as endpoint:
        for start, end in windows:
            snapshot(tmp_path, endpoint, start=start, end=end)

    assert_equals_truth(tmp_path, events)
    assert_ledger_holds(tmp_path, events)
    assert af.Lake(tmp_path).verify() == ()


def test_a_tenant_scope_that_is_not_permitted_is_written_down(tmp_path: Path, events: list[Told]) -> None:
    with serving(Endpoint(events, Habits(has_tenant=False))) as endpoint:
        result = snapshot(tmp_path, endpoint, start=begin())

    assert result.not_permitted == ("tenant",)
    assert_equals_truth(tmp_path, [told for told in events if not told.is_tenant])
    assert [each["status"] for each in chain(tmp_path)[0]["collected"]] == ["complete", "not_permitted"]


def test_a_wrong_key_leaves_no_trace(tmp_path: Path, events: list[Told]) -> None:
    with (
        serving(Endpoint(events)) as endpoint,
        af.Client("sk-admin-other", base_url=endpoint.base_url, retry=SWIFT) as client,
        pytest.raises(af.errors.AuthError) as refused,
    ):
        af.snapshot(af.Lake(tmp_path / "lake"), client)

    assert not (tmp_path / "lake").exists()
    assert "sk-admin" not in str(refused.value)


def test_a_page_of_events_without_ids_and_without_a_cursor_raises(tmp_path: Path) -> None:
    at = midnight() - DAY_S
    nameless = [Told(b'{"type":"user.added","n":%d}' % n, None, at, is_placeable=False) for n in range(150)]
    events = [*(make_one(f"after-{n}", at + 1) for n in range(3)), *nameless, make_one("before", at - 1)]
    with serving(Endpoint(events, Habits(has_null_ids=True))) as endpoint, pytest.raises(af.AuditFrameError) as raised:
        snapshot(tmp_path, endpoint, start=datetime.fromtimestamp(at - 5, UTC))

    assert isinstance(raised.value, af.errors.SnapshotInterrupted)
    assert [entry["collected"][0]["status"] for entry in chain(tmp_path)] == ["interrupted"]


def test_an_endpoint_that_stays_down_interrupts_and_a_rerun_completes(tmp_path: Path, events: list[Told]) -> None:
    def go_down(number: int) -> None:
        if number == 15:
            endpoint.habits = Habits(faults=1)

    with serving(Endpoint(events, before_answer=go_down)) as endpoint:
        with pytest.raises(af.errors.SnapshotInterrupted) as interrupted:
            snapshot(tmp_path, endpoint, start=begin())
        kept = read_by_duckdb(tmp_path)
        endpoint.habits = Habits()
        result = snapshot(tmp_path, endpoint, start=begin())

    assert interrupted.value.collected == len(kept) > 0
    assert set(kept) < set(truth(events))
    assert result.new == len(truth(events)) - len(kept)
    assert_equals_truth(tmp_path, events)
    assert_ledger_holds(tmp_path, events)


@pytest.mark.parametrize("name", ["with blank", "with [brackets] 1", "with * and ?", "with 'quote", "żółw 😀", "a=b"])
def test_a_lake_may_stand_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    now = int(time.time())
    events = [make_one("one", now - 3600), make_one("two", now - 2 * DAY_S)]
    lake = tmp_path / name
    with serving(Endpoint(events)) as endpoint:
        snapshot(lake, endpoint, start="-3d")
        endpoint.events = [*events, make_one("three", now - 1800)]
        second = snapshot(lake, endpoint)

    assert (second.new, second.known) == (1, 1)
    assert read_by_pyarrow(lake) == truth(endpoint.events)
    assert len(af.Lake(lake).to_arrow()) == 3
    assert af.Lake(lake).verify() == ()


def test_what_a_lake_holds_only_its_owner_can_read(tmp_path: Path, events: list[Told]) -> None:
    lake = tmp_path / "lake"
    with serving(Endpoint(events)) as endpoint:
        snapshot(lake, endpoint, start="-3d")
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (lake, *lake.rglob("*"))}

    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


# Poison: one event that must not take its neighbours along.

POISON = {
    "a number of 5,000 digits": b'{"n":' + b"9" * 5000 + b"}",
    "5,000 arrays in each other": b"[" * 5000 + b"]" * 5000,
    "a lone surrogate as a key": rb'{"\ud800":{"\udfff":"\ud83d"}}',
    "a number beyond all bounds": b'{"n":1e999999999}',
    "a key of every column twice": b'{"id":1,"id":"2","data":{"name":1},"data":{"name":[]}}',
}


@pytest.mark.parametrize("detail", POISON.values(), ids=POISON)
def test_one_strange_event_does_not_take_its_neighbours_along(tmp_path: Path, detail: bytes) -> None:
    at = midnight() - DAY_S
    neighbours = [make_one(f"neighbour-{n}", at) for n in range(5)]
    text = b'{"id":"strange","type":"project.updated","effective_at":%d,"project.updated":%s}' % (at, detail)
    with serving(Endpoint([*neighbours[:2], Told(text, "strange", at), *neighbours[2:]])) as endpoint:
        snapshot(tmp_path, endpoint, start="-3d")
    rows = read_by_duckdb(tmp_path)

    assert [row for row in rows if row[0] != "strange"] == truth(neighbours)
    assert Counter(row[2].encode() for row in rows if row[0] == "strange") + quarantined(tmp_path) == Counter([text])


# Frames.


def load(*sources: Any, **options: Any) -> Any:
    """Load, where some events cannot be placed."""
    with pytest.warns(af.AuditFrameWarning):
        return af.load(*sources, **options)


def rows_of(frame: Any) -> list[tuple[str, int, str]]:
    instants = (int(stamp.value) // 1000 for stamp in frame["effective_at"].dt.as_unit("ns"))
    return list(zip(frame["id"], instants, frame["raw"], strict=True))


def without_scope(rows: Iterable[Row]) -> list[tuple[str, int, str]]:
    return [row[:3] for row in rows]


@pytest.mark.parametrize("habits", [HABITS["newest first"], HABITS["all at once"]], ids=["plain", "all at once"])
def test_a_frame_from_the_endpoint_equals_what_it_told(events: list[Told], habits: Habits) -> None:
    with (
        serving(Endpoint(events, habits)) as endpoint,
        af.Client(KEY, base_url=endpoint.base_url, retry=SWIFT) as client,
    ):
        frame = load(client=client)

    assert rows_of(frame) == without_scope(truth(events))
    assert list(frame["scope"]) == [row[3] for row in truth(events)]


def page_of(events: Sequence[Told]) -> bytes:
    return b'{"object":"list","data":[' + b",".join(told.text for told in events) + b'],"has_more":false}'


def dumps(events: Sequence[Told]) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Yield each shape's name and its files, by name and content."""
    lines = b"\n".join(told.text for told in events) + b"\n"
    thirds = [events[:100], events[100:101], events[101:]]
    yield "one page", [("page.json", page_of(events))]
    yield "an array of events", [("array.json", b" [\n" + b" ,\n".join(told.text for told in events) + b"\n]\n")]
    yield "an array of pages", [("array.json", b"[" + b",".join(map(page_of, thirds)) + b"]")]
    yield "lines of events", [("events.jsonl", lines)]
    yield "lines of events with blank lines", [("events.jsonl", b"\n\n" + lines.replace(b"\n", b"\r\n\n"))]
    yield "lines of pages", [("pages.jsonl", b"\n".join(map(page_of, thirds)))]
    yield "pages one after the other", [("pages.json", b"".join(map(page_of, thirds)))]
    yield "gzip", [("events.jsonl.gz", gzip.compress(lines))]
    yield "gzip in pieces, with another name", [("events", gzip.compress(lines[:777]) + gzip.compress(lines[777:]))]
    yield "zstd", [("events.jsonl.zst", zstd(lines))]
    yield "zstd in pieces", [("events.jsonl.zst", zstd(lines[:777]) + zstd(lines[777:]))]
    yield "with a byte order mark", [("page.json", b"\xef\xbb\xbf" + page_of(events))]
    yield "several files", [(f"{n}.json", page_of(third)) for n, third in enumerate(thirds)]
    yield "overlapping files", [("a.json", page_of(events[:500])), ("b.json", page_of(events[300:]))]


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


SHAPES = [shape for shape, _ in dumps(make_events(11, today=0))]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_frame_from_files_equals_what_is_in_them(tmp_path: Path, shape: str) -> None:
    events = make_events(12, today=midnight(), blanks=ONE_LINE)
    for name, content in dict(dumps(events))[shape]:
        (tmp_path / name).write_bytes(content)
    frame = load(f"{tmp_path}/*")

    assert rows_of(frame) == without_scope(truth(events))
    assert len(frame.attrs["quarantined"]) >= sum(not told.is_placeable for told in events)


@pytest.mark.parametrize("shape", ["lines of events", "one page", "an array of events", "zstd"])
def test_line_breaks_inside_events_are_only_white_space(tmp_path: Path, events: list[Told], shape: str) -> None:
    [(name, content)] = dict(dumps(events))[shape]
    (tmp_path / name).write_bytes(content)

    assert rows_of(load(tmp_path / name)) == without_scope(truth(events))


def test_a_file_of_lines_larger_than_a_block_is_read_whole(tmp_path: Path) -> None:
    at = midnight()
    events = [make_one(f"e{n:03d}", at + n, note="ż" * 300_000) for n in range(24)]
    (tmp_path / "large.jsonl").write_bytes(b"\n".join(told.text for told in events))

    assert rows_of(af.load(tmp_path / "large.jsonl")) == without_scope(truth(events))


@pytest.mark.parametrize("shape", ["one page", "an array of events", "lines of events", "gzip", "zstd"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_a_file_cut_short_is_never_half_loaded(tmp_path: Path, events: list[Told], shape: str, share: float) -> None:
    [(name, content)] = dict(dumps(events))[shape]
    (tmp_path / name).write_bytes(content[: int(share * (len(content) - 3))])

    with pytest.raises(af.errors.FileError, match=name):
        af.load(tmp_path / name)


@pytest.mark.parametrize("data", [{"a": 1}, [{"id": "inner", "type": "user.added", "effective_at": 1}], None, "text"])
@pytest.mark.parametrize("wrap", ["{}", "[{}]", '{{"data":[{}]}}'])
def test_an_event_may_have_a_key_called_data(tmp_path: Path, data: Any, wrap: str) -> None:
    text = json.dumps({"id": "outer", "type": "user.added", "effective_at": 1_750_000_000, "data": data})
    (tmp_path / "events.jsonl").write_text(wrap.format(text))

    assert rows_of(af.load(tmp_path / "events.jsonl")) == [("outer", 1_750_000_000_000_000, text)]


def test_a_lake_of_imports_and_snapshots_still_has_each_event_once(tmp_path: Path, events: list[Told]) -> None:
    lake = af.Lake(tmp_path / "lake")
    organization = [replace(told, is_tenant=False) for told in events if not told.is_tenant]
    tenant = [told for told in events if told.is_tenant]
    lake.append(af.flatten([page_of(organization[::2])], scope="organization"))
    lake.append(af.flatten([page_of(tenant[::3])], scope="tenant"))
    with serving(Endpoint(events)) as endpoint:
        result = snapshot(lake.path, endpoint, start=begin())

    assert result.known == sum(told.is_placeable for told in (*organization[::2], *tenant[::3]))
    assert_equals_truth(lake.path, events)
    assert_ledger_holds(lake.path, events)
